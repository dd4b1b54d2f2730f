import type { Sessions } from '../../credentials/sessions.ts'
import type { TokenService } from '../../identity/service.ts'
import { AdminProblem, type AdminRoute } from '../contract.ts'

export interface EndRoutesOptions {
  readonly sessions: Sessions
  /** Of this process, where it has one. */
  readonly service: () => TokenService | undefined
  /** The issuers at which people sign in to APIs, by URL. */
  readonly issuers: () => readonly string[]
  /** Refuses one token of an issuer from now on. */
  readonly revokeToken: (issuer: string, jti: string, ttlMs: number) => Promise<void>
}

/** As long as a foreign token may live: nobody gives out longer ones that gates are to believe. */
const tokenMsMax = 31 * 86_400_000

/** Ending what somebody is signed in to: sessions and tokens, by subject, by client, or one token. */
export function adminRoutes({ sessions, service, issuers, revokeToken }: EndRoutesOptions): AdminRoute[] {
  return [
    {
      operation: 'endAccess',
      level: 'operator',
      async handle({ body, audit }) {
        const { subject, client, token } = body as EndBody
        const tokens = service()
        const ended = { sessions: 0, tokens: false }
        if (subject !== undefined) {
          // As those who make sessions tag them: this API, the sign-in pages, the gate as a client of issuers.
          const tags = [`admin:${subject}`, `subject:${subject}`, ...issuers().map((url) => `sub\0${url}\0${subject}`)]
          for (const tag of tags) ended.sessions += await sessions.revokeTagged(tag)
          if (tokens !== undefined) {
            await tokens.grants.revokeSubject(subject)
            ended.tokens = true
          }
        }
        if (client !== undefined) {
          if (tokens === undefined) throw withoutService()
          await tokens.grants.revokeClient(client)
          ended.tokens = true
        }
        if (token !== undefined) {
          await revokeToken(token.issuer, token.id, tokenMsMax)
          ended.tokens = true
        }
        audit({ id: subject ?? client ?? token?.id ?? '', after: ended })
        return { status: 200, body: ended }
      },
    },
    {
      operation: 'listConsents',
      level: 'viewer',
      async handle({ query }) {
        const tokens = service()
        if (tokens === undefined) throw withoutService()
        const filter = {
          ...(query.subject === undefined ? {} : { subject: query.subject }),
          ...(query.client === undefined ? {} : { client: query.client }),
        }
        const found = (await tokens.grants.list(filter)).slice(0, 1_000)
        const iso = (seconds: number) => new Date(seconds * 1_000).toISOString()
        return {
          status: 200,
          body: {
            items: found.map(({ id, subject, client, scopes, issuedAt, expiresAt }) => ({
              id,
              subject,
              client,
              scopes,
              issuedAt: iso(issuedAt),
              expiresAt: iso(expiresAt),
            })),
          },
        }
      },
    },
    {
      operation: 'endConsent',
      level: 'operator',
      async handle({ params, audit }) {
        const tokens = service()
        if (tokens === undefined) throw withoutService()
        if (!(await tokens.grants.revoke(params.id!))) {
          throw new AdminProblem(404, 'admin.not-found', 'There is no such consent.')
        }
        audit({ id: params.id! })
        return { status: 204 }
      },
    },
  ]
}

interface EndBody {
  readonly subject?: string
  readonly client?: string
  readonly token?: { readonly issuer: string; readonly id: string }
}

export const withoutService = () =>
  new AdminProblem(409, 'admin.no-token-service', 'This gate issues no tokens: `tokenService` is not switched on.')
