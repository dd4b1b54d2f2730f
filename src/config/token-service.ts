import { duration, file, object, rate, z } from './language.ts'

/** A word of `scope` (RFC 6749, 3.3). */
const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/, 'expected a scope: printable, without spaces')
const scopes = z.array(scope).max(256)
const day = 86_400_000

/** Names of clients stand in tokens, logs and commands. */
export const clientName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'expected up to 100 letters, digits, dots, dashes or underscores')

export const grantNames = [
  'client_credentials',
  'authorization_code',
  'refresh_token',
  'device_code',
  'token_exchange',
] as const
export type GrantName = (typeof grantNames)[number]

/** How a client proves who it is. `none`: it cannot keep a secret, as in browsers and on phones. */
export const clientAuthNames = ['secret', 'private_key_jwt', 'mtls', 'none'] as const

const redirect = z
  .string()
  .max(2_000)
  .refine((text) => {
    const url = URL.parse(text)
    return url !== null && !text.includes('#') && url.username === '' && url.password === '' && !/[\s*]/.test(text)
  }, 'expected a whole URL without fragment, user or wildcard: it is compared to the letter')

/** What else stands in a set or a key is left alone (RFC 7517, 4 and 5). */
const publicJwks = z.looseObject({
  keys: z
    .array(z.looseObject({ kty: z.string() }))
    .min(1)
    .max(20),
})

/** What is said of a client, in the configuration and by `portcullis client create` alike. */
export const clientShape = object({
  name: z.string().min(1).max(100).optional().describe('What people read on the consent page. Default: its id.'),
  grants: z
    .array(z.enum(grantNames))
    .min(1)
    .default(['client_credentials'])
    .describe('What it may ask tokens with. `authorization_code` always needs PKCE with S256.'),
  auth: z
    .enum(clientAuthNames)
    .default('secret')
    .describe(
      'How it proves who it is: a secret, a signed assertion (RFC 7523), a client certificate (RFC 8705), or not at all.',
    ),
  secret: z
    .string()
    .min(32)
    .max(500)
    .optional()
    .describe('With `auth: secret`: at least 32 random characters, as `${BATCH_CLIENT_SECRET}`.'),
  jwks: publicJwks.optional().describe('With `auth: private_key_jwt`: its public keys.'),
  certificate: object({
    subject: z
      .string()
      .max(500)
      .optional()
      .describe('The distinguished name as RFC 4514 writes it: `CN=batch,O=Example`.'),
    dns: z.string().max(253).optional(),
    uri: z.string().max(500).optional(),
    ip: z.string().max(45).optional(),
    email: z.string().max(254).optional(),
  })
    .refine(
      (names) => Object.values(names).filter((name) => name !== undefined).length === 1,
      'expected exactly one name',
    )
    .optional()
    .describe("With `auth: mtls`: the one name of the client's certificate that counts (RFC 8705, 2.1.2)."),
  redirects: z.array(redirect).max(50).default([]).describe('Where answers may be sent: exact URLs (RFC 9700, 2.1).'),
  signedOut: z.array(redirect).max(50).default([]).describe('Where people may be sent after they signed out.'),
  native: z
    .boolean()
    .default(false)
    .describe(
      'An app on a device: its redirects may be `http://127.0.0.1/…` with any port (RFC 8252, 7.3) or a scheme of its own.',
    ),
  scopes: scopes.default([]).describe('The scopes it may ask for, beside those of OpenID Connect.'),
  resources: z
    .array(z.string())
    .max(64)
    .optional()
    .describe(
      'The APIs it may get tokens for. Default: all, but for the administration (`portcullis-admin`), which must be named.',
    ),
  bound: z
    .enum(['dpop', 'mtls'])
    .optional()
    .describe('Its tokens are bound to a key: of DPoP (RFC 9449), or of its certificate (RFC 8705).'),
  roles: z
    .array(z.string().min(1).max(256))
    .max(256)
    .default([])
    .describe('Roles of the client itself, for tokens without a person.'),
  plan: z.string().min(1).max(100).optional().describe('Its plan, for limits.'),
  bounds: object({
    cidrs: z.array(z.string()).max(256).default([]).describe('Address ranges its tokens work from.'),
    origins: z.array(z.string()).max(256).default([]).describe('Web origins whose pages may use them.'),
    operations: z
      .array(z.string())
      .max(256)
      .default([])
      .describe('Selectors of operations: `op:listOrders`, `tag:orders`, `GET /orders/*`.'),
  })
    .optional()
    .describe('Where and for what its tokens work, besides what their scopes allow. The gate answers 403 elsewhere.'),
  trusted: z.boolean().default(false).describe('One of your own: people are not asked whether they agree.'),
  accessTtl: duration('How long its access tokens last, at most. Default: `tokenService.accessTtl`.').optional(),
})

export type ClientSettings = z.output<typeof clientShape>

const exchangeRule = object({
  client: clientName.describe('Who may exchange.'),
  from: z
    .array(clientName)
    .max(64)
    .optional()
    .describe('Tokens of which clients. Default: of every client of this service.'),
  to: z.array(z.string()).min(1).max(64).describe('For which APIs.'),
  scopes: scopes.optional().describe('Scopes the new token may have. Default: those of the old one.'),
})

const resource = object({
  audience: z.url().optional().describe('What stands in `aud`, and what clients ask for as `resource` (RFC 8707).'),
  scopes: scopes.optional().describe('The scopes there are. Default: those that its clients have.'),
  accessTtl: duration('How long access tokens for it last, at most.').optional(),
})

const longForm = object({
  issuer: z
    .url({ protocol: /^https?$/ })
    .refine(
      (text) => !/[?#]/.test(text) && !text.endsWith('/') && URL.parse(text)?.username === '',
      'expected a URL without query, fragment or slash at the end',
    )
    .optional()
    .describe(
      'The name of the service and where it stands, such as https://api.example.com/oauth. Default: the first listener and `/oauth`.',
    ),
  profile: z
    .enum(['standard', 'fapi2'])
    .default('standard')
    .describe(
      '`fapi2`: only what the FAPI 2.0 Security Profile allows: pushed requests, clients with keys, bound tokens.',
    ),
  accessTtl: duration('How long an access token lasts.')
    .default(600_000)
    .refine((ms) => ms >= 1_000 && ms <= day, 'expected 1s to 1d'),
  refreshTtl: duration('How long a refresh token lasts; each use gives a new one that lasts so long again.')
    .default(30 * day)
    .refine((ms) => ms >= 60_000 && ms <= 366 * day, 'expected 1m to 366d'),
  sessionTtl: duration('How long somebody stays signed in at the service.').default(12 * 3_600_000),
  rotate: z
    .boolean()
    .default(true)
    .describe(
      'A refresh token works once. `false` only for clients whose tokens are bound to a key; public ones are always rotated.',
    ),
  mfa: z
    .array(z.enum(['totp', 'passkey']))
    .max(2)
    .default([])
    .describe('Second factors that everybody must have, one of them. Default: who has one is asked for it.'),
  signing: z
    .enum(['ES256', 'PS256', 'RS256', 'EdDSA'])
    .default('ES256')
    .describe('How tokens are signed. The service makes the keys itself and seals them with the vault.'),
  keyLife: duration('After how long a new signing key takes over.').default(90 * day),
  keyLead: duration('How long a new key is published before it signs.').default(3_600_000),
  dpopNonce: z
    .enum(['offered', 'required'])
    .default('required')
    .describe('Whether a DPoP proof must hold a nonce of this service (RFC 9449, 8).'),
  resources: z
    .record(z.string(), resource)
    .default({})
    .describe('The APIs tokens are for, by the name they have under `apis`.'),
  scopes: z.record(scope, z.string().max(200)).default({}).describe('What scopes mean, in words for the consent page.'),
  clients: z
    .record(clientName, clientShape)
    .default({})
    .describe('Applications that may ask for tokens. More: `portcullis client create`.'),
  exchange: z
    .array(exchangeRule)
    .max(256)
    .default([])
    .describe('Who may exchange one token for another (RFC 8693). Nobody, unless it stands here.'),
  limits: object({
    client: rate('Requests of one client for tokens.').prefault('1200/min'),
    address: rate('Requests from one address, or from one network (/64) of IPv6.').prefault('600/min'),
    failures: rate(
      'Wrong secrets of one client from one address, and ten times as many of one client from everywhere.',
    ).prefault('10/15m'),
  })
    .prefault({})
    .describe('What one caller may ask of the service.'),
  theme: object({
    name: z.string().max(100).optional().describe('Whose pages these are.'),
    logo: file('An SVG or PNG file.').optional(),
    colour: z
      .string()
      .regex(/^#[0-9a-fA-F]{6}$/)
      .optional()
      .describe('#rrggbb'),
  })
    .prefault({})
    .describe('How the pages look.'),
})

/** `true`, or what is other than the default. */
export const tokenServiceShape = z
  .union([z.literal(false).transform(() => undefined), z.literal(true).transform(() => longForm.parse({})), longForm])
  .describe('A token service (OAuth 2.1, OpenID Connect) beside the APIs. Off by default; `true` switches it on.')

export type TokenServiceSettings = z.output<typeof longForm>
