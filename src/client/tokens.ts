import * as oauth from 'oauth4webapi'
import { ClientError } from './error.ts'

/** An access token as it is used. */
export interface AccessToken {
  readonly value: string
  /** Milliseconds of the client's clock from which on a new one is asked for, beside the calls. */
  readonly renewAt: number
  /** From when on calls wait for the new one. */
  readonly dueAt: number
}

/** Where the refresh token lies between page loads, processes or tabs. */
export interface RefreshTokens {
  /** A name that all tabs and workers with this refresh token share, and no others: they take turns by it (Web Locks). */
  readonly name: string
  readonly get: () => string | undefined | Promise<string | undefined>
  /** `undefined`: the user is signed out. Must have kept the token before it resolves. */
  readonly set: (token: string | undefined) => void | Promise<void>
}

/** What of Web Locks is needed here. */
export interface Locks {
  request<T>(name: string, run: () => Promise<T>): Promise<T>
}

export interface TokenSource {
  /** The token to use now. `not`: one that the API has refused. */
  readonly get: (not?: AccessToken) => Promise<AccessToken>
}

export interface TokenSourceOptions {
  /** Asked for until it is given: discovery may fail and be tried again. */
  readonly server: () => Promise<oauth.AuthorizationServer>
  readonly client: oauth.Client
  readonly authentication: oauth.ClientAuth
  readonly refreshTokens: RefreshTokens | undefined
  readonly parameters: readonly (readonly [string, string])[]
  readonly key: oauth.DPoPHandle | undefined
  readonly fetch: typeof fetch
  readonly now: () => number
  readonly locks: Locks | undefined
  readonly isLoopback: boolean
  readonly timeoutMs: number
}

/** After a failure nobody asks again for so long: callers in a loop must not become a flood. */
const restMs = 1_000
/** Renewed at the latest this long before the end, however long the token lives. */
const renewBeforeMaxMs = 60_000

/**
 * Holds the access token and renews it: beside the calls in the last third of its life, before them in the last sixth. One
 * renewal at a time, however many wait for it.
 */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { now } = options
  let current: AccessToken | undefined
  let renewing: Promise<AccessToken> | undefined
  let failure: { readonly error: unknown; readonly until: number } | undefined

  function renew(): Promise<AccessToken> {
    if (renewing !== undefined) return renewing
    if (failure !== undefined && now() < failure.until) return Promise.reject(failure.error)
    renewing = fetchToken(options).then(
      (token) => {
        current = token
        failure = undefined
        renewing = undefined
        return token
      },
      (error) => {
        failure = { error, until: now() + restMs }
        renewing = undefined
        throw error
      },
    )
    return renewing
  }

  return {
    async get(not) {
      if (current === undefined || current === not) return renew()
      const time = now()
      if (time >= current.dueAt) return renew()
      // Calls go on with the old one; should this fail, the next call tries again, and the last ones say why.
      if (time >= current.renewAt) renew().catch(() => {})
      return current
    },
  }
}

async function fetchToken(options: TokenSourceOptions): Promise<AccessToken> {
  const { refreshTokens, locks } = options
  if (refreshTokens === undefined) return asSafeError(() => grant(options, undefined))
  const run = async () => {
    // Read only now: another tab may have spent the one from before.
    const refreshToken = await refreshTokens.get()
    if (refreshToken === undefined) throw new ClientError('signed-out', 'There is no refresh token.')
    return asSafeError(() => grant(options, refreshToken))
  }
  return locks === undefined ? run() : locks.request(`portcullis:${refreshTokens.name}`, run)
}

async function grant(options: TokenSourceOptions, refreshToken: string | undefined): Promise<AccessToken> {
  const { client, authentication, parameters, key, now, refreshTokens } = options
  const server = await options.server()
  const ask = async () => {
    const request = {
      ...(key === undefined ? {} : { DPoP: key }),
      [oauth.customFetch]: options.fetch,
      [oauth.allowInsecureRequests]: options.isLoopback,
      signal: AbortSignal.timeout(options.timeoutMs),
    }
    const form = new URLSearchParams(parameters.map(([name, value]): [string, string] => [name, value]))
    if (refreshToken === undefined) {
      const reply = await oauth.clientCredentialsGrantRequest(server, client, authentication, form, request)
      return oauth.processClientCredentialsResponse(server, client, reply)
    }
    const reply = await oauth.refreshTokenGrantRequest(server, client, authentication, refreshToken, {
      ...request,
      additionalParameters: form,
    })
    return oauth.processRefreshTokenResponse(server, client, reply)
  }
  // Counted from before it was asked for, so that it ends here no later than there.
  const askedAt = now()
  const told = await ask()
    .catch((error: unknown) => {
      // The server wants its nonce in the proof (RFC 9449, 8): the handle has kept it.
      if (oauth.isDPoPNonceError(error)) return ask()
      throw error
    })
    .catch(async (error: unknown) => {
      if (refreshToken !== undefined && error instanceof oauth.ResponseBodyError && error.error === 'invalid_grant') {
        await refreshTokens!.set(undefined)
        throw new ClientError('signed-out', 'The refresh token is no longer good.', {
          error: error.error,
          status: error.status,
        })
      }
      throw error
    })
  // Kept before the new access token is used: what is lost now is lost with the old one spent.
  if (told.refresh_token !== undefined && told.refresh_token !== refreshToken)
    await refreshTokens?.set(told.refresh_token)
  if (key !== undefined && told.token_type !== 'dpop') {
    throw new ClientError('not-bound', 'The authorization server gave a token that is not bound to the key.')
  }
  // Times in tokens are whole seconds (RFC 7519, 2), so that one may end a second before `expires_in` says.
  const lifeMs =
    told.expires_in === undefined ? Infinity : told.expires_in * 1_000 - Math.min(1_000, told.expires_in * 500)
  return {
    value: told.access_token,
    renewAt: askedAt + lifeMs - Math.min(lifeMs / 3, renewBeforeMaxMs),
    dueAt: askedAt + lifeMs - Math.min(lifeMs / 6, renewBeforeMaxMs / 2),
  }
}

/** Errors of the library may carry the answer, and with it tokens. What goes on says why, and nothing else. */
export async function asSafeError<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof ClientError) throw error
    if (error instanceof oauth.ResponseBodyError) {
      const { error: reason, error_description: told, status } = error
      const why = told === undefined ? '' : ` (${harmless(told)})`
      throw new ClientError('refused', `The authorization server refused: ${reason}${why}.`, { error: reason, status })
    }
    if (error instanceof oauth.WWWAuthenticateChallengeError) {
      throw new ClientError('refused', 'The authorization server refused the client.', { status: error.status })
    }
    const { code } = error as { readonly code?: unknown }
    const why =
      typeof code === 'string' && code.startsWith('OAUTH_') ? 'gave an answer that cannot be used' : 'cannot be reached'
    throw new ClientError('unavailable', `The authorization server ${why}.`)
  }
}

/** What a server says for people to read, without what could be a token or break a line of a log. */
function harmless(text: string): string {
  return text
    .slice(0, 200)
    .replace(/[^ -~]/g, ' ')
    .replace(/[\w.~+/=-]{24,}/g, '…')
    .trim()
}
