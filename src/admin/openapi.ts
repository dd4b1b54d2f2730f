import type { AdminRoute } from './contract.ts'

/*
 * The OpenAPI document of the administration. It is what the gate in front of it holds requests and answers to, so what does not
 * stand here is refused: a member more in a body as well as a secret more in an answer.
 */

const text = (maxLength: number, more: object = {}) => ({ type: 'string', minLength: 1, maxLength, ...more })
const nullable = (schema: object) => ({ oneOf: [schema, { type: 'null' }] })
const time = { type: 'string', format: 'date-time', maxLength: 40 }
const words = { type: 'array', maxItems: 256, items: text(256) }
const ranges = { type: 'array', maxItems: 256, items: text(100), description: 'Address ranges: `203.0.113.0/24`.' }
const origins = { type: 'array', maxItems: 256, items: text(300), description: 'Web sites: `https://shop.example`.' }
const selectors = {
  type: 'array',
  maxItems: 256,
  items: text(512),
  description: '`op:ID`, `tag:NAME`, `GET /orders/*`.',
}
const seconds = (maximum: number) => ({ type: 'integer', minimum: 0, maximum })
const count = { type: 'integer', minimum: 0 }
const strict = (properties: Record<string, object>, required: readonly string[] = Object.keys(properties)) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
})
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const year = 366 * 86_400

const keyInput = {
  name: text(200, { description: 'Who or what it is for; shown in lists and logs.' }),
  scopes: words,
  roles: words,
  cidrs: ranges,
  origins,
  operations: selectors,
  owner: text(200),
  plan: text(64),
  note: text(1_000),
  notBefore: time,
  expiresAt: time,
}
const optional = (names: readonly string[], schemas: Record<string, object>) =>
  Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, names.includes(name) ? nullable(schema) : schema]),
  )

const key = {
  id: text(12),
  name: text(200),
  scopes: words,
  roles: words,
  cidrs: ranges,
  origins,
  operations: selectors,
  owner: nullable(text(200)),
  plan: nullable(text(64)),
  note: nullable(text(1_000)),
  createdAt: time,
  notBefore: nullable(time),
  expiresAt: nullable(time),
  rotatedAt: nullable(time),
  previousUntil: nullable(time),
  revokedAt: nullable(time),
}
const user = { name: text(200), scopes: words, roles: words, createdAt: time, passwordSetAt: time }
const bounds = {
  ...strict({ cidrs: ranges, origins, operations: selectors }, []),
  description: 'Where and for what its tokens work, besides what their scopes allow. An empty list bounds nothing.',
}
const client = {
  id: text(100),
  name: nullable(text(100)),
  from: { enum: ['configuration', 'store'] },
  grants: words,
  auth: text(50),
  redirects: { type: 'array', items: text(2_000) },
  scopes: words,
  resources: nullable(words),
  roles: words,
  plan: nullable(text(100)),
  bound: nullable({ enum: ['dpop', 'mtls'] }),
  bounds: nullable(bounds),
  trusted: { type: 'boolean' },
  native: { type: 'boolean' },
  createdAt: nullable(time),
  rotatedAt: nullable(time),
  revokedAt: nullable(time),
}
const list = (item: object, next: object = text(512)) =>
  strict(
    {
      items: { type: 'array', maxItems: 10_000, items: item },
      next: { ...next, description: '`after` of the next page.' },
    },
    ['items'],
  )

const schemas = {
  SignIn: strict({ name: text(200), password: text(1_024), code: text(64) }, ['name', 'password']),
  Session: strict({ subject: text(512), via: text(200), roles: words, expiresAt: time }),
  Caller: strict({
    subject: text(512),
    via: text(200),
    roles: words,
    level: { enum: ['viewer', 'operator', 'admin'] },
  }),
  NewKey: strict(keyInput, ['name']),
  KeyChanges: {
    ...strict(optional(['owner', 'plan', 'note', 'notBefore', 'expiresAt'], keyInput), []),
    minProperties: 1,
  },
  Key: strict(key),
  IssuedKey: strict({ ...key, key: text(66, { description: 'The key itself, shown this once.' }) }),
  Keys: list(ref('Key')),
  Rotation: strict({ graceSeconds: { ...seconds(year), description: 'How long the old secret still works.' } }, []),
  NewGrant: {
    ...strict(
      {
        subject: text(512, { description: 'The name of a user, the id of a key, the `sub` of a token.' }),
        via: text(200, {
          description:
            'Who vouches for it: `basic`, `apiKey`, `session`, `mtls`, `tokenService`, a name of `issuers`. Default: by the configuration, where there is one choice.',
        }),
        roles: words,
        scopes: words,
        operations: selectors,
        cidrs: ranges,
        reason: text(1_000),
        from: time,
        until: time,
        forSeconds: { type: 'integer', minimum: 1, maximum: year },
      },
      ['subject'],
    ),
    oneOf: [{ required: ['until'] }, { required: ['forSeconds'] }],
  },
  Grant: strict({
    id: text(12),
    subject: text(512),
    via: text(200),
    state: { enum: ['coming', 'active', 'ended', 'revoked'] },
    roles: words,
    scopes: words,
    operations: selectors,
    cidrs: ranges,
    reason: nullable(text(1_000)),
    grantedBy: text(200),
    createdAt: time,
    from: time,
    until: time,
    revokedAt: nullable(time),
    revokedBy: nullable(text(800)),
  }),
  Grants: list(ref('Grant')),
  NewUser: strict({ name: text(200), password: text(1_024), scopes: words, roles: words }, ['name', 'password']),
  UserInList: strict(user),
  User: strict({ ...user, totp: { type: 'boolean' }, passkeys: count, recoveryCodesLeft: count }),
  Users: list(ref('UserInList')),
  NewClient: strict(
    {
      id: text(100, { pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' }),
      name: text(100),
      grants: {
        type: 'array',
        minItems: 1,
        maxItems: 5,
        items: { enum: ['client_credentials', 'authorization_code', 'refresh_token', 'device_code', 'token_exchange'] },
      },
      auth: { enum: ['secret', 'private_key_jwt', 'mtls', 'none'] },
      jwks: {
        type: 'object',
        required: ['keys'],
        properties: {
          keys: { type: 'array', minItems: 1, maxItems: 20, items: { type: 'object', additionalProperties: true } },
        },
        additionalProperties: false,
      },
      certificate: strict({ subject: text(500), dns: text(253), uri: text(500), ip: text(45), email: text(254) }, []),
      redirects: { type: 'array', maxItems: 50, items: text(2_000) },
      signedOut: { type: 'array', maxItems: 50, items: text(2_000) },
      native: { type: 'boolean' },
      scopes: words,
      resources: words,
      bound: { enum: ['dpop', 'mtls'] },
      roles: words,
      plan: text(100),
      bounds,
      trusted: { type: 'boolean' },
    },
    ['id'],
  ),
  Client: strict(client),
  IssuedClient: strict({ ...client, secret: text(500, { description: 'Shown this once.' }) }, Object.keys(client)),
  Clients: list(ref('Client')),
  End: {
    ...strict(
      {
        subject: text(512),
        client: text(100),
        token: strict({ issuer: text(2_000), id: text(512, { description: 'Its `jti`.' }) }),
      },
      [],
    ),
    minProperties: 1,
    maxProperties: 1,
  },
  Ended: strict({ sessions: count, tokens: { type: 'boolean' } }),
  Consents: list(
    strict({ id: text(512), subject: text(512), client: text(512), scopes: words, issuedAt: time, expiresAt: time }),
  ),
  Purposes: list(
    strict({
      purpose: text(128),
      keys: {
        type: 'array',
        items: strict({
          id: text(128),
          state: { enum: ['seals', 'opens'] },
          createdAt: time,
          openUntil: nullable(time),
        }),
      },
    }),
  ),
  PurposeRotation: strict({ purpose: text(128), graceSeconds: seconds(10 * year) }, ['purpose']),
  RotatedPurpose: strict({ purpose: text(128), key: text(128) }),
  SigningKeys: strict({
    issuer: text(2_000),
    items: { type: 'array', items: strict({ kid: text(200), alg: nullable(text(20)), use: nullable(text(20)) }) },
  }),
  Events: list(
    strict(
      {
        time,
        event: text(200),
        subject: text(1_000),
        client: text(1_000),
        address: text(100),
        id: text(1_000),
        detail: { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } },
      },
      ['time', 'event'],
    ),
  ),
  Unused: strict({
    days: count,
    recordedSince: nullable(time),
    items: {
      type: 'array',
      maxItems: 10_000,
      items: strict({
        kind: { enum: ['key', 'user', 'grant', 'client'] },
        id: text(512),
        name: text(512),
        via: text(200),
        subject: text(512),
        lastUsedAt: nullable(time),
        since: time,
        wholly: { type: 'boolean', description: 'Nothing of it was used.' },
        scopes: words,
        roles: words,
        operations: selectors,
      }),
    },
  }),
  Health: strict({ healthy: { type: 'boolean' }, store: text(300), inFlight: count }),
  Version: strict({ version: text(100) }),
  Document: { type: 'object', additionalProperties: true },
  Problem: {
    type: 'object',
    description: 'A problem document (RFC 9457).',
    properties: {
      type: text(500),
      title: text(500),
      status: { type: 'integer' },
      detail: text(2_000),
      instance: text(200),
      code: text(100),
      errors: { type: 'array', items: { type: 'object', additionalProperties: true } },
    },
    required: ['type', 'status', 'code'],
    additionalProperties: false,
  },
}

interface OperationInput {
  readonly summary: string
  readonly tag: string
  readonly body?: keyof typeof schemas
  /** The body may be left out. */
  readonly bodyOptional?: boolean
  readonly answers: Readonly<Record<string, keyof typeof schemas | 'nothing'>>
  readonly query?: readonly object[]
  readonly ifMatch?: boolean
  readonly idempotent?: boolean
  readonly open?: boolean
}

const header = (name: string, maxLength: number, description: string) => ({
  name,
  in: 'header',
  description,
  schema: { type: 'string', minLength: 1, maxLength },
})
const query = (name: string, schema: object, description: string) => ({ name, in: 'query', schema, description })
const paging = [
  query('limit', { type: 'integer', minimum: 1, maximum: 500, default: 100 }, 'How many at most.'),
  query('after', text(512), '`next` of the page before.'),
]

const paths: Readonly<Record<string, Readonly<Record<string, readonly [string, OperationInput]>>>> = {
  '/session': {
    post: ['signIn', { summary: 'Sign in', tag: 'session', body: 'SignIn', answers: { 200: 'Session' }, open: true }],
    get: ['whoAmI', { summary: 'Who am I', tag: 'session', answers: { 200: 'Caller' } }],
    delete: ['signOut', { summary: 'Sign out', tag: 'session', answers: { 204: 'nothing' } }],
  },
  '/keys': {
    get: [
      'listKeys',
      { summary: 'API keys, never their secrets', tag: 'keys', query: paging, answers: { 200: 'Keys' } },
    ],
    post: [
      'createKey',
      { summary: 'Make a key', tag: 'keys', body: 'NewKey', answers: { 201: 'IssuedKey' }, idempotent: true },
    ],
  },
  '/keys/{id}': {
    get: ['showKey', { summary: 'One key', tag: 'keys', answers: { 200: 'Key' } }],
    patch: [
      'changeKey',
      { summary: 'Change what a key may', tag: 'keys', body: 'KeyChanges', answers: { 200: 'Key' }, ifMatch: true },
    ],
    delete: ['revokeKey', { summary: 'End a key for good', tag: 'keys', answers: { 200: 'Key' }, ifMatch: true }],
  },
  '/keys/{id}/rotate': {
    post: [
      'rotateKey',
      {
        summary: 'Give a key a new secret',
        tag: 'keys',
        body: 'Rotation',
        bodyOptional: true,
        answers: { 200: 'IssuedKey' },
        ifMatch: true,
        idempotent: true,
      },
    ],
  },
  '/grants': {
    get: ['listGrants', { summary: 'Grants for a while', tag: 'grants', query: paging, answers: { 200: 'Grants' } }],
    post: [
      'createGrant',
      {
        summary: 'Give rights for a while',
        tag: 'grants',
        body: 'NewGrant',
        answers: { 201: 'Grant' },
        idempotent: true,
      },
    ],
  },
  '/grants/{id}': {
    get: ['showGrant', { summary: 'One grant', tag: 'grants', answers: { 200: 'Grant' } }],
    delete: ['revokeGrant', { summary: 'End a grant before its time', tag: 'grants', answers: { 200: 'Grant' } }],
  },
  '/users': {
    get: [
      'listUsers',
      { summary: 'Accounts, never their passwords', tag: 'users', query: paging, answers: { 200: 'Users' } },
    ],
    post: ['createUser', { summary: 'Make an account', tag: 'users', body: 'NewUser', answers: { 201: 'User' } }],
  },
  '/users/{name}': {
    get: ['showUser', { summary: 'One account', tag: 'users', answers: { 200: 'User' } }],
    delete: ['removeUser', { summary: 'Remove an account', tag: 'users', answers: { 204: 'nothing' }, ifMatch: true }],
  },
  '/users/{name}/unlock': {
    post: ['unlockUser', { summary: 'Give an account its tries back', tag: 'users', answers: { 204: 'nothing' } }],
  },
  '/users/{name}/factors': {
    delete: [
      'resetFactors',
      { summary: 'Take away all second factors of an account', tag: 'users', answers: { 204: 'nothing' } },
    ],
  },
  '/clients': {
    get: [
      'listClients',
      { summary: 'Clients of the token service', tag: 'clients', query: paging, answers: { 200: 'Clients' } },
    ],
    post: [
      'createClient',
      {
        summary: 'Make a client',
        tag: 'clients',
        body: 'NewClient',
        answers: { 201: 'IssuedClient' },
        idempotent: true,
      },
    ],
  },
  '/clients/{id}': {
    get: ['showClient', { summary: 'One client', tag: 'clients', answers: { 200: 'Client' } }],
    delete: [
      'revokeClient',
      { summary: 'End a client for good', tag: 'clients', answers: { 200: 'Client' }, ifMatch: true },
    ],
  },
  '/clients/{id}/rotate': {
    post: [
      'rotateClient',
      {
        summary: 'Give a client a new secret',
        tag: 'clients',
        body: 'Rotation',
        bodyOptional: true,
        answers: { 200: 'IssuedClient' },
        ifMatch: true,
        idempotent: true,
      },
    ],
  },
  '/ends': {
    post: [
      'endAccess',
      {
        summary: 'End sessions and tokens of a subject or client, or one token',
        tag: 'access',
        body: 'End',
        answers: { 200: 'Ended' },
      },
    ],
  },
  '/consents': {
    get: [
      'listConsents',
      {
        summary: 'What applications were given in the name of people',
        tag: 'access',
        query: [query('subject', text(512), 'Of one subject.'), query('client', text(100), 'Of one client.')],
        answers: { 200: 'Consents' },
      },
    ],
  },
  '/consents/{id}': {
    delete: [
      'endConsent',
      { summary: 'End one of them with all its tokens', tag: 'access', answers: { 204: 'nothing' } },
    ],
  },
  '/vault': {
    get: ['listVault', { summary: 'Purposes and their keys, never a key', tag: 'vault', answers: { 200: 'Purposes' } }],
  },
  '/vault/rotate': {
    post: [
      'rotateVault',
      { summary: 'A new key for a purpose', tag: 'vault', body: 'PurposeRotation', answers: { 200: 'RotatedPurpose' } },
    ],
  },
  '/signing-keys': {
    get: [
      'listSigningKeys',
      { summary: 'Keys that tokens are signed with', tag: 'vault', answers: { 200: 'SigningKeys' } },
    ],
  },
  '/signing-keys/rotate': {
    post: ['rotateSigningKeys', { summary: 'A new signing key', tag: 'vault', answers: { 204: 'nothing' } }],
  },
  '/events': {
    get: [
      'listEvents',
      {
        summary: 'The latest security events, newest first',
        tag: 'watch',
        query: paging,
        answers: { 200: 'Events' },
      },
    ],
  },
  '/unused': {
    get: [
      'reportUnused',
      {
        summary: 'Rights that nobody has used',
        tag: 'watch',
        query: [query('days', { type: 'integer', minimum: 1, maximum: 400, default: 30 }, 'For how many days.')],
        answers: { 200: 'Unused' },
      },
    ],
  },
  '/health': {
    get: [
      'showHealth',
      { summary: 'Whether the gate is well', tag: 'watch', answers: { 200: 'Health', 503: 'Health' } },
    ],
  },
  '/version': { get: ['showVersion', { summary: 'The version that runs', tag: 'watch', answers: { 200: 'Version' } }] },
  '/openapi.json': { get: ['showDocument', { summary: 'This document', tag: 'watch', answers: { 200: 'Document' } }] },
}

/** The document, with the level that each operation needs in its description. */
export function adminDocument(routes: readonly AdminRoute[], version: string): object {
  const levels = new Map(routes.map(({ operation, level }) => [operation, level]))
  const problem = {
    description: 'A problem (RFC 9457).',
    content: { 'application/problem+json': { schema: ref('Problem') } },
  }
  const documented: Record<string, Record<string, object>> = {}
  for (const [path, methods] of Object.entries(paths)) {
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
      name,
      in: 'path',
      required: true,
      schema: text(name === 'name' ? 200 : 128),
    }))
    for (const [method, [operationId, input]] of Object.entries(methods)) {
      if (!levels.has(operationId)) continue
      const own = [
        ...(input.query ?? []),
        ...(input.ifMatch === true ? [header('If-Match', 300, 'The ETag of what the change is based on.')] : []),
        ...(input.idempotent === true
          ? [header('Idempotency-Key', 200, 'The same request with the same key is done once.')]
          : []),
      ]
      documented[path] ??= parameters.length === 0 ? {} : { parameters: parameters as unknown as object }
      documented[path][method] = {
        operationId,
        tags: [input.tag],
        summary: input.summary,
        ...(input.open === true
          ? { security: [] }
          : { description: `Needs the role \`portcullis:${levels.get(operationId)}\`.` }),
        ...(own.length === 0 ? {} : { parameters: own }),
        ...(input.body === undefined
          ? {}
          : {
              requestBody: {
                required: input.bodyOptional !== true,
                content: { 'application/json': { schema: ref(input.body) } },
              },
            }),
        responses: {
          ...Object.fromEntries(
            Object.entries(input.answers).map(([status, schema]) => [
              status,
              schema === 'nothing'
                ? { description: 'Done.' }
                : { description: 'Done.', content: { 'application/json': { schema: ref(schema) } } },
            ]),
          ),
          default: problem,
        },
      }
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Portcullis administration',
      version,
      description:
        'Administers a gate. Errors are problem documents; lists are paged by `after`; changes say by If-Match what they are based on.',
    },
    servers: [{ url: '/v1' }],
    security: [{ session: [] }, { key: [] }, { password: [] }, { token: [] }],
    paths: documented,
    components: {
      schemas,
      securitySchemes: {
        session: { type: 'apiKey', in: 'cookie', name: '__Host-portcullis-admin' },
        key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        password: { type: 'http', scheme: 'basic' },
        token: { type: 'http', scheme: 'bearer' },
      },
    },
  }
}
