import { type CryptoKey, calculateJwkThumbprint, exportJWK, FlattenedSign, type JWK } from 'jose'
import { Agent, fetch } from 'undici'

/*
 * The client's side of RFC 8555: signed requests, nonces, orders, authorizations. It knows nothing of files, listeners
 * or clocks; `acme.ts` drives it.
 */

/** What an ACME server refused, with its own reason (RFC 8555, 6.7). */
export class AcmeError extends Error {
  override readonly name = 'AcmeError'
  /** The last part of the problem's type: `rateLimited`, `badNonce`, `connection` … */
  readonly type: string
  readonly retryAfterMs: number | undefined

  constructor(type: string, message: string, retryAfterMs?: number) {
    super(message)
    this.type = type
    this.retryAfterMs = retryAfterMs
  }
}

export interface AcmeAccount {
  readonly key: CryptoKey
  /** The account's URL; unknown before the first registration. */
  readonly url: string | undefined
}

export type ChallengeType = 'tls-alpn-01' | 'http-01'

/** Shows the server that a name is ours, until `done`. */
export interface ChallengeResponder {
  show(challenge: {
    readonly type: ChallengeType
    readonly domain: string
    readonly token: string
    readonly keyAuthorization: string
  }): Promise<{
    done(): Promise<void>
  }>
}

interface Directory {
  readonly newNonce: string
  readonly newAccount: string
  readonly newOrder: string
}

interface Order {
  readonly status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'
  readonly authorizations: readonly string[]
  readonly finalize: string
  readonly certificate?: string
  readonly error?: { readonly type?: string; readonly detail?: string }
}

interface Authorization {
  readonly status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired' | 'revoked'
  readonly identifier: { readonly value: string }
  readonly challenges: readonly {
    readonly type: string
    readonly url: string
    readonly token: string
    readonly error?: { readonly type?: string; readonly detail?: string }
  }[]
}

interface Answer<T> {
  readonly value: T
  readonly location: string | undefined
  readonly retryAfterMs: number | undefined
}

const answerBytesMax = 1_000_000
const requestMs = 30_000
const pollMs = 300_000
const nonceTriesMax = 4

export interface AcmeClientOptions {
  readonly directory: string
  /** PEM of the authority that vouches for the ACME server, in place of the system's. */
  readonly ca?: string | undefined
  readonly email?: string | undefined
  readonly account: AcmeAccount
  readonly signal: AbortSignal
}

export class AcmeClient {
  readonly #options: AcmeClientOptions
  readonly #dispatcher: Agent
  #directory: Directory | undefined
  #nonce: string | undefined
  #accountUrl: string | undefined
  #jwk: JWK | undefined

  constructor(options: AcmeClientOptions) {
    this.#options = options
    this.#accountUrl = options.account.url
    this.#dispatcher = new Agent(options.ca === undefined ? {} : { connect: { ca: options.ca } })
  }

  async close(): Promise<void> {
    await this.#dispatcher.close()
  }

  /** Registers the account, or finds it again; tells its URL (RFC 8555, 7.3). */
  async register(): Promise<string> {
    if (this.#accountUrl !== undefined) return this.#accountUrl
    const { newAccount } = await this.#directoryOf()
    const { email } = this.#options
    const { location } = await this.#post(newAccount, {
      termsOfServiceAgreed: true,
      ...(email === undefined ? {} : { contact: [`mailto:${email}`] }),
    })
    if (location === undefined) throw new AcmeError('malformed', 'the server named no account')
    this.#accountUrl = location
    return location
  }

  /** Proves that the names are ours and has the request for them signed. Tells the chain, PEM. */
  async obtain(
    domains: readonly string[],
    prefer: readonly ChallengeType[],
    responder: ChallengeResponder,
    csr: Uint8Array,
  ): Promise<string> {
    const { newOrder } = await this.#directoryOf()
    const identifiers = domains.map((value) => ({ type: 'dns', value }))
    const created = await this.#post<Order>(newOrder, { identifiers })
    const orderUrl = created.location
    if (orderUrl === undefined) throw new AcmeError('malformed', 'the server named no order')
    for (const url of created.value.authorizations) await this.#authorize(url, prefer, responder)
    const ready = await this.#poll<Order>(orderUrl, ({ status }) => status !== 'pending')
    if (ready.status === 'ready') await this.#post(ready.finalize, { csr: Buffer.from(csr).toString('base64url') })
    const order = await this.#poll<Order>(orderUrl, ({ status }) => status === 'valid' || status === 'invalid')
    if (order.status !== 'valid' || order.certificate === undefined) throw failureOf(order.error, 'the order failed')
    return (await this.#post<string>(order.certificate, undefined, 'application/pem-certificate-chain')).value
  }

  async #authorize(url: string, prefer: readonly ChallengeType[], responder: ChallengeResponder): Promise<void> {
    const { value: authorization } = await this.#post<Authorization>(url, undefined)
    if (authorization.status === 'valid') return
    const offered = prefer
      .map((type) => ({ type, challenge: authorization.challenges.find((one) => one.type === type) }))
      .find(({ challenge }) => challenge !== undefined)
    const domain = authorization.identifier.value
    if (offered === undefined) throw new AcmeError('unsupported', `no challenge for ${domain} can be answered`)
    const { type } = offered
    const { token, url: challengeUrl } = offered.challenge!
    // It becomes a file's name and part of a certificate: nothing but base64url (RFC 8555, 8.1).
    if (!/^[\w-]{16,128}$/.test(token)) throw new AcmeError('malformed', 'the challenge has no usable token')
    const keyAuthorization = `${token}.${await calculateJwkThumbprint(await this.#jwkOf())}`
    const shown = await responder.show({ type, domain, token, keyAuthorization })
    try {
      await this.#post(challengeUrl, {})
      const judged = await this.#poll<Authorization>(url, ({ status }) => status !== 'pending')
      if (judged.status === 'valid') return
      const error = judged.challenges.find((one) => one.type === type)?.error
      throw failureOf(error, `${domain} was not validated by ${type}`)
    } finally {
      await shown.done()
    }
  }

  async #poll<T>(url: string, settled: (value: T) => boolean): Promise<T> {
    const until = performance.now() + pollMs
    for (let wait = 100; ; wait = Math.min(wait * 1.6, 5_000)) {
      const { value, retryAfterMs } = await this.#post<T>(url, undefined)
      if (settled(value)) return value
      if (performance.now() > until) throw new AcmeError('timeout', 'the server did not decide in time')
      await this.#sleep(Math.min(retryAfterMs ?? wait, 60_000))
    }
  }

  #sleep(ms: number): Promise<void> {
    const { signal } = this.#options
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error)
      const abort = () => {
        clearTimeout(timer)
        reject(signal.reason as Error)
      }
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', abort)
        resolve()
      }, ms)
      signal.addEventListener('abort', abort, { once: true })
    })
  }

  async #directoryOf(): Promise<Directory> {
    if (this.#directory === undefined) {
      const { value } = await this.#read<Directory>(await this.#fetch(this.#options.directory, {}))
      this.#directory = value
    }
    return this.#directory
  }

  async #jwkOf(): Promise<JWK> {
    if (this.#jwk === undefined) {
      const { kty, crv, x, y } = await exportJWK(this.#options.account.key)
      this.#jwk = { kty: kty!, crv: crv!, x: x!, y: y! }
    }
    return this.#jwk
  }

  /** A signed request; without a payload it asks (POST-as-GET, RFC 8555, 6.3). */
  async #post<T>(url: string, payload: object | undefined, accept = 'application/json'): Promise<Answer<T>> {
    for (let tries = 1; ; tries++) {
      const nonce = this.#nonce ?? (await this.#freshNonce())
      this.#nonce = undefined
      const body = payload === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(payload))
      const who = this.#accountUrl === undefined ? { jwk: await this.#jwkOf() } : { kid: this.#accountUrl }
      const signed = await new FlattenedSign(body)
        .setProtectedHeader({ alg: 'ES256', nonce, url, ...who })
        .sign(this.#options.account.key)
      const response = await this.#fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/jose+json', accept },
        body: JSON.stringify(signed),
      })
      try {
        return await this.#read<T>(response)
      } catch (error) {
        // A nonce may be refused at any time; the answer brings a fresh one (RFC 8555, 6.5).
        if (!(error instanceof AcmeError) || error.type !== 'badNonce' || tries === nonceTriesMax) throw error
      }
    }
  }

  async #freshNonce(): Promise<string> {
    const { newNonce } = await this.#directoryOf()
    const response = await this.#fetch(newNonce, { method: 'HEAD' })
    const nonce = response.headers.get('replay-nonce')
    if (nonce === null) throw new AcmeError('malformed', 'the server gave no nonce')
    return nonce
  }

  async #fetch(url: string, init: { method?: string; headers?: Record<string, string>; body?: string }) {
    // Its requests are signed, but its answers are only as good as the channel (RFC 8555, 6.1).
    if (!url.startsWith('https://')) throw new AcmeError('malformed', 'an ACME server is spoken to over https only')
    const signal = AbortSignal.any([this.#options.signal, AbortSignal.timeout(requestMs)])
    const headers = { 'user-agent': 'portcullis', ...init.headers }
    const response = await fetch(url, { ...init, headers, redirect: 'error', signal, dispatcher: this.#dispatcher })
    this.#nonce = response.headers.get('replay-nonce') ?? this.#nonce
    return response
  }

  async #read<T>(response: Awaited<ReturnType<typeof fetch>>): Promise<Answer<T>> {
    const text = await textOf(response)
    const retryAfterMs = retryAfterOf(response.headers.get('retry-after'))
    if (!response.ok) {
      const problem = jsonOf(text) as { type?: string; detail?: string } | undefined
      throw failureOf(problem, `the server answered ${response.status}`, retryAfterMs)
    }
    const isPem = response.headers.get('content-type')?.startsWith('application/pem-certificate-chain') === true
    const value = (isPem ? text : jsonOf(text)) as T
    return { value, location: response.headers.get('location') ?? undefined, retryAfterMs }
  }
}

async function textOf(response: Awaited<ReturnType<typeof fetch>>): Promise<string> {
  if (response.body === null) return ''
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > answerBytesMax) throw new AcmeError('malformed', 'the answer of the server is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function failureOf(
  problem: { readonly type?: string; readonly detail?: string } | undefined,
  otherwise: string,
  retryAfterMs?: number,
): AcmeError {
  const type = problem?.type?.split(':').at(-1) ?? 'unknown'
  const detail = problem?.detail === undefined ? '' : `: ${problem.detail.slice(0, 500)}`
  return new AcmeError(type, `${otherwise}${detail}`, retryAfterMs)
}

/** Seconds or a date (RFC 9110, 10.2.3). */
function retryAfterOf(value: string | null): number | undefined {
  if (value === null) return undefined
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}
