import { constants, hash, timingSafeEqual, verify } from 'node:crypto'
import { isInnerList, ParseError, parseDictionary, serializeInnerList } from 'structured-headers'
import type { Exchange } from '../../gate/exchange.ts'
import type { SignatureAlgorithm, SignatureKey } from './client-keys.ts'

/*
 * Message signatures (RFC 9421) of requests, and the digests of content that they cover (RFC 9530).
 */

/** Why a signature does not hold, for the operator. The caller learns that it does not. */
export class SignatureBroken extends Error {
  override readonly name = 'SignatureBroken'
}

export interface SignatureRules {
  /** What must be covered where it is there. */
  readonly components: readonly string[]
  readonly maxAgeMs: number
}

/** A signature that holds. */
export interface Verified {
  readonly kid: string
  /** The same for every copy of this signature: whoever has seen it has seen the request. */
  readonly id: string
  readonly coversDigest: boolean
}

const headerCharactersMax = 8_192
const labelsMax = 5
const componentsMax = 50
const skewMs = 30_000

/** Whether a request carries a signature at all. */
export function isSigned({ headers }: Exchange): boolean {
  return headers.signature !== undefined || headers['signature-input'] !== undefined
}

/** Verifies the signature that the caller made with one of `keys`. Throws `SignatureBroken`. */
export function verifySignature(
  exchange: Exchange,
  keys: readonly SignatureKey[],
  { components, maxAgeMs }: SignatureRules,
  nowMs: number,
): Verified {
  const inputs = dictionary(exchange, 'signature-input')
  const signatures = dictionary(exchange, 'signature')
  for (const [label, input] of inputs) {
    const value = signatures.get(label)
    if (value === undefined || !isInnerList(input) || isInnerList(value)) continue
    const [items, parameters] = input
    const key = keys.find(({ kid }) => kid === parameters.get('keyid'))
    // Somebody else's signature, such as a proxy's, is neither here nor there.
    if (key === undefined) continue
    const [bytes] = value
    if (!(bytes instanceof ArrayBuffer)) throw new SignatureBroken('the signature is no byte sequence')
    checkTimes(parameters, maxAgeMs, nowMs)
    const alg = parameters.get('alg')
    if (alg !== undefined && alg !== key.alg) throw new SignatureBroken('alg is not that of the key')
    const covered = names(items)
    for (const name of components) {
      if (!covered.has(name) && isThere(exchange, name)) throw new SignatureBroken(`does not cover ${name}`)
    }
    const lines = [...covered].map((name) => `"${name}": ${componentValue(exchange, name)}\n`)
    const base = Buffer.from(`${lines.join('')}"@signature-params": ${serializeInnerList(input)}`)
    if (!holds(key, base, Buffer.from(bytes))) throw new SignatureBroken('the signature is of something else')
    return { kid: key.kid, id: hash('sha256', base, 'base64url'), coversDigest: covered.has('content-digest') }
  }
  throw new SignatureBroken('no signature by a key of this caller')
}

/**
 * Whether the content is what its digest says: every algorithm that is known must agree, and one must be there (RFC 9530,
 * 2 and 5: sha-256 and sha-512 are those to rely on).
 */
export function digestHolds(header: string, body: Uint8Array): boolean {
  if (header.length > headerCharactersMax) return false
  let known = 0
  try {
    for (const [algorithm, member] of parseDictionary(header)) {
      if (algorithm !== 'sha-256' && algorithm !== 'sha-512') continue
      const [said] = member
      if (!(said instanceof ArrayBuffer)) return false
      const found = hash(algorithm === 'sha-256' ? 'sha256' : 'sha512', body, 'buffer')
      if (said.byteLength !== found.length || !timingSafeEqual(Buffer.from(said), found)) return false
      known++
    }
  } catch (error) {
    if (error instanceof ParseError) return false
    throw error
  }
  return known > 0
}

function dictionary(exchange: Exchange, name: string) {
  const text = fieldValue(exchange, name)
  if (text === undefined) throw new SignatureBroken(`${name} is missing`)
  if (text.length > headerCharactersMax) throw new SignatureBroken(`${name} is too long`)
  try {
    const parsed = parseDictionary(text)
    if (parsed.size > labelsMax) throw new SignatureBroken('too many signatures')
    return parsed
  } catch (error) {
    if (error instanceof ParseError) throw new SignatureBroken(`${name} is no dictionary (RFC 9651)`)
    throw error
  }
}

type InnerItems = Parameters<typeof serializeInnerList>[0][0]
type SignatureParameters = Parameters<typeof serializeInnerList>[0][1]

/** The components that are covered, each once (RFC 9421, 2.5). */
function names(items: InnerItems): ReadonlySet<string> {
  if (items.length > componentsMax) throw new SignatureBroken('covers too many components')
  const covered = new Set<string>()
  for (const [name, parameters] of items) {
    // What `;sf`, `;key`, `;bs`, `;tr` and `;req` make of a component is nothing that is needed here.
    if (typeof name !== 'string' || parameters.size > 0) throw new SignatureBroken('a component has parameters')
    if (covered.has(name)) throw new SignatureBroken('covers a component twice')
    covered.add(name)
  }
  return covered
}

function checkTimes(parameters: SignatureParameters, maxAgeMs: number, nowMs: number): void {
  const created = parameters.get('created')
  if (typeof created !== 'number' || !Number.isInteger(created)) throw new SignatureBroken('created is missing')
  if (created * 1000 > nowMs + skewMs) throw new SignatureBroken('created lies in the future')
  if (created * 1000 + maxAgeMs < nowMs) throw new SignatureBroken('too old')
  const expires = parameters.get('expires')
  if (expires === undefined) return
  if (typeof expires !== 'number' || expires * 1000 <= nowMs) throw new SignatureBroken('expired')
}

/** Whether a request has what it should cover: derived components always, the digest with a body, headers when sent. */
function isThere(exchange: Exchange, name: string): boolean {
  if (name.startsWith('@')) return true
  if (name !== 'content-digest') return exchange.headers[name] !== undefined
  return exchange.headers[name] !== undefined || announcesBody(exchange)
}

function announcesBody({ headers }: Exchange): boolean {
  const length = headers['content-length']
  return length === undefined ? headers['transfer-encoding'] !== undefined : length !== '0'
}

/** RFC 9421, 2.1 and 2.2: of what came over the wire, before anything was made of it. */
function componentValue(exchange: Exchange, name: string): string {
  if (!name.startsWith('@')) {
    const value = fieldValue(exchange, name)
    if (value === undefined) throw new SignatureBroken('covers a header that is not there')
    return value
  }
  const { method, target, peer } = exchange
  const scheme = peer.encrypted ? 'https' : 'http'
  const written = originForm(exchange.rawTarget)
  const at = written.indexOf('?')
  const path = at === -1 ? written : written.slice(0, at)
  const authority = target.authority.replace(peer.encrypted ? /:443$/ : /:80$/, '')
  switch (name) {
    case '@method':
      return method
    case '@authority':
      return authority
    case '@scheme':
      return scheme
    case '@request-target':
      return exchange.rawTarget
    case '@path':
      return path
    case '@query':
      return at === -1 ? '?' : written.slice(at)
    case '@target-uri':
      return `${scheme}://${authority}${written}`
    default:
      throw new SignatureBroken('covers a component that is not known')
  }
}

function originForm(rawTarget: string): string {
  if (rawTarget.startsWith('/')) return rawTarget
  const rest = /^https?:\/\/[^/?#]*(.*)$/i.exec(rawTarget)?.[1] ?? ''
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** All lines of a header, in order, without the white space around them. */
function fieldValue({ rawHeaders }: Exchange, name: string): string | undefined {
  let found: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== name) continue
    const value = rawHeaders[i + 1]!.trim()
    found = found === undefined ? value : `${found}, ${value}`
  }
  return found
}

function holds({ alg, key }: SignatureKey, base: Buffer, signature: Buffer): boolean {
  return verifiers[alg](base, key, signature)
}

type Verifier = (base: Buffer, key: SignatureKey['key'], signature: Buffer) => boolean

const verifiers: Readonly<Record<SignatureAlgorithm, Verifier>> = {
  ed25519: (base, key, signature) => verify(null, base, key, signature),
  'ecdsa-p256-sha256': (base, key, signature) => verify('sha256', base, { key, dsaEncoding: 'ieee-p1363' }, signature),
  'ecdsa-p384-sha384': (base, key, signature) => verify('sha384', base, { key, dsaEncoding: 'ieee-p1363' }, signature),
  'rsa-pss-sha512': (base, key, signature) =>
    verify('sha512', base, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 }, signature),
}
