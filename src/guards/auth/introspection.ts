import { Lru } from '../../base/lru.ts'
import { type Asker, IssuerUnreachable } from './ask.ts'

/** Says what an opaque token is good for; `undefined` for one that is not active. */
export interface Introspection<T> {
  /** Bare when the answer is fresh in the cache. Rejects or throws `IssuerUnreachable`. */
  ask(token: string, now: number): T | undefined | Promise<T | undefined>
}

export interface IntrospectionOptions<T> {
  /** Reads the members of an active token's answer (RFC 7662, 2.2), once for each answer. */
  readonly read: (answer: Readonly<Record<string, unknown>>) => T
  /** Where to ask; it may have to be discovered first. */
  readonly endpoint: () => Promise<string>
  readonly clientId: string
  readonly clientSecret: string
  readonly clientAuth: 'basic' | 'post'
  /** For how long an answer is believed; a token's own `exp` ends it sooner. */
  readonly cacheTtlMs: number
  readonly asker: Asker
  readonly now: () => number
}

const answerBytesMax = 65_536
const entriesMax = 10_000
/** Questions under way at once; more would only queue at a server that is already slow. */
const pendingMax = 256
/** A token that is not active stays so, but one that is about to be issued must not be held against its owner long. */
const inactiveTtlMsMax = 5_000

interface Entry<T> {
  readonly answer: T | undefined
  readonly untilMs: number
}

/** Asks whether opaque tokens are good, once for each token and `cacheTtl`. */
export function createIntrospection<T>(options: IntrospectionOptions<T>): Introspection<T> {
  // Apart, so that made-up tokens do not push good ones out.
  const active = new Lru<string, Entry<T>>({ entriesMax })
  const inactive = new Lru<string, Entry<T>>({ entriesMax })
  const pending = new Map<string, Promise<T | undefined>>()

  async function askNow(token: string): Promise<T | undefined> {
    const form = new URLSearchParams({ token, token_type_hint: 'access_token' })
    const headers: Record<string, string> = {}
    if (options.clientAuth === 'post') {
      form.set('client_id', options.clientId)
      form.set('client_secret', options.clientSecret)
    } else {
      // Both halves are form-encoded before they are joined (RFC 6749, 2.3.1).
      const pair = `${formEncode(options.clientId)}:${formEncode(options.clientSecret)}`
      headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`
    }
    const answer = await options.asker.postForm(await options.endpoint(), form, headers, answerBytesMax)
    const now = options.now()
    if (answer.active !== true) {
      inactive.set(token, { answer: undefined, untilMs: now + Math.min(options.cacheTtlMs, inactiveTtlMsMax) })
      active.delete(token)
      return undefined
    }
    const expiresMs = typeof answer.exp === 'number' ? answer.exp * 1000 : Number.POSITIVE_INFINITY
    const read = options.read(answer)
    active.set(token, { answer: read, untilMs: Math.min(now + options.cacheTtlMs, expiresMs) })
    inactive.delete(token)
    return read
  }

  return {
    ask(token, now) {
      const entry = active.get(token) ?? inactive.get(token)
      if (entry !== undefined && now < entry.untilMs) return entry.answer
      const underWay = pending.get(token)
      if (underWay !== undefined) return underWay
      if (pending.size >= pendingMax) throw new IssuerUnreachable('too many tokens are being asked about at once')
      const asked = askNow(token).finally(() => pending.delete(token))
      pending.set(token, asked)
      return asked
    },
  }
}

function formEncode(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}
