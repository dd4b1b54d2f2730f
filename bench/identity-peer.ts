/*
 * The peer of the token service: the same library with nothing around it, everything in memory, no limits, no log. What
 * Portcullis adds to that is durable storage, sealed keys, hashed secrets, revocation that reaches every process, limits.
 * `node bench/identity-peer.ts PORT CLIENT SECRET`.
 */
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import { type Configuration, Provider } from 'oidc-provider'

const [, , port, id, secret] = process.argv
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const config: Configuration = {
  clients: [
    {
      client_id: id!,
      client_secret: secret!,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'bench' } as never] },
  routes: { token: '/oauth/token', introspection: '/oauth/introspect' },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: async () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => 'urn:bench',
      // It cannot introspect the tokens that it signs, so that is measured with its opaque ones.
      getResourceServerInfo: async (_, resource) => ({
        scope: 'orders',
        audience: resource,
        accessTokenTTL: 600,
        accessTokenFormat: resource === 'urn:opaque' ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
}
const provider = new Provider(`http://127.0.0.1:${port}`, config)
const answer = provider.callback()
createServer((request, response) => void answer(request, response)).listen(Number(port), '127.0.0.1')
