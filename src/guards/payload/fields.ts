import { isContainer, readJson, writeJson } from '../protect/json.ts'
import type { EncryptionKey } from './client-keys.ts'
import type { GateKeys } from './gate-keys.ts'
import { JweBroken, openJwe, sealJwe } from './jwe.ts'

/** Three dots apart from the parts' own letters: what a JWE in compact serialization looks like (RFC 7516, 7.1). */
const compact = /^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]*\.[\w-]+$/

interface Opening {
  readonly keys: GateKeys
  readonly required: boolean
}

/**
 * Opens the fields of a JSON body that are encrypted. `plain`: one is not, though it must be. `undefined`: nothing to open,
 * or no JSON, which is for others to refuse. Throws `JweBroken`.
 */
export async function openFields(
  body: Buffer,
  pointers: readonly string[],
  { keys, required }: Opening,
): Promise<Buffer | 'plain' | undefined> {
  const read = readJson(body)
  if (read === undefined) return required ? 'plain' : undefined
  let changed = false
  for (const place of placesOf(read.value, pointers)) {
    const value = place.holder[place.name]
    if (typeof value !== 'string' || !compact.test(value)) {
      if (required) return 'plain'
      continue
    }
    const { plain } = await openJwe(value, keys)
    const inside = readJson(plain)
    if (inside === undefined) throw new JweBroken('the field holds no JSON')
    place.holder[place.name] = inside.value
    changed = true
  }
  return changed ? writeJson(read.value) : undefined
}

/** Encrypts the fields of a JSON body; `undefined` where it is none. */
export async function sealFields(
  body: Buffer,
  pointers: readonly string[],
  key: EncryptionKey,
): Promise<Buffer | undefined> {
  const read = readJson(body)
  if (read === undefined) return undefined
  for (const { holder, name } of placesOf(read.value, pointers)) {
    holder[name] = await sealJwe(writeJson(holder[name]), key, 'json')
  }
  return writeJson(read.value)
}

interface Place {
  readonly holder: Record<string, unknown>
  readonly name: string
}

/** The members that pointers (RFC 6901) lead to; what is not there is no place. `*` stands for every item of a list. */
function placesOf(value: unknown, pointers: readonly string[]): readonly Place[] {
  const found: Place[] = []
  const walk = (at: unknown, [token, ...rest]: readonly string[]): void => {
    if (token === undefined || !isContainer(at)) return
    if (token === '*' && Array.isArray(at)) {
      for (const index of at.keys()) walk(at, [String(index), ...rest])
      return
    }
    if (!Object.hasOwn(at, token)) return
    const holder = at as Record<string, unknown>
    if (rest.length > 0) walk(holder[token], rest)
    else if (found.length < placesMax) found.push({ holder, name: token })
    else throw new JweBroken('too many fields')
  }
  for (const pointer of pointers) {
    walk(
      value,
      pointer
        .slice(1)
        .split('/')
        .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~')),
    )
  }
  return found
}

/** Each is a key agreement: more of them in one body would be somebody's idea of work for the gate. */
const placesMax = 100
