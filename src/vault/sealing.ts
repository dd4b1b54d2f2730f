import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'

/** A sealed value does not open. The message says no more on purpose: whoever sent the value may read it. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken'
  /** For the operator: cut or not of ours; its key is gone; changed, moved, or of another purpose. */
  readonly reason: 'malformed' | 'unknown-key' | 'not-authentic'

  constructor(reason: SealBroken['reason']) {
    super('the sealed value cannot be opened')
    this.reason = reason
  }
}

const nonceBytes = 12
const tagBytes = 16
export const keyBytes = 32

/** Random bytes as a key. The bytes exist for a moment only; `use` sees them, to wrap them. */
export function newKey<T>(use: (bytes: Uint8Array) => T): T {
  const bytes = randomBytes(keyBytes)
  try {
    return use(bytes)
  } finally {
    bytes.fill(0)
  }
}

/** A key in the memory of OpenSSL, out of reach of heap dumps as text. The bytes handed in are zeroed. */
export function keyOf(bytes: Uint8Array): KeyObject {
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}

/** AES-256-GCM with a random nonce (NIST SP 800-38D, 8.2.2): nonce, ciphertext, tag. */
export function sealBytes(key: KeyObject, plain: Uint8Array, context: Uint8Array): Buffer {
  return sealAt(key, randomBytes(nonceBytes), plain, context)
}

/** What `sealBytes` or `sealSame` made, with the same key and context. Throws `SealBroken`. */
export function openBytes(key: KeyObject, sealed: Uint8Array, context: Uint8Array): Buffer {
  if (sealed.length < nonceBytes + tagBytes) throw new SealBroken('malformed')
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes })
  decipher.setAAD(context).setAuthTag(sealed.subarray(sealed.length - tagBytes))
  const plain = decipher.update(sealed.subarray(nonceBytes, sealed.length - tagBytes))
  try {
    decipher.final()
  } catch {
    plain.fill(0)
    throw new SealBroken('not-authentic')
  }
  return plain
}

/** The two keys of deterministic sealing, apart from each other and from the data key they come from. */
export interface SameKeys {
  readonly nonce: KeyObject
  readonly seal: KeyObject
}

export function sameKeysOf(key: KeyObject): SameKeys {
  const derive = (what: string) =>
    keyOf(new Uint8Array(hkdfSync('sha256', key, '', `portcullis same 1 ${what}`, keyBytes)))
  return { nonce: derive('nonce'), seal: derive('seal') }
}

/**
 * The same plaintext in the same context gives the same sealed value. The nonce is a MAC of both, so it repeats only where
 * everything does (a synthetic nonce, as in RFC 5297 and RFC 8452): what leaks is that two values are equal, and no more.
 */
export function sealSame(keys: SameKeys, plain: Uint8Array, context: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(context.length)
  const mac = createHmac('sha256', keys.nonce).update(length).update(context).update(plain).digest()
  return sealAt(keys.seal, mac.subarray(0, nonceBytes), plain, context)
}

function sealAt(key: KeyObject, nonce: Uint8Array, plain: Uint8Array, context: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(context)
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** Parts cannot run into each other: only the last may hold a NUL. */
export function contextOf(...parts: readonly string[]): Buffer {
  return Buffer.from(`portcullis vault 1\0${parts.join('\0')}`)
}
