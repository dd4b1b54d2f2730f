import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from 'node:crypto'
import { parseStrictJson } from '../../base/json.ts'

/*
 * Compact JWS (RFC 7515) as an access token needs it, and nothing else: no nested, detached or unencoded payloads, no
 * keys taken from the token itself. Written on node:crypto because a synchronous check costs half of what the
 * promise-based libraries do; `jws.test.ts` compares every verdict with `jose`.
 */

/** How each algorithm is checked, and the only kind of key it may be checked with (RFC 8725, 3.1 and 3.2). */
interface Algorithm {
  readonly hash: string | null
  readonly keyType: 'rsa' | 'ec' | 'ed25519' | 'secret'
  readonly curve?: string
  readonly signatureBytes?: number
  readonly pssSaltBytes?: number
}

const rsa = (hash: string): Algorithm => ({ hash, keyType: 'rsa' })
const pss = (hash: string, pssSaltBytes: number): Algorithm => ({ hash, keyType: 'rsa', pssSaltBytes })
const ec = (hash: string, curve: string, signatureBytes: number): Algorithm => ({
  hash,
  keyType: 'ec',
  curve,
  signatureBytes,
})
const hmac = (hash: string, signatureBytes: number): Algorithm => ({ hash, keyType: 'secret', signatureBytes })
const ed25519: Algorithm = { hash: null, keyType: 'ed25519', signatureBytes: 64 }

const algorithms: ReadonlyMap<string, Algorithm> = new Map([
  ['RS256', rsa('sha256')],
  ['RS384', rsa('sha384')],
  ['RS512', rsa('sha512')],
  ['PS256', pss('sha256', 32)],
  ['PS384', pss('sha384', 48)],
  ['PS512', pss('sha512', 64)],
  ['ES256', ec('sha256', 'prime256v1', 64)],
  ['ES384', ec('sha384', 'secp384r1', 96)],
  ['ES512', ec('sha512', 'secp521r1', 132)],
  ['EdDSA', ed25519],
  ['Ed25519', ed25519],
  ['HS256', hmac('sha256', 32)],
  ['HS384', hmac('sha384', 48)],
  ['HS512', hmac('sha512', 64)],
])

/** The names an allow-list may hold. `none` is not among them. */
export const algorithmNames = [...algorithms.keys()] as [string, ...string[]]

export interface Jws {
  readonly algorithm: string
  readonly keyId: string | undefined
  /** The `typ` header, lower case, without `application/` (RFC 7515, 4.1.9). */
  readonly type: string | undefined
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
  readonly signingInput: string
  readonly signature: Buffer
}

/** Why a token is not a JWS that anybody should look at further; `foreign`: it has not even the outer form of one. */
export type JwsFault = 'foreign' | 'malformed' | 'critical-header'

const compact = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/
/** Claims of real tokens are two or three levels deep. */
const depthMax = 16

/** Takes a token apart, or says what is wrong with it. Nothing in the result is proved yet. */
export function parseJws(token: string): Jws | JwsFault {
  if (!compact.test(token)) return 'foreign'
  const headerEnd = token.indexOf('.')
  const payloadEnd = token.indexOf('.', headerEnd + 1)
  const header = parseObject(token.slice(0, headerEnd))
  const claims = parseObject(token.slice(headerEnd + 1, payloadEnd))
  if (header === undefined || claims === undefined) return 'malformed'
  // A recipient must reject a critical header it does not know (RFC 7515, 4.1.11), and this one knows none; `b64`
  // (RFC 7797) would change what is signed and counts even where `crit` forgets to name it.
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) return 'critical-header'
  const { alg, kid, typ } = header
  if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string')) return 'malformed'
  if (typ !== undefined && typeof typ !== 'string') return 'malformed'
  return {
    algorithm: alg,
    keyId: kid,
    type: typ?.toLowerCase().replace(/^application\//, ''),
    header,
    claims,
    signingInput: token.slice(0, payloadEnd),
    signature: Buffer.from(token.slice(payloadEnd + 1), 'base64url'),
  }
}

function parseObject(part: string): Record<string, unknown> | undefined {
  // One character cannot be the rest of a base64url text (RFC 4648, 5).
  if (part.length % 4 === 1) return undefined
  try {
    // A name that stands twice would be read by some as the first and by others as the last (RFC 8725, 2.6; RFC 7519, 4).
    const value = parseStrictJson(Buffer.from(part, 'base64url'), depthMax)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** Whether a key may be used with an algorithm at all. This is where RS/HS confusion ends. */
export function keyFits(name: string, key: KeyObject): boolean {
  const algorithm = algorithms.get(name)
  if (algorithm === undefined) return false
  if (algorithm.keyType === 'secret') return key.type === 'secret'
  if (key.type !== 'public' || key.asymmetricKeyType !== algorithm.keyType) return false
  return algorithm.curve === undefined || key.asymmetricKeyDetails?.namedCurve === algorithm.curve
}

/** Checks the signature. The caller has made sure that the algorithm is allowed and that the key fits it. */
export function verifyJws(jws: Jws, key: KeyObject): boolean {
  const algorithm = algorithms.get(jws.algorithm)
  if (algorithm === undefined || !keyFits(jws.algorithm, key)) return false
  const { signature } = jws
  if (signature.length === 0) return false
  if (algorithm.signatureBytes !== undefined && signature.length !== algorithm.signatureBytes) return false
  // The signing input is ASCII: `parseJws` has seen to it.
  const input = Buffer.from(jws.signingInput, 'latin1')
  switch (algorithm.keyType) {
    case 'rsa':
      return algorithm.pssSaltBytes === undefined
        ? verify(algorithm.hash, input, key, signature)
        : verify(
            algorithm.hash,
            input,
            { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: algorithm.pssSaltBytes },
            signature,
          )
    case 'ec':
      return verify(algorithm.hash, input, { key, dsaEncoding: 'ieee-p1363' }, signature)
    case 'ed25519':
      return verify(null, input, key, signature)
    case 'secret':
      return timingSafeEqual(createHmac(algorithm.hash!, key).update(input).digest(), signature)
  }
}
