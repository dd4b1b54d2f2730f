import { messageOf } from '../base/errors.ts'

/** Something could not be fetched; the message says what and why. */
export class DownloadError extends Error {
  override readonly name = 'DownloadError'
  /** The site answered that there is no such thing. */
  readonly missing: boolean

  constructor(message: string, options: { missing?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.missing = options.missing ?? false
  }
}

export interface DownloadLimits {
  readonly bytesMax: number
  readonly timeoutMs: number
  /** Hosts that a redirect may lead to, beside the one that was asked. */
  readonly hosts: readonly string[]
}

const redirectsMax = 5

/** Fetches one file over https; plain http only from this machine. Bounded in bytes, time and places. */
export async function download(url: string, limits: DownloadLimits): Promise<Buffer> {
  const signal = AbortSignal.timeout(limits.timeoutMs)
  let place = checked(url)
  const hosts = [place.host, ...limits.hosts]
  try {
    for (let redirects = 0; ; redirects++) {
      const headers = { 'user-agent': 'portcullis', accept: '*/*', 'accept-encoding': 'identity' }
      const reply = await fetch(place, { redirect: 'manual', signal, headers })
      const location = reply.headers.get('location')
      if (reply.status >= 300 && reply.status < 400 && location !== null) {
        await reply.body?.cancel()
        const next = checked(new URL(location, place).href)
        if (!hosts.includes(next.host))
          throw new DownloadError(`${place.host} sends to ${next.host}, which is not followed`)
        if (next.protocol !== place.protocol)
          throw new DownloadError(`${place.host} sends from ${place.protocol} to ${next.protocol}`)
        if (redirects === redirectsMax) throw new DownloadError(`${url} redirects too often`)
        place = next
        continue
      }
      if (!reply.ok) {
        await reply.body?.cancel()
        throw new DownloadError(`${place} answers ${reply.status}`, { missing: reply.status === 404 })
      }
      return await bounded(reply, limits.bytesMax, place)
    }
  } catch (error) {
    if (error instanceof DownloadError) throw error
    const reason = signal.aborted ? `it took longer than ${limits.timeoutMs / 1000} s` : reasonOf(error)
    throw new DownloadError(`${place} cannot be fetched: ${reason}`, { cause: error })
  }
}

async function bounded(reply: Response, bytesMax: number, place: URL): Promise<Buffer> {
  const tooLarge = () => new DownloadError(`${place} is larger than ${bytesMax} bytes`)
  if (Number(reply.headers.get('content-length') ?? 0) > bytesMax) {
    await reply.body?.cancel()
    throw tooLarge()
  }
  const parts: Uint8Array[] = []
  let bytes = 0
  // What is announced is not believed: the bytes are counted as they come, unpacked ones too.
  for await (const part of reply.body ?? []) {
    bytes += part.length
    if (bytes > bytesMax) throw tooLarge()
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function checked(text: string): URL {
  const url = URL.parse(text)
  if (url === null) throw new DownloadError(`${text} is no URL`)
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isHere)) {
    throw new DownloadError(`${url} is not fetched: https is asked for`)
  }
  return url
}

/** fetch says "fetch failed" and hides the reason one level down. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  return messageOf(cause ?? error)
}
