import { createHash, createPublicKey, createVerify, type KeyObject, verify } from 'node:crypto'

/*
 * What it takes to believe a detached OpenPGP signature, and nothing more: version 4 keys and signatures (RFC 9580,
 * which takes RFC 4880 over), RSA and Ed25519, SHA-2. docs/decisions/crs-supply.md says why this is written here; gpg
 * is its judge in the tests.
 */

/** A signature or a key that is not believed; the message says why. */
export class SignatureError extends Error {
  override readonly name = 'SignatureError'
}

/** A public key, read and checked against its own self-signatures. */
export interface PublicKey {
  /** Of the primary key: 40 upper-case hexadecimal digits. */
  readonly fingerprint: string
  readonly userIds: readonly string[]
  /** The primary key and its subkeys, as far as they may sign data. */
  readonly signers: readonly Signer[]
}

interface Signer {
  readonly fingerprint: string
  readonly material: KeyMaterial
  /** Milliseconds; signatures made outside are not believed. */
  readonly notBefore: number
  readonly notAfter: number | undefined
}

/** A signature that holds. */
export interface GoodSignature {
  /** Of the primary key, as it is pinned. */
  readonly fingerprint: string
  /** Of the key that signed: the primary or one of its subkeys. */
  readonly signer: string
  readonly createdAt: number
}

interface KeyMaterial {
  readonly algorithm: number
  readonly createdAt: number
  readonly key: KeyObject
  /** Bytes of an RSA modulus. */
  readonly size: number
  readonly body: Buffer
  readonly fingerprint: string
}

interface Packet {
  readonly tag: number
  readonly body: Buffer
}

interface Signature {
  readonly type: number
  readonly algorithm: number
  readonly hash: number
  /** What is hashed after the data: the signature's own head and its length. */
  readonly trailer: Buffer
  readonly check: Buffer
  readonly values: Buffer
  readonly createdAt: number
  readonly expiresAfter: number
  readonly keyExpiresAfter: number
  readonly keyFlags: number | undefined
  /** Fingerprint (upper-case) or the last sixteen digits of one; `''`: not said. */
  readonly issuer: string
  readonly embedded: readonly Buffer[]
}

const keyBytesMax = 256 * 1024
const signatureBytesMax = 64 * 1024
const packetsMax = 256
/** Clocks differ; a signature from further ahead is not believed. */
const clockSlackMs = 24 * 60 * 60 * 1000

const tags = { signature: 2, primaryKey: 6, trust: 12, userId: 13, subkey: 14, userAttribute: 17, padding: 21 }
const algorithms = { rsa: 1, rsaSign: 3, eddsa: 22 }
const hashes: Readonly<Record<number, string>> = { 8: 'sha256', 9: 'sha384', 10: 'sha512' }
/** RFC 9580, 5.2.1. */
const types = {
  binary: 0x00,
  certification: [0x10, 0x11, 0x12, 0x13],
  subkeyBinding: 0x18,
  primaryBinding: 0x19,
  directKey: 0x1f,
  keyRevocation: 0x20,
  subkeyRevocation: 0x28,
}
const flagSign = 0x02

/**
 * Reads one public key, armored or binary. Throws `SignatureError` where it is damaged, revoked, or holds nothing that
 * may sign. Compare `fingerprint` with the one you expect: anybody can make a key that reads well.
 */
export function readPublicKey(bytes: Buffer): PublicKey {
  if (bytes.length > keyBytesMax) throw new SignatureError(`a public key has at most ${keyBytesMax} bytes`)
  const packets = packetsOf(dearmored(bytes, 'PUBLIC KEY BLOCK'))
  if (packets[0]?.tag !== tags.primaryKey) throw new SignatureError('this is no OpenPGP public key')
  if (packets.filter(({ tag }) => tag === tags.primaryKey).length > 1) {
    throw new SignatureError('there are several keys in one file; give one')
  }
  const primary = materialOf(packets[0].body)
  if (primary === undefined) throw new SignatureError('the key is of an algorithm that is not supported (RSA, Ed25519)')
  const userIds: string[] = []
  const own: Signature[] = []
  const subkeys: { body: Buffer; bindings: Signature[]; revoked: boolean }[] = []
  let revoked = false
  let userId: string | undefined
  let signed: Buffer | undefined = Buffer.alloc(0)
  for (const { tag, body } of packets.slice(1)) {
    if (tag === tags.userId) {
      userId = body.toString('utf8')
      signed = Buffer.concat([Buffer.from([0xb4]), uint32(body.length), body])
    } else if (tag === tags.userAttribute) signed = undefined
    else if (tag === tags.subkey) {
      subkeys.push({ body, bindings: [], revoked: false })
      signed = framed(body)
    } else if (tag === tags.signature && signed !== undefined) {
      const signature = signatureOf(body)
      // Certifications by other people, and what this reader does not understand, add nothing and take nothing away.
      if (signature === undefined || !holds(signature, primary, [framed(primary.body), signed])) continue
      const subkey = subkeys.at(-1)
      if (subkey !== undefined) {
        if (signature.type === types.subkeyBinding) subkey.bindings.push(signature)
        else if (signature.type === types.subkeyRevocation) subkey.revoked = true
      } else if (signature.type === types.keyRevocation) revoked = true
      else if (types.certification.includes(signature.type) || signature.type === types.directKey) {
        own.push(signature)
        if (userId !== undefined && !userIds.includes(userId)) userIds.push(userId)
      }
    }
  }
  if (revoked) throw new SignatureError(`the key ${primary.fingerprint} is revoked`)
  const self = latest(own)
  if (self === undefined) throw new SignatureError(`the key ${primary.fingerprint} bears no signature of its own`)
  const signers: Signer[] = maySign(self) ? [signerOf(primary, self)] : []
  for (const { body, bindings, revoked: gone } of subkeys) {
    const binding = latest(bindings)
    const material = materialOf(body)
    if (gone || binding === undefined || material === undefined || binding.keyFlags === undefined) continue
    if (maySign(binding) && bindsBack(binding, primary, material)) signers.push(signerOf(material, binding))
  }
  if (signers.length === 0) throw new SignatureError(`the key ${primary.fingerprint} may not sign`)
  return { fingerprint: primary.fingerprint, userIds, signers }
}

/** Checks a detached signature over data, armored or binary. Throws `SignatureError` unless it holds at `now`. */
export function verifyDetached(data: Buffer, signature: Buffer, key: PublicKey, now: number): GoodSignature {
  if (signature.length > signatureBytesMax) {
    throw new SignatureError(`a detached signature has at most ${signatureBytesMax} bytes`)
  }
  const packets = packetsOf(dearmored(signature, 'SIGNATURE'))
  if (packets.length === 0 || packets.some(({ tag }) => tag !== tags.signature)) {
    throw new SignatureError('this is no detached OpenPGP signature')
  }
  for (const { body } of packets) {
    const found = signatureOf(body)
    if (found === undefined) continue
    const signer = key.signers.find(({ fingerprint }) => found.issuer !== '' && fingerprint.endsWith(found.issuer))
    if (signer === undefined) continue
    if (found.type !== types.binary) throw new SignatureError('the signature is not one over a file')
    if (!holds(found, signer.material, [data])) {
      throw new SignatureError(`the signature does not fit the file (key ${signer.fingerprint})`)
    }
    refuseUntimely(found, signer, now)
    return { fingerprint: key.fingerprint, signer: signer.fingerprint, createdAt: found.createdAt }
  }
  const others = packets.map(({ body }) => signatureOf(body)?.issuer ?? '').filter((issuer) => issuer !== '')
  const by = others.length === 0 ? 'by nobody that can be told, or in a way that is not supported' : others.join(', ')
  throw new SignatureError(
    `signed ${others.length === 0 ? by : `by ${by}`}; expected a signature of ${key.fingerprint}`,
  )
}

/** A key's fingerprint as people read it: `3600 6F0E …`. */
export function spaced(fingerprint: string): string {
  return fingerprint.replace(/.{4}(?=.)/g, '$& ')
}

function refuseUntimely(signature: Signature, { notBefore, notAfter, fingerprint }: Signer, now: number): void {
  const { createdAt, expiresAfter } = signature
  if (createdAt > now + clockSlackMs) throw new SignatureError(`the signature is dated ${day(createdAt)}, ahead of now`)
  if (expiresAfter > 0 && now > createdAt + expiresAfter) {
    throw new SignatureError(`the signature expired ${day(createdAt + expiresAfter)}`)
  }
  if (createdAt < notBefore) throw new SignatureError(`the signature is older than the key ${fingerprint}`)
  if (notAfter !== undefined && now > notAfter) {
    throw new SignatureError(`the key ${fingerprint} expired ${day(notAfter)}`)
  }
}

function day(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}

function signerOf(material: KeyMaterial, { keyExpiresAfter }: Signature): Signer {
  return {
    fingerprint: material.fingerprint,
    material,
    notBefore: material.createdAt,
    notAfter: keyExpiresAfter === 0 ? undefined : material.createdAt + keyExpiresAfter,
  }
}

/** Of several signatures about the same thing the newest counts. */
function latest(signatures: readonly Signature[]): Signature | undefined {
  return signatures.toSorted((a, b) => b.createdAt - a.createdAt)[0]
}

/** Without flags a key that can sign may sign; with them it must say so (RFC 9580, 5.2.3.29). */
function maySign({ keyFlags }: Signature): boolean {
  return keyFlags === undefined || (keyFlags & flagSign) !== 0
}

/** A subkey that signs must vouch for its primary key, or anybody could claim it (RFC 9580, 5.2.1.9). */
function bindsBack({ embedded }: Signature, primary: KeyMaterial, subkey: KeyMaterial): boolean {
  return embedded.some((bytes) => {
    const back = signatureOf(bytes)
    const signed = [framed(primary.body), framed(subkey.body)]
    return back?.type === types.primaryBinding && holds(back, subkey, signed)
  })
}

function holds(signature: Signature, material: KeyMaterial, signed: readonly Buffer[]): boolean {
  const { algorithm, values, check, trailer } = signature
  const hash = hashes[signature.hash]
  if (hash === undefined) return false
  const digest = createHash(hash)
  for (const part of signed) digest.update(part)
  const sum = digest.update(trailer).digest()
  // The two bytes are no proof, but where they differ nothing else can fit.
  if (!sum.subarray(0, 2).equals(check)) return false
  const numbers = numbersOf(values)
  const isRsa = algorithm === algorithms.rsa || algorithm === algorithms.rsaSign
  if (isRsa && material.size > 0) {
    const value = numbers?.length === 1 ? padded(numbers[0]!, material.size) : undefined
    if (value === undefined) return false
    const check = createVerify(hash)
    for (const part of signed) check.update(part)
    return check.update(trailer).verify(material.key, value)
  }
  if (algorithm === algorithms.eddsa && material.algorithm === algorithms.eddsa) {
    const [r, s] = numbers?.length === 2 ? numbers.map((number) => padded(number, 32)) : []
    return r !== undefined && s !== undefined && verify(null, sum, material.key, Buffer.concat([r, s]))
  }
  return false
}

/** Numbers lose their leading zeros on the way. */
function padded(number: Buffer, size: number): Buffer | undefined {
  return number.length > size ? undefined : Buffer.concat([Buffer.alloc(size - number.length), number])
}

/** A version 4 key packet; `undefined` for algorithms that cannot sign here. Throws for other versions. */
function materialOf(body: Buffer): KeyMaterial | undefined {
  if (body[0] !== 4) throw new SignatureError(`keys of version ${body[0] ?? '?'} are not supported`)
  if (body.length < 6) throw new SignatureError('a key is cut short')
  const algorithm = body[5]!
  const fingerprint = createHash('sha1').update(framed(body)).digest('hex').toUpperCase()
  const common = { algorithm, fingerprint, body, createdAt: body.readUInt32BE(1) * 1000 }
  if (algorithm === algorithms.rsa || algorithm === algorithms.rsaSign) {
    const [n, e] = numbersOf(body.subarray(6)) ?? []
    if (n === undefined || e === undefined) throw new SignatureError('an RSA key is cut short')
    if (n.length < 256 || n.length > 1024 || e.length > 8) {
      throw new SignatureError(`an RSA key of ${n.length * 8} bits is not believed: 2048 to 8192 are`)
    }
    const jwk = { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') }
    return { ...common, key: createPublicKey({ key: jwk, format: 'jwk' }), size: n.length }
  }
  const curve = Buffer.from('092b06010401da470f01', 'hex')
  if (algorithm === algorithms.eddsa && body.subarray(6, 16).equals(curve)) {
    const [point] = numbersOf(body.subarray(16)) ?? []
    if (point?.length !== 33 || point[0] !== 0x40) throw new SignatureError('an Ed25519 key is malformed')
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: point.subarray(1).toString('base64url') }
    return { ...common, key: createPublicKey({ key: jwk, format: 'jwk' }), size: 0 }
  }
  return undefined
}

/** A signature packet; `undefined` for versions, hashes and critical parts that are not understood. */
function signatureOf(body: Buffer): Signature | undefined {
  if (body.length < 10 || body[0] !== 4) return undefined
  const hashedEnd = 6 + body.readUInt16BE(4)
  if (hashedEnd + 4 > body.length) return undefined
  const unhashedEnd = hashedEnd + 2 + body.readUInt16BE(hashedEnd)
  if (unhashedEnd + 2 > body.length) return undefined
  const hashed = subpacketsOf(body.subarray(6, hashedEnd))
  const unhashed = subpacketsOf(body.subarray(hashedEnd + 2, unhashedEnd))
  if (hashed === undefined || unhashed === undefined) return undefined
  if (hashed.some(({ type, critical }) => critical && !understood.has(type))) return undefined
  const time = hashed.find(({ type, body }) => type === 2 && body.length === 4)
  if (time === undefined) return undefined
  const seconds = (wanted: number) => {
    const found = hashed.find(({ type, body }) => type === wanted && body.length === 4)
    return found === undefined ? 0 : found.body.readUInt32BE(0) * 1000
  }
  const head = body.subarray(0, hashedEnd)
  return {
    type: body[1]!,
    algorithm: body[2]!,
    hash: body[3]!,
    trailer: Buffer.concat([head, Buffer.from([4, 0xff]), uint32(head.length)]),
    check: body.subarray(unhashedEnd, unhashedEnd + 2),
    values: body.subarray(unhashedEnd + 2),
    createdAt: time.body.readUInt32BE(0) * 1000,
    expiresAfter: seconds(3),
    keyExpiresAfter: seconds(9),
    keyFlags: hashed.find(({ type }) => type === 27)?.body[0],
    // Who signed is only a hint for which key to try: it may stand in the part that is not signed.
    issuer: issuerOf([...hashed, ...unhashed]),
    embedded: [...hashed, ...unhashed].filter(({ type }) => type === 32).map((one) => one.body),
  }
}

interface Subpacket {
  readonly type: number
  readonly critical: boolean
  readonly body: Buffer
}

/** What a signature says of itself (RFC 9580, 5.2.3.7) and this reader heeds, or may pass over without harm. */
const understood = new Set([2, 3, 9, 11, 16, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 33, 34, 39])

function issuerOf(subpackets: readonly Subpacket[]): string {
  const fingerprint = subpackets.find(({ type, body }) => type === 33 && body[0] === 4 && body.length === 21)
  if (fingerprint !== undefined) return fingerprint.body.subarray(1).toString('hex').toUpperCase()
  const id = subpackets.find(({ type, body }) => type === 16 && body.length === 8)
  return id === undefined ? '' : id.body.toString('hex').toUpperCase()
}

function subpacketsOf(bytes: Buffer): Subpacket[] | undefined {
  const found: Subpacket[] = []
  for (let at = 0; at < bytes.length; ) {
    let length = bytes[at]!
    let start = at + 1
    if (length === 255) {
      if (at + 5 > bytes.length) return undefined
      length = bytes.readUInt32BE(at + 1)
      start = at + 5
    } else if (length >= 192) {
      if (at + 2 > bytes.length) return undefined
      length = ((length - 192) << 8) + bytes[at + 1]! + 192
      start = at + 2
    }
    const end = start + length
    if (length === 0 || end > bytes.length) return undefined
    const type = bytes[start]!
    found.push({ type: type & 0x7f, critical: type >= 0x80, body: bytes.subarray(start + 1, end) })
    at = end
  }
  return found
}

/** Numbers of any length, each with its bits in front; `undefined` where they do not fill the space exactly. */
function numbersOf(bytes: Buffer): Buffer[] | undefined {
  const found: Buffer[] = []
  let at = 0
  while (at < bytes.length) {
    if (at + 2 > bytes.length) return undefined
    const end = at + 2 + Math.ceil(bytes.readUInt16BE(at) / 8)
    if (end > bytes.length) return undefined
    found.push(bytes.subarray(at + 2, end))
    at = end
  }
  return found
}

/** Packets in both forms of head; streams of unknown length are for messages, which nobody expects here. */
function packetsOf(bytes: Buffer): Packet[] {
  const found: Packet[] = []
  for (let at = 0; at < bytes.length; ) {
    const head = bytes[at]!
    if ((head & 0x80) === 0) throw new SignatureError('damaged: a packet does not begin where it should')
    const isNew = (head & 0x40) !== 0
    const { length, start } = isNew ? newLength(bytes, at + 1) : oldLength(bytes, at + 1, head & 3)
    if (start + length > bytes.length) throw new SignatureError('damaged: a packet is cut short')
    const tag = isNew ? head & 0x3f : (head >> 2) & 0x0f
    const body = bytes.subarray(start, start + length)
    if (tag !== tags.trust && tag !== tags.padding) found.push({ tag, body })
    if (found.length > packetsMax) throw new SignatureError(`there are more than ${packetsMax} packets`)
    at = start + length
  }
  return found
}

function newLength(bytes: Buffer, at: number): { length: number; start: number } {
  const first = bytes[at] ?? 255
  if (first < 192) return { length: first, start: at + 1 }
  if (first < 224) return { length: ((first - 192) << 8) + (bytes[at + 1] ?? 0) + 192, start: at + 2 }
  if (first !== 255 || at + 5 > bytes.length) throw new SignatureError('damaged: a packet has no length')
  return { length: bytes.readUInt32BE(at + 1), start: at + 5 }
}

function oldLength(bytes: Buffer, at: number, kind: number): { length: number; start: number } {
  const size = [1, 2, 4][kind]
  if (size === undefined || at + size > bytes.length) throw new SignatureError('damaged: a packet has no length')
  return { length: bytes.readUIntBE(at, size), start: at + size }
}

/** Takes the armor off (RFC 9580, 6); what does not begin with one is taken as binary. */
function dearmored(bytes: Buffer, kind: string): Buffer {
  const text = bytes.toString('latin1')
  const begin = text.indexOf('-----BEGIN PGP ')
  if (begin === -1) {
    if ((bytes[0] ?? 0) >= 0x80) return bytes
    throw new SignatureError(`there is no "-----BEGIN PGP ${kind}-----"`)
  }
  const lines = text.slice(begin).split(/\r?\n/)
  if (lines[0]!.trimEnd() !== `-----BEGIN PGP ${kind}-----`) {
    throw new SignatureError(`expected a PGP ${kind}, found ${JSON.stringify(lines[0]!.slice(0, 60))}`)
  }
  const blank = lines.findIndex((line) => line.trim() === '')
  const end = lines.findIndex((line) => line.trimEnd() === `-----END PGP ${kind}-----`)
  if (blank === -1 || end < blank) throw new SignatureError(`the PGP ${kind} has no end`)
  const content = lines.slice(blank + 1, end).map((line) => line.trim())
  // The checksum over the armor says nothing that the signature does not say better (RFC 9580, 6.1).
  const body = content.filter((line) => !line.startsWith('=')).join('')
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(body)) throw new SignatureError(`the PGP ${kind} is not base64`)
  return Buffer.from(body, 'base64')
}

/** How a key enters a hash: a one-byte mark, its length, itself (RFC 9580, 5.2.4). */
function framed(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x99, body.length >> 8, body.length & 0xff]), body])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
