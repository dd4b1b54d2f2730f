import { ConfigError } from '../../base/errors.ts'
import type { Principal } from '../../gate/principal.ts'
import type { KeyRing, Sealer } from '../../vault/index.ts'
import { callers } from '../authorize/callers.ts'
import { parseExact } from './json.ts'
import type { FieldRule, Sight } from './options.ts'

/** A protected field, ready for requests. */
export interface Field {
  readonly name: string
  readonly atRest: FieldRule['atRest']
  readonly owner: string | undefined
  readonly bind: string | undefined
  readonly unsealed: 'remove' | 'show'
  /** Whether a caller may come to see something that stands for the value, and send it back. */
  readonly masks: boolean
  /** Whether anyone gets to see the encrypted form. */
  readonly showsEnvelope: boolean
  /** What this caller may see; `isOwner` is asked only where that decides. */
  readonly sightOf: (principal: Principal | undefined, isOwner: () => boolean) => Sight
  /** The keys, once they are there. */
  readonly keys: FieldKeys | undefined
}

/** The keys of one field, opened when the gate loads. */
export interface FieldKeys {
  readonly purpose: string
  /** Bare once they are there. */
  readonly sealer: () => Sealer | Promise<Sealer>
}

/** Makes a field of what the configuration or a schema says. `where` names that in messages. */
export function fieldOf(
  rule: FieldRule,
  name: string,
  where: string,
  keysOf: (name: string, atRest: NonNullable<FieldRule['atRest']>) => FieldKeys,
): Field {
  const { atRest, owner, bind, unsealed } = rule
  if (rule.response.owner !== undefined && owner === undefined) {
    throw new ConfigError('P1411', `${where}: \`owner\` may see the field, and nothing says who that is`, {
      hint: 'name the property that holds the subject: `owner: userId`',
    })
  }
  if (atRest === undefined && (bind !== undefined || Object.values(rule.response).includes('envelope'))) {
    throw new ConfigError('P1411', `${where}: \`bind\` and \`envelope\` are for fields with \`atRest\``)
  }
  if (atRest === 'deterministic' && bind !== undefined) {
    throw new ConfigError('P1411', `${where}: a value that is bound to its object cannot be found by look-ups`, {
      hint: 'use `atRest: encrypt`, or leave `bind` out',
    })
  }
  return {
    name,
    atRest,
    owner,
    bind,
    unsealed,
    masks: Object.values(rule.response).some((sight) => sight === 'last4' || sight === 'mask'),
    showsEnvelope: Object.values(rule.response).includes('envelope'),
    sightOf: sights(rule.response, where),
    keys: atRest === undefined ? undefined : keysOf(name, atRest),
  }
}

const kinds = /^(?:role|app|scope|via|sub):/

function sights(response: FieldRule['response'], where: string): Field['sightOf'] {
  const tests = Object.entries(response).map(([who, sight]) => {
    if (who === 'owner') return { sight, owner: true, test: undefined }
    // A bare word is a role: that is what people are sorted by where data is shown.
    const entry = who === '*' || kinds.test(who) ? who : `role:${who}`
    return { sight, owner: false, test: callers([entry], where) }
  })
  return (principal, isOwner) => {
    if (principal === undefined) return 'remove'
    for (const { sight, owner, test } of tests) {
      if (owner ? isOwner() : test!(principal)) return sight
    }
    return 'remove'
  }
}

/** Opens the keys of fields once each, when the gate loads, and again where that failed. */
export function fieldKeys(
  api: string,
  vault: () => Promise<KeyRing>,
): (name: string, atRest: 'encrypt' | 'deterministic') => FieldKeys {
  const known = new Map<string, FieldKeys>()
  return (name, atRest) => {
    // Look-ups have keys of their own, because a rotation loses them: see docs/decisions/vault.md.
    const purpose = `${atRest === 'encrypt' ? 'field' : 'lookup'}/${spelt(api)}/${spelt(name)}`
    let keys = known.get(purpose)
    if (keys === undefined) {
      let sealer: Sealer | undefined
      let opening: Promise<Sealer> | undefined
      const open = () => {
        opening ??= vault()
          .then((ring) => ring.sealer(purpose))
          .then((opened) => {
            sealer = opened
            return opened
          })
          .finally(() => {
            opening = undefined
          })
        return opening
      }
      keys = { purpose, sealer: () => sealer ?? open() }
      known.set(purpose, keys)
    }
    return keys
  }
}

/** Names as purposes may hold them. */
function spelt(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

const envelopePrefix = 'pe1.'

/** Whether a value has the form of an encrypted field, of whatever field and whether or not it opens. */
export function isEnvelope(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith(envelopePrefix)
}

/** The text that stands for a value at the upstream: version, field, what the vault made. Fit for paths and queries. */
export function sealField(field: Field, sealer: Sealer, value: unknown, bound: string): string {
  const plain = Buffer.from(JSON.stringify(value))
  const sealed = field.atRest === 'deterministic' ? sealer.sealSame(plain, bound) : sealer.seal(plain, bound)
  plain.fill(0)
  return `${envelopePrefix}${Buffer.from(field.name).toString('base64url')}.${sealed}`
}

/** The value behind an envelope. Throws `SealBroken`. */
export function openField(sealer: Sealer, envelope: string, bound: string): unknown {
  const plain = sealer.open(envelope.slice(envelope.indexOf('.', envelopePrefix.length) + 1), bound)
  return parseExact(Buffer.from(plain).toString('utf8'))
}

/** What a caller sees in place of a value. */
export function masked(value: unknown, sight: 'last4' | 'mask'): string {
  const text = typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
  // Four of less than eight would be half of it or more.
  if (sight === 'mask' || text.length < 8) return '***'
  return `****${Array.from(text).slice(-4).join('')}`
}

/** Whether a value is what `masked` makes. */
export function isMasked(value: unknown): boolean {
  return typeof value === 'string' && /^(?:\*{3}|\*{4}.{4})$/su.test(value)
}
