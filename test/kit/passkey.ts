import { createHash, createSign, generateKeyPairSync, randomBytes } from 'node:crypto'
import { isoCBOR } from '@simplewebauthn/server/helpers'

/** An authenticator in software, which does as it is told, honest or not. */
export interface TestPasskey {
  readonly id: string
  /** Answers `navigator.credentials.create`. */
  create(options: { readonly challenge: string }, change?: Change): object
  /** Answers `navigator.credentials.get`. */
  get(options: { readonly challenge: string }, change?: Change): object
}

/** What is other than an honest authenticator in an honest browser would say. */
export interface Change {
  readonly origin?: string
  readonly rpId?: string
  readonly type?: string
  readonly userVerified?: boolean
  readonly userPresent?: boolean
  readonly counter?: number
  readonly id?: string
  readonly crossOrigin?: boolean
  readonly brokenSignature?: boolean
}

/** Makes one for the site of `issuer`. */
export function testPasskey(issuer: string): TestPasskey {
  const site = new URL(issuer)
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x, y } = publicKey.export({ format: 'jwk' }) as { x: string; y: string }
  const ownId = randomBytes(16)
  let uses = 0

  const clientData = (type: string, challenge: string, { origin = site.origin, crossOrigin = false }: Change) =>
    Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin }))

  function authenticatorData(change: Change, attested: Buffer | undefined): Buffer {
    const { rpId = site.hostname, userVerified = true, userPresent = true, counter = uses } = change
    const flags = (userPresent ? 0x01 : 0) | (userVerified ? 0x04 : 0) | (attested === undefined ? 0 : 0x40)
    const head = Buffer.alloc(5)
    head[0] = flags
    head.writeUInt32BE(counter, 1)
    return Buffer.concat([sha256(rpId), head, attested ?? Buffer.alloc(0)])
  }

  const reply = (id: Buffer, response: object) => ({
    id: id.toString('base64url'),
    rawId: id.toString('base64url'),
    type: 'public-key',
    clientExtensionResults: {},
    response,
  })

  return {
    id: ownId.toString('base64url'),
    create({ challenge }, change = {}) {
      const id = change.id === undefined ? ownId : Buffer.from(change.id, 'base64url')
      const length = Buffer.alloc(2)
      length.writeUInt16BE(id.length)
      // COSE_Key of ES256 (RFC 9053, 2.1 and 7.1.1).
      const key = isoCBOR.encode(
        new Map<number, number | Uint8Array>([
          [1, 2],
          [3, -7],
          [-1, 1],
          [-2, new Uint8Array(Buffer.from(x, 'base64url'))],
          [-3, new Uint8Array(Buffer.from(y, 'base64url'))],
        ]),
      )
      const authData = authenticatorData(change, Buffer.concat([Buffer.alloc(16), length, id, Buffer.from(key)]))
      const attestation = isoCBOR.encode(
        new Map<string, string | Map<string, string> | Uint8Array>([
          ['fmt', 'none'],
          ['attStmt', new Map<string, string>()],
          ['authData', new Uint8Array(authData)],
        ]),
      )
      return reply(id, {
        clientDataJSON: clientData(change.type ?? 'webauthn.create', challenge, change).toString('base64url'),
        attestationObject: Buffer.from(attestation).toString('base64url'),
        transports: ['internal'],
      })
    },
    get({ challenge }, change = {}) {
      uses++
      const data = clientData(change.type ?? 'webauthn.get', challenge, change)
      const authData = authenticatorData(change, undefined)
      const signed = change.brokenSignature === true ? randomBytes(40) : Buffer.concat([authData, sha256(data)])
      return reply(change.id === undefined ? ownId : Buffer.from(change.id, 'base64url'), {
        clientDataJSON: data.toString('base64url'),
        authenticatorData: authData.toString('base64url'),
        signature: createSign('sha256').update(signed).sign(privateKey).toString('base64url'),
      })
    },
  }
}

function sha256(data: string | Buffer): Buffer {
  return createHash('sha256').update(data).digest()
}
