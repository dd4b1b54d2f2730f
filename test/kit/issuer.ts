import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type JWTPayload, SignJWT } from 'jose'

/** A key pair of the test issuer. */
export interface IssuerKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** An identity provider on loopback: metadata, keys, introspection. Tokens it signs are real. */
export interface TestIssuer {
  readonly url: string
  /** Keys it publishes, the newest first. */
  readonly keys: IssuerKey[]
  /** A signed access token for `audience`; claims given as `undefined` are left out. */
  readonly token: (claims?: JWTPayload, options?: TokenOptions) => Promise<string>
  /** An opaque access token, known to introspection. */
  readonly opaque: (claims?: JWTPayload) => string
  /** Ends an opaque token. */
  readonly revoke: (token: string) => void
  /** Publishes a new key beside the old ones, or in their place. */
  readonly rotate: (options?: { readonly alg?: string; readonly dropOld?: boolean }) => IssuerKey
  /** How the next answers are given; `undefined` heals. */
  misbehave: ((request: IncomingMessage, reply: ServerResponse) => void) | undefined
  /** Members that replace those of the metadata. */
  metadata: Record<string, unknown>
  /** How often each path was asked. */
  readonly asked: Map<string, number>
  readonly client: { readonly id: string; readonly secret: string }
  readonly stop: () => Promise<void>
}

export interface TokenOptions {
  readonly key?: IssuerKey
  /** Members of the header besides `alg` and `kid`, or in their place. */
  readonly header?: Record<string, unknown>
}

export const audience = 'https://api.example.test'

/** Makes a key pair for an algorithm of RFC 7518 or RFC 8037. */
export function makeKey(alg = 'RS256', kid: string = randomUUID()): IssuerKey {
  const curves: Record<string, string> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }
  const pair =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : curves[alg] === undefined
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: curves[alg] })
  return { kid, alg, ...pair }
}

/** A public key as a JWK set lists it. */
export function jwkOf({ kid, alg, publicKey }: IssuerKey): Record<string, unknown> {
  return { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' }
}

/** Signs claims as an issuer does. */
export async function signToken(
  key: IssuerKey,
  claims: JWTPayload,
  header: Record<string, unknown> = {},
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey)
}

/** Starts an issuer. `now` in milliseconds: what its tokens take for the present. */
export async function startIssuer({
  alg = 'RS256',
  now = Date.now,
  port = 0,
}: {
  alg?: string
  now?: () => number
  port?: number
} = {}): Promise<TestIssuer> {
  const tokens = new Map<string, JWTPayload>()
  const client = { id: 'gate', secret: 's3cret/with:special+chars' }
  const server = createServer((request, reply) => {
    const path = request.url ?? ''
    issuer.asked.set(path, (issuer.asked.get(path) ?? 0) + 1)
    if (issuer.misbehave !== undefined) return issuer.misbehave(request, reply)
    const json = (value: unknown, status = 200) => {
      reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    }
    if (path === '/jwks') return json({ keys: issuer.keys.map(jwkOf) })
    if (path === '/.well-known/openid-configuration') {
      return json({
        issuer: issuer.url,
        jwks_uri: `${issuer.url}/jwks`,
        introspection_endpoint: `${issuer.url}/introspect`,
        ...issuer.metadata,
      })
    }
    if (path === '/introspect' && request.method === 'POST') {
      const pair = [client.id, client.secret].map(encodeURIComponent).join(':')
      if (request.headers.authorization !== `Basic ${Buffer.from(pair).toString('base64')}`) return json({}, 401)
      let body = ''
      request.on('data', (chunk) => (body += chunk))
      request.on('end', () => {
        const claims = tokens.get(new URLSearchParams(body).get('token') ?? '')
        const over = claims?.exp !== undefined && claims.exp * 1000 <= now()
        json(claims === undefined || over ? { active: false } : { active: true, ...claims })
      })
      return
    }
    json({}, 404)
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  function claimsOf(claims: JWTPayload): JWTPayload {
    const seconds = Math.floor(now() / 1000)
    const all = { iss: url, aud: audience, sub: 'alice', iat: seconds, exp: seconds + 300, ...claims }
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  }

  const issuer: TestIssuer = {
    url,
    keys: [makeKey(alg)],
    token: (claims = {}, { key = issuer.keys[0]!, header = {} } = {}) => signToken(key, claimsOf(claims), header),
    opaque(claims = {}) {
      const token = randomUUID()
      tokens.set(token, claimsOf(claims))
      return token
    },
    revoke: (token) => void tokens.delete(token),
    rotate({ alg: next = alg, dropOld = false } = {}) {
      if (dropOld) issuer.keys.length = 0
      issuer.keys.unshift(makeKey(next))
      return issuer.keys[0]!
    },
    misbehave: undefined,
    metadata: {},
    asked: new Map(),
    client,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return issuer
}
