import { createHmac } from 'node:crypto'
import { type Adapter, type AdapterPayload, errors } from 'oidc-provider'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Store } from '../store/store.ts'
import { type KeyRing, SealBroken } from '../vault/index.ts'

/*
 * What the provider keeps, in a `Store`. Codes, tokens and sessions are found by what their bearer shows, so these are
 * never written down: the key is a keyed hash, the value is sealed. Whoever reads the store finds neither.
 *
 * Codes, refresh tokens and device codes belong to a grant. They are good only while its record stands, so that deleting
 * this one record ends all of them at once, whatever another process is writing meanwhile.
 */

/** Everything of the token service in a store stands below this. */
export const oauthPrefix = 'oauth/'
const purpose = 'identity/oauth'

const ofAGrant = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode'])

export interface AdapterOptions {
  readonly store: Store
  readonly ring: KeyRing
  readonly log: Logger
  /** Whether the provider may be told of a client, as OpenID Connect calls its properties. */
  readonly findClient: (id: string) => Promise<AdapterPayload | undefined>
  /** An access token that was shown as a JWT and is being introspected or revoked, by its stand-in. */
  readonly findShown: (standIn: string) => AdapterPayload | undefined
  readonly endShown: (payloadId: string) => Promise<void>
  /** Told that a grant ended, before its record is gone. */
  readonly endGrant: (grantId: string) => Promise<void>
  /** Told of a code or token that was shown twice at the same moment: only one of the two was served. */
  readonly onRace: (model: string, payload: AdapterPayload) => void
}

export type AdapterFactory = (model: string) => Adapter

/** A grant as lists show it. */
export interface StoredGrant {
  readonly id: string
  readonly subject: string
  readonly client: string
  readonly issuedAt: number
  readonly expiresAt: number
  readonly scopes: readonly string[]
}

export interface GrantStore {
  readonly adapterFor: AdapterFactory
  /** Whether this is the first time that somebody shows this, within so many seconds, in all processes together. */
  once(id: string, seconds: number): Promise<boolean>
  /** Grants that stand and that are wanted, in no order; at most `limit`. */
  list(limit: number, isWanted?: (grant: StoredGrant) => boolean): Promise<readonly StoredGrant[]>
  /** Ends a grant; whether there was one. */
  end(id: string): Promise<boolean>
}

/** The storage of the provider. */
export function createGrantStore(options: AdapterOptions): GrantStore {
  const { store, ring, log, findClient, findShown, endShown, endGrant, onRace } = options

  const names = async (kind: string, id: string): Promise<string[]> => {
    const secrets = await ring.secrets(`${purpose}/ids`, 32)
    return secrets.map(
      (secret) => `${oauthPrefix}${kind}/${createHmac('sha256', secret).update(`${kind}\0${id}`).digest('base64url')}`,
    )
  }
  const seal = (value: object, at: string) => ring.seal(purpose, Buffer.from(JSON.stringify(value)), at)

  async function unseal<T>(sealed: unknown, at: string): Promise<T | undefined> {
    if (typeof sealed !== 'string') return undefined
    try {
      return JSON.parse(Buffer.from(await ring.open(purpose, sealed, at)).toString('utf8')) as T
    } catch (error) {
      // Its key was destroyed, or somebody wrote into the store: either way it is nothing anybody may use.
      if (!(error instanceof SealBroken)) throw error
      log.warn('A record of the token service cannot be opened.', { record: at, reason: messageOf(error) })
      return undefined
    }
  }

  /** The record with what stands in the store, and where. */
  async function read(kind: string, id: string) {
    // By the newest secret first: it is the one that nearly every record was written with.
    for (const at of await names(kind, id)) {
      const sealed = await store.get(at)
      if (sealed === undefined) continue
      const payload = await unseal<AdapterPayload>(sealed, at)
      return payload === undefined ? undefined : { at, sealed, payload }
    }
    return undefined
  }

  async function write(kind: string, id: string, value: object, seconds: number | undefined): Promise<void> {
    const at = (await names(kind, id))[0]!
    await store.put(at, await seal(value, at), seconds === undefined ? {} : { ttlMs: Math.max(1, seconds) * 1_000 })
  }

  async function remove(kind: string, id: string): Promise<boolean> {
    let removed = false
    for (const at of await names(kind, id)) removed = (await store.delete(at)) || removed
    return removed
  }

  async function end(id: string): Promise<boolean> {
    // First the tokens that carry its name, then the record: a crash between the two leaves too little, not too much.
    await endGrant(id)
    return remove('Grant', id)
  }

  async function find(model: string, id: string): Promise<AdapterPayload | undefined> {
    if (model === 'Client') return findClient(id)
    if (model === 'AccessToken') {
      const shown = findShown(id)
      if (shown !== undefined) return shown
    }
    const payload = (await read(model, id))?.payload
    if (payload?.grantId === undefined || !ofAGrant.has(model)) return payload
    return (await read('Grant', payload.grantId)) === undefined ? undefined : payload
  }

  async function findBy(index: string, model: string, name: string): Promise<AdapterPayload | undefined> {
    const found = (await read(index, name))?.payload as { readonly id?: string } | undefined
    return found?.id === undefined ? undefined : find(model, found.id)
  }

  const adapterFor = (model: string): Adapter => ({
    async upsert(id, payload, expiresIn) {
      if (model === 'Session' && payload.uid !== undefined) await write('session-uid', payload.uid, { id }, expiresIn)
      if (payload.userCode !== undefined) await write('user-code', payload.userCode, { id }, expiresIn)
      await write(model, id, payload, expiresIn)
    },
    find: (id) => find(model, id),
    findByUid: (uid) => findBy('session-uid', model, uid),
    findByUserCode: (userCode) => findBy('user-code', model, userCode),
    async consume(id) {
      const found = await read(model, id)
      if (found !== undefined && found.payload.consumed === undefined) {
        const { at, sealed, payload } = found
        const now = Math.floor(Date.now() / 1_000)
        const spent = await seal({ ...payload, consumed: now }, at)
        // Kept until it would have ended: whoever shows it again gives a theft away.
        const ttlMs = Math.max(1, (payload.exp ?? now) - now) * 1_000
        if (await store.put(at, spent, { onlyIfEquals: sealed, ttlMs })) return
      }
      // Somebody was faster, in this process or another: one of the two is a thief (RFC 9700, 4.14.2).
      if (found?.payload.grantId !== undefined) await end(found.payload.grantId)
      if (found !== undefined) onRace(model, found.payload)
      throw new errors.InvalidGrant('already used')
    },
    async destroy(id) {
      if (model === 'Grant') await end(id)
      else await remove(model, id)
      // One that is a JWT has no record: its name on the list of those that are over ends it.
      if (model === 'AccessToken') await endShown(id)
    },
    async revokeByGrantId(grantId) {
      await end(grantId)
    },
  })

  return {
    adapterFor,
    end,
    async once(id, seconds) {
      // A secret that was exchanged meanwhile must not make it the first time again.
      const [at, ...older] = await names('once', id)
      for (const name of older) if ((await store.get(name)) !== undefined) return false
      return store.put(at!, true, { onlyIfAbsent: true, ttlMs: Math.max(1, seconds) * 1_000 })
    },
    async list(limit, isWanted = () => true) {
      const grants: StoredGrant[] = []
      const prefix = `${oauthPrefix}Grant/`
      let after: string | undefined
      while (grants.length < limit) {
        const page = await store.list(prefix, after === undefined ? { limit: 1_000 } : { limit: 1_000, after })
        for (const { key, value } of page) {
          const payload = await unseal<AdapterPayload>(value, key)
          const grant = payload?.jti === undefined ? undefined : shownGrant(payload)
          if (grant !== undefined && isWanted(grant)) grants.push(grant)
        }
        if (page.length < 1_000) break
        after = page.at(-1)!.key
      }
      return grants.slice(0, limit)
    },
  }
}

function shownGrant({ jti, accountId, clientId, iat, exp, openid, resources }: AdapterPayload): StoredGrant {
  const scopes = [
    (openid as { readonly scope?: string } | undefined)?.scope,
    ...Object.values(resources ?? {}),
  ].flatMap((words) => words?.split(' ') ?? [])
  return {
    id: jti!,
    subject: accountId ?? '',
    client: clientId ?? '',
    issuedAt: (iat ?? 0) * 1_000,
    expiresAt: (exp ?? 0) * 1_000,
    scopes: [...new Set(scopes)].filter((scope) => scope !== ''),
  }
}
