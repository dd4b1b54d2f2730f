import type { TokenService } from '../../identity/service.ts'
import type { KeyRing } from '../../vault/index.ts'
import { type AdminRoute, notFound } from '../contract.ts'
import { isoOf } from '../reply.ts'
import { withoutService } from './ends.ts'

export interface VaultRoutesOptions {
  readonly vault: () => Promise<KeyRing>
  readonly service: () => TokenService | undefined
  /** A new signing key for tokens, now. */
  readonly rotateSigning: () => Promise<void>
}

/** The gate's own keys over HTTP: what there is and for how long, never a key. */
export function adminRoutes({ vault, service, rotateSigning }: VaultRoutesOptions): AdminRoute[] {
  return [
    {
      operation: 'listVault',
      level: 'viewer',
      async handle() {
        const purposes = await (await vault()).list()
        const items = purposes.map(({ purpose, keys }) => ({
          purpose,
          keys: keys.map(({ id, createdAt, state, openUntil }) => ({
            id,
            state,
            createdAt: isoOf(createdAt),
            openUntil: isoOf(openUntil),
          })),
        }))
        return { status: 200, body: { items } }
      },
    },
    {
      operation: 'rotateVault',
      level: 'admin',
      async handle({ body, audit }) {
        const { purpose, graceSeconds } = body as { purpose: string; graceSeconds?: number }
        const options = graceSeconds === undefined ? {} : { graceMs: graceSeconds * 1_000 }
        const id = await (await vault()).rotate(purpose, options)
        if (id === undefined) throw notFound('purpose')
        audit({ id: purpose, after: { key: id, graceSeconds: graceSeconds ?? null } })
        return { status: 200, body: { purpose, key: id } }
      },
    },
    {
      operation: 'listSigningKeys',
      level: 'viewer',
      handle() {
        const tokens = service()
        if (tokens === undefined) throw withoutService()
        const items = tokens.jwks().keys.map(({ kid, alg, use }) => ({ kid, alg: alg ?? null, use: use ?? null }))
        return { status: 200, body: { issuer: tokens.issuer, items } }
      },
    },
    {
      operation: 'rotateSigningKeys',
      level: 'admin',
      async handle({ audit }) {
        if (service() === undefined) throw withoutService()
        await rotateSigning()
        audit({ id: 'signing' })
        return { status: 204 }
      },
    },
  ]
}
