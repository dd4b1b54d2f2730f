import { hash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type IssuerKey, jwkOf, makeKey, signToken } from './issuer.ts'

/** An OpenID provider on loopback at which somebody is signed in already, and that can be made to lie. */
export interface SignInProvider {
  readonly url: string
  readonly client: { readonly id: string; readonly secret: string }
  readonly key: IssuerKey
  /** Over the claims of the next ID tokens; `undefined` leaves one out. */
  claims: Record<string, unknown>
  /** Over the parameters of the next redirects back; `undefined` leaves one out. */
  answer: Record<string, string | undefined>
  /** Signs ID tokens in place of its own key. */
  signer: IssuerKey | undefined
  /** Parameters of the last authorization request. */
  readonly asked: () => URLSearchParams
  /** Requests at the token endpoint so far. */
  readonly exchanges: () => number
  /** A logout token for the gate's client (Back-Channel Logout 1.0, 2.4). */
  readonly logoutToken: (claims: Record<string, unknown>, key?: IssuerKey) => Promise<string>
  readonly stop: () => Promise<void>
}

export async function startSignInProvider(): Promise<SignInProvider> {
  const client = { id: 'gate', secret: 's3cret/with:special+chars' }
  const key = makeKey('ES256')
  const codes = new Map<string, { readonly nonce: string; readonly challenge: string; readonly redirectUri: string }>()
  let asked = new URLSearchParams()
  let exchanges = 0
  const now = () => Math.floor(Date.now() / 1000)
  const without = (all: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))

  const server = createServer((request, reply) => void serve(request, reply))
  async function serve(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, 'http://localhost')
    const json = (value: unknown, status = 200): void => {
      reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    }
    if (pathname === '/.well-known/openid-configuration') {
      return json({
        issuer: provider.url,
        authorization_endpoint: `${provider.url}/authorize`,
        token_endpoint: `${provider.url}/token`,
        jwks_uri: `${provider.url}/jwks`,
        end_session_endpoint: `${provider.url}/logout`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['ES256'],
        authorization_response_iss_parameter_supported: true,
      })
    }
    if (pathname === '/jwks') return json({ keys: [jwkOf(key)] })
    if (pathname === '/authorize') {
      asked = searchParams
      const code = randomUUID()
      const redirectUri = searchParams.get('redirect_uri')!
      codes.set(code, {
        nonce: searchParams.get('nonce')!,
        challenge: searchParams.get('code_challenge')!,
        redirectUri,
      })
      const back = new URL(redirectUri)
      const parameters = without({ code, state: searchParams.get('state')!, iss: provider.url, ...provider.answer })
      for (const [name, value] of Object.entries(parameters)) back.searchParams.set(name, String(value))
      return void reply.writeHead(302, { location: back.href }).end()
    }
    if (pathname === '/token' && request.method === 'POST') {
      exchanges++
      let body = ''
      for await (const chunk of request) body += chunk
      const form = new URLSearchParams(body)
      const pair = [client.id, client.secret]
        .map((text) => new URLSearchParams([['', text]]).toString().slice(1))
        .join(':')
      if (request.headers.authorization !== `Basic ${Buffer.from(pair).toString('base64')}`) {
        return json({ error: 'invalid_client' }, 401)
      }
      const code = form.get('code') ?? ''
      const known = codes.get(code)
      codes.delete(code)
      const challenge = hash('sha256', form.get('code_verifier') ?? '', 'base64url')
      if (known === undefined || known.challenge !== challenge || known.redirectUri !== form.get('redirect_uri')) {
        return json({ error: 'invalid_grant' }, 400)
      }
      const claims = without({
        iss: provider.url,
        aud: client.id,
        sub: 'alice',
        iat: now(),
        exp: now() + 300,
        auth_time: now(),
        nonce: known.nonce,
        roles: ['editor'],
        acr: 'pwd',
        sid: 'at-provider-1',
        ...provider.claims,
      })
      const token = await signToken(provider.signer ?? key, claims)
      return json({
        access_token: 'not-kept',
        token_type: 'Bearer',
        id_token: token,
        scope: 'openid mail.read',
        expires_in: 300,
      })
    }
    json({}, 404)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const provider: SignInProvider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    client,
    key,
    claims: {},
    answer: {},
    signer: undefined,
    asked: () => asked,
    exchanges: () => exchanges,
    logoutToken: (claims, signer = key) =>
      signToken(
        signer,
        without({
          iss: provider.url,
          aud: client.id,
          iat: now(),
          exp: now() + 60,
          jti: randomUUID(),
          events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
          ...claims,
        }),
        { typ: 'logout+jwt' },
      ),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return provider
}
