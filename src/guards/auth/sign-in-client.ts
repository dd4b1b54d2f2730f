import type { Configuration, CustomFetchOptions } from 'openid-client'
import { Agent, request } from 'undici'
import { messageOf } from '../../base/errors.ts'
import { IssuerUnreachable, isSafeUrl } from './ask.ts'

/*
 * openid-client does the protocol (OpenID Connect Core, RFC 6749, 7636, 9207); what it may reach, how long it may wait and how
 * much it may be sent is said here. It is loaded when somebody signs in first: most gates never do.
 */

export interface SignInClientOptions {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  readonly clientAuth: 'basic' | 'post'
  readonly toleranceMs: number
  readonly timeoutMs: number
  readonly ca: string | undefined
  readonly now: () => number
  /** After this long the metadata is asked for again. */
  readonly refreshMs: number
}

type Library = typeof import('openid-client')

/** The issuer as a client sees it. */
export interface SignInClient {
  /** The library and the issuer's metadata; rejects with `IssuerUnreachable`. */
  readonly ready: () => Promise<{ readonly oidc: Library; readonly config: Configuration }>
  readonly close: () => Promise<void>
}

const answerBytesMax = 262_144

export function createSignInClient(options: SignInClientOptions): SignInClient {
  const { issuer, now } = options
  const agent = new Agent({
    connections: 32,
    connect: { timeout: options.timeoutMs, ...(options.ca === undefined ? {} : { ca: options.ca }) },
  })
  let known: { readonly config: Configuration; readonly until: number } | undefined
  let asking: Promise<{ oidc: Library; config: Configuration }> | undefined

  /** Within a time and a size, to safe URLs only, without following redirects. */
  async function ask(url: string, { method, headers, body }: CustomFetchOptions): Promise<Response> {
    if (!isSafeUrl(url)) throw new IssuerUnreachable('its metadata names a URL that is not https')
    const reply = await request(url, {
      method: method as 'GET' | 'POST',
      headers: Object.fromEntries(Object.entries(headers)),
      body: body === null || body === undefined ? null : String(body as string | URLSearchParams),
      dispatcher: agent,
      signal: AbortSignal.timeout(options.timeoutMs),
    })
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of reply.body as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > answerBytesMax) throw new IssuerUnreachable(`${new URL(url).origin} answered with too much`)
      chunks.push(chunk)
    }
    const type = reply.headers['content-type']
    const none = reply.statusCode === 204 || reply.statusCode === 304
    return new Response(none ? null : Buffer.concat(chunks), {
      status: reply.statusCode,
      headers: typeof type === 'string' ? { 'content-type': type } : {},
    })
  }

  async function discover(): Promise<{ oidc: Library; config: Configuration }> {
    const oidc = await import('openid-client')
    try {
      const auth = options.clientAuth === 'basic' ? oidc.ClientSecretBasic : oidc.ClientSecretPost
      const config = await oidc.discovery(
        new URL(issuer),
        options.clientId,
        { [oidc.clockTolerance]: Math.floor(options.toleranceMs / 1000), [oidc.clockSkew]: skewOf(now) },
        auth(options.clientSecret),
        {
          [oidc.customFetch]: ask,
          // The library's word for http, which `isSafeUrl` allows on loopback alone.
          execute: issuer.startsWith('http:')
            ? [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks]
            : [oidc.enableNonRepudiationChecks],
          timeout: options.timeoutMs / 1000,
        },
      )
      known = { config, until: now() + options.refreshMs }
      return { oidc, config }
    } catch (error) {
      throw error instanceof IssuerUnreachable ? error : new IssuerUnreachable(messageOf(error))
    }
  }

  return {
    async ready() {
      if (known !== undefined && now() < known.until)
        return { oidc: await import('openid-client'), config: known.config }
      asking ??= discover().finally(() => {
        asking = undefined
      })
      return asking
    },
    close: () => agent.close(),
  }
}

/** The library reads the machine's clock; the gate's own may be another in tests. */
function skewOf(now: () => number): number {
  return Math.round((now() - Date.now()) / 1000)
}
