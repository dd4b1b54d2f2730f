import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import type { KeyRing } from '../vault/index.ts'

const purpose = 'known-devices'
const lifeMs = 365 * 24 * 3_600_000

/** Devices on which an account signed in: what their cookies say, and whether it is true. */
export interface Devices {
  /** The value of a cookie for a device on which this account just signed in. */
  mint(name: string): Promise<string>
  /** The device's id, if the cookie is ours and for this very account. */
  read(cookie: string | undefined, name: string): Promise<string | undefined>
  readonly lifeMs: number
}

/** Nothing is stored: `<id>.<end>.<mac over both and the account>`. */
export function createDevices({ vault, now }: { vault: () => Promise<KeyRing>; now: Clock }): Devices {
  const macOf = (key: Uint8Array, id: string, end: string, name: string) =>
    createHmac('sha256', key).update(`${id}.${end}.${name}`).digest()

  return {
    lifeMs,
    async mint(name) {
      const id = randomBytes(12).toString('base64url')
      const end = (now() + lifeMs).toString(36)
      const [key] = await (await vault()).secrets(purpose, 32)
      return `${id}.${end}.${macOf(key!, id, end, name).toString('base64url')}`
    },
    async read(cookie, name) {
      const [, id, end, mac] = /^([\w-]{16})\.([0-9a-z]{1,12})\.([\w-]{43})$/.exec(cookie ?? '') ?? []
      if (id === undefined || end === undefined || mac === undefined) return undefined
      const given = Buffer.from(mac, 'base64url')
      const keys = await (await vault()).secrets(purpose, 32)
      if (!keys.some((key) => timingSafeEqual(macOf(key, id, end, name), given))) return undefined
      return Number.parseInt(end, 36) > now() ? id : undefined
    },
  }
}
