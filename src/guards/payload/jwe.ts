import { CompactEncrypt, compactDecrypt, decodeProtectedHeader, errors } from 'jose'
import type { EncryptionKey } from './client-keys.ts'
import type { GateKeys } from './gate-keys.ts'

/** What came out of a JWE. */
export interface Opened {
  readonly plain: Buffer
  /** Its `cty` (RFC 7516, 4.1.12). */
  readonly type: string | undefined
}

/** Everything that is wrong with a JWE. The caller learns nothing of it; the reason is for the operator. */
export class JweBroken extends Error {
  override readonly name = 'JweBroken'
}

const headerCharactersMax = 4_096
const keyAlgorithms = ['ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW']
const contentAlgorithms = ['A256GCM', 'A128GCM']

/** Opens a JWE in compact serialization that was made for this gate. Throws `JweBroken`. */
export async function openJwe(text: string, keys: GateKeys): Promise<Opened> {
  // Five parts, and no more header than anybody needs, before anything of it is read.
  const end = text.indexOf('.')
  if (end < 1 || end > headerCharactersMax) throw new JweBroken('no JWE in compact serialization')
  try {
    const header = decodeProtectedHeader(text)
    // RFC 8725, 3.6: what is compressed before it is encrypted may tell its length, and grow without bound.
    if (header.zip !== undefined) throw new JweBroken('compressed')
    if (!keyAlgorithms.includes(header.alg!) || !contentAlgorithms.includes(header.enc!)) {
      throw new JweBroken('algorithm')
    }
    if (typeof header.kid !== 'string') throw new JweBroken('no kid')
    const key = await keys.find(header.kid)
    if (key === undefined) throw new JweBroken('unknown key')
    const { plaintext, protectedHeader } = await compactDecrypt(text, key, {
      keyManagementAlgorithms: keyAlgorithms,
      contentEncryptionAlgorithms: contentAlgorithms,
    })
    const { cty } = protectedHeader
    return {
      plain: Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength),
      type: typeof cty === 'string' ? cty : undefined,
    }
  } catch (error) {
    if (error instanceof JweBroken) throw error
    // Whatever a library says of input that somebody made up: it did not open.
    if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof DOMException) {
      throw new JweBroken(error instanceof errors.JWEDecryptionFailed ? 'changed' : 'malformed')
    }
    throw error
  }
}

/** Encrypts to a caller's key. */
export function sealJwe(plain: Uint8Array, { alg, kid, key }: EncryptionKey, type?: string): Promise<string> {
  return new CompactEncrypt(plain)
    .setProtectedHeader({
      alg,
      enc: 'A256GCM',
      ...(kid === undefined ? {} : { kid }),
      ...(type === undefined ? {} : { cty: shortType(type) }),
    })
    .encrypt(key)
}

/** RFC 7516, 4.1.12: `application/` may be left out where no other slash follows. */
function shortType(type: string): string {
  const short = type.replace(/^application\//i, '')
  return /[/;]/.test(short) ? type : short
}

/** The media type that a `cty` stands for; `undefined` for one that may not stand in a header. */
export function mediaTypeOf(type: string): string | undefined {
  const whole = type.includes('/') ? type : `application/${type}`
  return whole.length <= 200 &&
    /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:\s*;\s*[\w-]+=(?:[\w.:+/'=-]+|"[\w .:+/'=-]*"))*$/.test(whole)
    ? whole
    : undefined
}
