import { createUsers } from '../../src/credentials/users.ts'
import { freePort, type GateInput, startGate, type TestGate } from './gate.ts'
import { type Page, visitor } from './people.ts'
import { json, startUpstream, type TestUpstream } from './upstream.ts'

/** A gate with a token service, an API behind it, and one user: anna. */
export interface TokenGate extends TestGate {
  readonly issuer: string
  readonly upstream: TestUpstream
  /** Asks the token endpoint, or another one, as a form. */
  readonly post: (path: string, fields: Fields, headers?: Readonly<Record<string, string>>) => Promise<Answer>
  /** Status of `GET /orders` with an access token. */
  readonly call: (token: string, headers?: Readonly<Record<string, string>>) => Promise<number>
}

export type Fields = Readonly<Record<string, string>> | readonly (readonly [string, string])[]

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: assertions look into it, and fail where it is another.
  readonly body: any
}

export const userPassword = 'four green horses walk'
export const secretOf = (name: string) => `${name}-secret-that-only-this-test-knows-of`
/** Where the tests' applications are called back; nobody listens there. */
export const callback = 'http://localhost:9/callback'

const security = { oauth: { type: 'openIdConnect', openIdConnectUrl: 'http://localhost/' } }
export const ordersDocument = {
  openapi: '3.1.0',
  info: { title: 'Orders', version: '1.0.0' },
  security: [{ oauth: ['orders:read'] }],
  components: { securitySchemes: security },
  paths: {
    '/orders': {
      get: { operationId: 'listOrders', responses: { 200: { description: 'Orders.' } } },
      post: {
        operationId: 'createOrder',
        security: [{ oauth: ['orders:write'] }],
        responses: { 201: { description: 'Made.' } },
      },
    },
  },
}

export const clients = {
  batch: { secret: secretOf('batch'), scopes: ['orders:read', 'orders:write'] },
  other: { secret: secretOf('other'), scopes: ['orders:read'] },
  app: {
    secret: secretOf('app'),
    name: 'Photo printer',
    grants: ['authorization_code', 'refresh_token', 'device_code'],
    redirects: [callback],
    scopes: ['orders:read'],
  },
  spa: {
    auth: 'none',
    grants: ['authorization_code', 'refresh_token'],
    redirects: [callback],
    scopes: ['orders:read'],
  },
} as const

export interface TokenGateInput extends Omit<GateInput, 'upstream'> {
  readonly tokenService?: Readonly<Record<string, unknown>>
  /** A gate that serves the same issuer from the same store. */
  readonly beside?: TokenGate
  readonly upstream?: TestUpstream
}

export async function startTokenGate(input: TokenGateInput = {}): Promise<TokenGate> {
  const { tokenService = {}, beside, root, ...rest } = input
  const upstream = beside?.upstream ?? input.upstream ?? (await startUpstream((_, reply) => json(reply, [])))
  const port = await freePort()
  const issuer = beside?.issuer ?? `http://localhost:${port}/oauth`
  const gate = await startGate({
    document: ordersDocument,
    ...rest,
    upstream: upstream.url,
    api: { limits: { default: { rate: '1000000/s' }, anonymous: { rate: '1000000/s' } }, ...rest.api },
    root: {
      listen: [{ port, host: '127.0.0.1', tls: 'off' }],
      ...root,
      tokenService: { issuer, clients, ...tokenService },
    },
  })
  const { store, now } = gate.running.foundation
  if (beside === undefined) {
    const users = createUsers({ store, now, cost: { memoryKiB: 1_024, passes: 1, lanes: 1 } })
    await users.set('anna', userPassword, { roles: ['editor'] })
    users.close()
  }
  return {
    ...gate,
    issuer,
    upstream,
    async post(path, fields, headers = {}) {
      const reply = await fetch(`${gate.url}${path}`, {
        method: 'POST',
        headers,
        body: new URLSearchParams(fields as Record<string, string>),
        redirect: 'manual',
      })
      const text = await reply.text()
      const isJson = reply.headers.get('content-type')?.includes('json') === true
      return { status: reply.status, headers: reply.headers, body: isJson ? JSON.parse(text) : text }
    },
    async call(token, headers = {}) {
      const reply = await gate.fetch('/orders', { headers: { authorization: `Bearer ${token}`, ...headers } })
      await reply.arrayBuffer()
      return reply.status
    },
    async stop() {
      await gate.stop()
      if (beside === undefined && input.upstream === undefined) await upstream.stop()
    },
  }
}

export function basic(name: string, secret = secretOf(name)): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}` }
}

/** A browser that signs anna in, agrees, and is sent back to the application. */
export async function signIn(url: string, one = visitor()): Promise<Page> {
  let page = await one.open(url)
  if (page.title.startsWith('Sign in')) {
    page = await one.submit(page, 'password', { name: 'anna', password: userPassword })
  }
  if (page.title.startsWith('Allow')) page = await one.submit(page, 'consent', { decision: 'allow' })
  return page
}
