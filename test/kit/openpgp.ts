import { createHash, createSign, generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto'

/** What may be odd about a key or a signature under test. */
export interface SignatureInput {
  readonly createdAt?: number
  /** Seconds after which it is no longer good. */
  readonly expiresAfter?: number
  /** 0: over a binary file. */
  readonly type?: number
  /** As OpenPGP numbers them: 2 SHA-1, 8 SHA-256, 9 SHA-384, 10 SHA-512. */
  readonly hash?: number
  /** A critical part that nobody knows. */
  readonly unknownCritical?: boolean
  /** Who it says made it, in place of who did. */
  readonly issuer?: string
}

export interface KeyInput {
  readonly algorithm?: 'rsa' | 'ed25519'
  readonly bits?: number
  readonly createdAt?: number
  /** Seconds after its making. */
  readonly expiresAfter?: number
  /** 0x03: certify and sign. */
  readonly flags?: number
  readonly userId?: string
  readonly revoked?: boolean
  /** A key for signing under this one; `unbound`: which does not vouch for it in return. */
  readonly subkey?: 'bound' | 'unbound' | 'revoked'
}

/** A key of an OpenPGP signer, made for a test. gpg reads what it writes. */
export interface TestKey {
  readonly fingerprint: string
  readonly publicKey: string
  readonly sign: (data: Buffer, input?: SignatureInput) => string
  /** As `sign`, with the subkey. */
  readonly signWithSubkey: (data: Buffer, input?: SignatureInput) => string
}

interface Pair {
  readonly isRsa: boolean
  readonly secret: KeyObject
  readonly body: Buffer
  readonly fingerprint: string
}

const hashNames: Readonly<Record<number, string>> = { 2: 'sha1', 8: 'sha256', 9: 'sha384', 10: 'sha512' }

export function makeOpenpgpKey(input: KeyInput = {}): TestKey {
  const createdAt = input.createdAt ?? Date.UTC(2024, 0, 1)
  const primary = makePair(input, createdAt)
  const userId = Buffer.from(input.userId ?? 'Test <test@example.org>')
  const common = { createdAt }
  const flags = subpacket(27, Buffer.from([input.flags ?? 0x03]))
  const keyExpiry = input.expiresAfter === undefined ? [] : [subpacket(9, uint32(input.expiresAfter))]
  const certified = [framed(primary.body), Buffer.concat([Buffer.from([0xb4]), uint32(userId.length), userId])]
  const packets = [packet(6, primary.body)]
  if (input.revoked === true)
    packets.push(packet(2, signature(primary, [framed(primary.body)], { ...common, type: 0x20 })))
  packets.push(packet(13, userId))
  packets.push(packet(2, signature(primary, certified, { ...common, type: 0x13 }, [flags, ...keyExpiry])))
  const subkey = makePair({ ...input, bits: 2048 }, createdAt)
  if (input.subkey !== undefined) {
    const both = [framed(primary.body), framed(subkey.body)]
    const back = signature(subkey, both, { ...common, type: 0x19 })
    const more = [subpacket(27, Buffer.from([0x02])), ...(input.subkey === 'unbound' ? [] : [subpacket(32, back)])]
    packets.push(packet(14, subkey.body), packet(2, signature(primary, both, { ...common, type: 0x18 }, more)))
    if (input.subkey === 'revoked') packets.push(packet(2, signature(primary, both, { ...common, type: 0x28 })))
  }
  const signWith = (pair: Pair) => (data: Buffer, given?: SignatureInput) =>
    armored('SIGNATURE', packet(2, signature(pair, [data], { createdAt: Date.UTC(2025, 0, 1), ...given })))
  return {
    fingerprint: primary.fingerprint,
    publicKey: armored('PUBLIC KEY BLOCK', Buffer.concat(packets)),
    sign: signWith(primary),
    signWithSubkey: signWith(subkey),
  }
}

function makePair({ algorithm = 'ed25519', bits = 2048 }: KeyInput, createdAt: number): Pair {
  const isRsa = algorithm === 'rsa'
  const { publicKey, privateKey } = isRsa
    ? generateKeyPairSync('rsa', { modulusLength: bits })
    : generateKeyPairSync('ed25519')
  const jwk = publicKey.export({ format: 'jwk' })
  const part = (text: string | undefined) => Buffer.from(text!, 'base64url')
  const material = isRsa
    ? Buffer.concat([number(part(jwk.n)), number(part(jwk.e))])
    : Buffer.concat([
        Buffer.from('092b06010401da470f01', 'hex'),
        number(Buffer.concat([Buffer.from([0x40]), part(jwk.x)])),
      ])
  const head = Buffer.concat([Buffer.from([4]), uint32(createdAt / 1000), Buffer.from([isRsa ? 1 : 22])])
  const body = Buffer.concat([head, material])
  const fingerprint = createHash('sha1').update(framed(body)).digest('hex').toUpperCase()
  return { isRsa, secret: privateKey, body, fingerprint }
}

/** The body of a signature packet. */
function signature(pair: Pair, data: readonly Buffer[], input: SignatureInput, more: readonly Buffer[] = []): Buffer {
  const { type = 0, hash = 8, createdAt = 0 } = input
  const hashed = Buffer.concat([
    subpacket(33, Buffer.concat([Buffer.from([4]), Buffer.from(input.issuer ?? pair.fingerprint, 'hex')])),
    subpacket(2, uint32(createdAt / 1000)),
    ...(input.expiresAfter === undefined ? [] : [subpacket(3, uint32(input.expiresAfter))]),
    ...(input.unknownCritical === true ? [subpacket(0x80 | 120, Buffer.from('x'))] : []),
    ...more,
  ])
  const head = Buffer.concat([Buffer.from([4, type, pair.isRsa ? 1 : 22, hash]), uint16(hashed.length), hashed])
  const all = Buffer.concat([...data, head, Buffer.from([4, 0xff]), uint32(head.length)])
  const sum = createHash(hashNames[hash]!).update(all).digest()
  const values = pair.isRsa
    ? number(createSign(hashNames[hash]!).update(all).sign(pair.secret))
    : ((raw) => Buffer.concat([number(raw.subarray(0, 32)), number(raw.subarray(32))]))(
        signBytes(null, sum, pair.secret),
      )
  // Not signed, and only for older readers, which look for the key by its short name.
  const short = subpacket(16, Buffer.from(input.issuer ?? pair.fingerprint, 'hex').subarray(12))
  return Buffer.concat([head, uint16(short.length), short, sum.subarray(0, 2), values])
}

/** A packet with a head of the new form. */
export function packet(tag: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0xc0 | tag, 0xff]), uint32(body.length), body])
}

function subpacket(type: number, body: Buffer): Buffer {
  const length = body.length + 1
  const head = length < 192 ? Buffer.from([length]) : Buffer.concat([Buffer.from([0xff]), uint32(length)])
  return Buffer.concat([head, Buffer.from([type]), body])
}

/** A number without leading zeros, its bits in front. */
function number(bytes: Buffer): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const short = bytes.subarray(start)
  const bits = (short.length - 1) * 8 + (32 - Math.clz32(short[0]!))
  return Buffer.concat([uint16(bits), short])
}

function framed(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x99]), uint16(body.length), body])
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function armored(kind: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN PGP ${kind}-----\n\n${lines}\n=${crc24(bytes)}\n-----END PGP ${kind}-----\n`
}

/** gpg 2.2 cannot do without it (RFC 4880, 6.1). */
function crc24(bytes: Buffer): string {
  let crc = 0xb704ce
  for (const byte of bytes) {
    crc ^= byte << 16
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ ((crc & 0x80_0000) === 0 ? 0 : 0x1_864cfb)
  }
  return uint32(crc & 0xff_ffff)
    .subarray(1)
    .toString('base64')
}
