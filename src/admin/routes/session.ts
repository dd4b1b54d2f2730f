import { type SessionCookie, type Sessions, sessionCookie } from '../../credentials/sessions.ts'
import type { Accounts } from '../../identity/accounts.ts'
import { hasSecondFactor, sessionAudience } from '../admin.ts'
import { AdminProblem, type AdminRoute, roleOf } from '../contract.ts'

export interface SessionRoutesOptions {
  readonly accounts: Accounts
  readonly sessions: Sessions
  readonly now: () => number
  readonly ttlMs: number
  readonly idleMs: number
}

/** The cookie of the administration: other than the APIs', and never sent along by another site. */
export const adminCookie: SessionCookie = sessionCookie({ name: '__Host-portcullis-admin', sameSite: 'Strict' })

/** RFC 9110, 15.5.2: a 401 carries a challenge. */
const challenge = { 'www-authenticate': `Cookie realm="portcullis-admin", name="${adminCookie.name}"` }

const wrong = () => new AdminProblem(401, 'admin.sign-in', 'The name, the password or the code is wrong.', challenge)

/** Signing in with a password, and a second factor where the account has one. */
export function adminRoutes({ accounts, sessions, now, ttlMs, idleMs }: SessionRoutesOptions): AdminRoute[] {
  return [
    {
      operation: 'signIn',
      level: 'everyone',
      async handle({ body, address, audit }) {
        const { name, password, code } = body as { name: string; password: string; code?: string }
        const whence = { address }
        const tried = await accounts.tryPassword(name, password, whence)
        if (tried.kind === 'locked') throw locked(tried.retryAfterMs)
        if (tried.kind === 'busy') {
          throw new AdminProblem(503, 'admin.busy', 'Too many passwords are being checked. Try again.', {
            'retry-after': '1',
          })
        }
        if (tried.kind === 'wrong') throw wrong()
        const secondDone = await hasSecondFactor(accounts, tried.name)
        if (secondDone) {
          // Only who knows the password learns that there is more to show.
          if (code === undefined) {
            throw new AdminProblem(
              401,
              'admin.code-missing',
              'This account has a second factor: send `code`, too.',
              challenge,
            )
          }
          const isCode = /^\d{6}$/.test(code)
          const second = await (isCode ? accounts.tryTotp : accounts.tryRecoveryCode)(tried.name, code, whence)
          if (second.kind === 'locked') throw locked(second.retryAfterMs)
          if (second.kind !== 'right') throw wrong()
        }
        const user = await accounts.find(tried.name)
        const roles = user?.roles.filter((role) =>
          ['viewer', 'operator', 'admin'].some((level) => role === roleOf(level as 'admin')),
        )
        if (user === undefined || roles === undefined) throw wrong()
        const id = await sessions.create({
          subject: user.name,
          claims: {
            audience: sessionAudience,
            roles,
            auth_time: Math.floor(now() / 1_000),
            amr: secondDone ? ['pwd', 'mfa'] : ['pwd'],
          },
          ttlMs,
          idleMs,
          tags: [`admin:${user.name}`],
        })
        audit({ id: user.name, after: { signedIn: true, secondFactor: secondDone } })
        return {
          status: 200,
          body: { subject: user.name, via: 'session', roles, expiresAt: new Date(now() + ttlMs).toISOString() },
          headers: { 'set-cookie': adminCookie.set(id, ttlMs / 1_000) },
        }
      },
    },
    {
      operation: 'whoAmI',
      level: 'viewer',
      handle: ({ caller, level }) => ({
        status: 200,
        body: { subject: caller.subject, via: caller.via, roles: [...caller.roles].slice(0, 256), level },
      }),
    },
    {
      operation: 'signOut',
      level: 'viewer',
      async handle({ headers, caller, audit }) {
        const cookies = typeof headers.cookie === 'string' ? headers.cookie.split(/;\s*/) : []
        const own = cookies.find((one) => one.startsWith(`${adminCookie.name}=`))
        if (own !== undefined) await sessions.revoke(own.slice(adminCookie.name.length + 1))
        audit({ id: caller.subject })
        return { status: 204, headers: { 'set-cookie': adminCookie.clear } }
      },
    },
  ]
}

function locked(retryAfterMs: number): AdminProblem {
  return new AdminProblem(429, 'admin.locked', 'Too many wrong tries. Wait as long as Retry-After says.', {
    'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))),
  })
}
