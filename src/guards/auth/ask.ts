import { Agent, request } from 'undici'
import { isLoopback } from '../../config/checks.ts'

/** An identity provider did not give an answer that can be used. Its tokens fail closed. */
export class IssuerUnreachable extends Error {
  override readonly name = 'IssuerUnreachable'
}

/** Asks an identity provider for JSON: within a time and a size, without following redirects. */
export interface Asker {
  readonly get: (url: string, bytesMax: number) => Promise<Record<string, unknown>>
  readonly postForm: (
    url: string,
    form: URLSearchParams,
    headers: Readonly<Record<string, string>>,
    bytesMax: number,
  ) => Promise<Record<string, unknown>>
  readonly close: () => Promise<void>
}

/** `ca`: PEM of the authorities that may vouch for the provider, in place of the system's. */
export function createAsker(options: { readonly timeoutMs: number; readonly ca: string | undefined }): Asker {
  const agent = new Agent({
    connections: 32,
    connect: { timeout: options.timeoutMs, ...(options.ca === undefined ? {} : { ca: options.ca }) },
  })

  async function ask(
    url: string,
    init: { method: 'GET' | 'POST'; headers: Record<string, string>; body?: string },
    bytesMax: number,
  ): Promise<Record<string, unknown>> {
    // undici's `request` follows no redirect: a provider that moves must be configured anew, because a redirect
    // may lead anywhere, and takes the client's credentials along.
    const where = new URL(url).origin
    let text: string
    try {
      const reply = await request(url, { ...init, dispatcher: agent, signal: AbortSignal.timeout(options.timeoutMs) })
      if (reply.statusCode !== 200) {
        reply.body.on('error', () => {}).destroy()
        throw new IssuerUnreachable(`${where} answered ${reply.statusCode}`)
      }
      const chunks: Buffer[] = []
      let bytes = 0
      for await (const chunk of reply.body as AsyncIterable<Buffer>) {
        bytes += chunk.length
        if (bytes > bytesMax) throw new IssuerUnreachable(`${where} answered with more than ${bytesMax} bytes`)
        chunks.push(chunk)
      }
      text = Buffer.concat(chunks).toString('utf8')
    } catch (error) {
      if (error instanceof IssuerUnreachable) throw error
      throw new IssuerUnreachable(`${where} cannot be reached: ${reasonOf(error)}`)
    }
    const value = parse(text)
    if (value === undefined) throw new IssuerUnreachable(`${where} did not answer with a JSON object`)
    return value
  }

  return {
    get: (url, bytesMax) => ask(url, { method: 'GET', headers: { accept: 'application/json' } }, bytesMax),
    postForm: (url, form, headers, bytesMax) =>
      ask(
        url,
        {
          method: 'POST',
          headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded', ...headers },
          body: form.toString(),
        },
        bytesMax,
      ),
    close: () => agent.close(),
  }
}

function reasonOf(error: unknown): string {
  const { code, message, name } = error as { code?: unknown; message?: unknown; name?: unknown }
  if (name === 'TimeoutError') return 'no answer in time'
  return typeof code === 'string' ? code : String(message)
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** Whether a URL may be asked: https, or http on the loopback interface for development. */
export function isSafeUrl(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, hostname } = new URL(url)
  if (protocol === 'https:') return true
  return protocol === 'http:' && isLoopback(hostname)
}
