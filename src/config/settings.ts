import { adminShape } from './admin.ts'
import { bytes, duration, file, object, outputFile, z } from './language.ts'
import { type TokenServiceSettings, tokenServiceShape } from './token-service.ts'

/*
 * The fixed part of the configuration: what is not a guard's. Guards add their own keys under `apis.<name>` and,
 * where they say so, at the top (see `gate/guard.ts`); `load.ts` puts both together.
 */

/** A PEM file, or the PEM text itself. */
const pem = (description: string) => file(description)

const upstreamTls = object({
  ca: z
    .union([
      pem("Authorities that may vouch for the upstream, in place of the system's."),
      z.array(pem('One authority.')).min(1).max(100),
    ])
    .optional(),
  certificate: pem('Client certificate shown to the upstream.').optional(),
  key: pem('Private key of the client certificate.').optional(),
  serverName: z
    .string()
    .describe("Name expected in the upstream's certificate, where it differs from the host.")
    .optional(),
}).describe('How an https upstream is verified. There is no way to switch verification off.')

/** `localhost:3000` alone reads as a URL of scheme "localhost", which nobody means. */
const httpUrl = () => z.url({ protocol: /^https?$/, hostname: /./ })

const target = object({
  url: httpUrl().describe("Origin of one target, such as https://10.0.0.7:8443; a path is put before every request's."),
  weight: z
    .number()
    .int()
    .min(1)
    .max(1000)
    .default(1)
    .describe('Share of the requests, relative to the other targets.'),
})

/** Where an API's requests go. A bare URL, several, or the long form. */
export const upstreamShape = z
  .union([
    httpUrl().transform((url) => upstreamObject.parse({ targets: [{ url }] })),
    z
      .array(httpUrl())
      .min(1)
      .max(256)
      .transform((urls) => upstreamObject.parse({ targets: urls.map((url) => ({ url })) })),
    z.lazy(() => upstreamObject),
  ])
  .describe('Where the requests go: a URL such as http://localhost:3000, several of them, or the long form.')

const upstreamObject = object({
  targets: z.array(target).min(1).max(256).describe('The servers that answer for the API.'),
  protocol: z.enum(['http/1.1', 'h2']).default('http/1.1').describe('What is spoken to the upstream.'),
  tls: upstreamTls.optional(),
  timeouts: object({
    connect: duration('Until the connection stands.').default(5_000),
    head: duration('From the whole request sent to the head of the answer.').default(30_000),
    idle: duration('Between two pieces of the answer; server-sent events and upgrades excepted.').default(60_000),
    total: duration('From request to the end of the answer; server-sent events and upgrades excepted.').default(
      300_000,
    ),
  })
    .prefault({})
    .describe('How long is waited for what. Answered 504 when it is over.'),
  connections: z.number().int().min(1).max(10_000).default(256).describe('At most, for each target and process.'),
  queue: z
    .number()
    .int()
    .min(0)
    .max(100_000)
    .default(1_024)
    .describe('Requests that may wait for a connection; more are answered 503.'),
  retries: object({
    count: z
      .number()
      .int()
      .min(0)
      .max(5)
      .default(1)
      .describe('Further tries of idempotent requests (RFC 9110, 9.2.2) without a body on the wire.'),
    budget: z
      .number()
      .min(0)
      .max(1)
      .default(0.2)
      .describe('Retries as a share of all requests, so that a failing upstream is not buried.'),
  })
    .prefault({})
    .describe(
      'Whether a request that failed before its answer began is tried again, at another target where there is one.',
    ),
  health: object({
    path: z.string().startsWith('/').optional().describe('Asked of every target. Without it only real traffic tells.'),
    interval: duration('Between two probes.').default(10_000),
    timeout: duration('Of one probe.').default(2_000),
    healthyAfter: z
      .number()
      .int()
      .min(1)
      .max(100)
      .default(2)
      .describe('Good probes in a row that bring a target back.'),
    unhealthyAfter: z.number().int().min(1).max(100).default(3).describe('Bad probes in a row that take a target out.'),
  })
    .prefault({})
    .describe('How targets that are down are found and left alone.'),
  breaker: object({
    failures: z
      .number()
      .min(0.01)
      .max(1)
      .default(0.5)
      .describe('Share of failed requests in the window that opens the breaker.'),
    minimum: z
      .number()
      .int()
      .min(1)
      .max(100_000)
      .default(20)
      .describe('Requests in the window below which it stays closed.'),
    window: duration('Over which failures are counted.').default(10_000),
    open: duration('How long it stays open before one request may try.').default(5_000),
    slow: duration('An answer whose head takes longer counts as failed.').default(10_000),
  })
    .prefault({})
    .describe('Stops asking a target that mostly fails: 503 with Retry-After at once, in place of waiting.'),
})

export type UpstreamSettings = z.output<typeof upstreamObject>

const tlsShape = object({
  certificate: pem('Certificate chain, PEM file.').optional(),
  key: pem('Private key, PEM file; or `${KEY_FILE}`.').optional(),
  certificates: z
    .array(
      object({
        certificate: pem('Certificate chain, PEM file.'),
        key: pem('Private key, PEM file.'),
        names: z.array(z.string()).optional().describe("Default: the certificate's own names."),
      }),
    )
    .max(10_000)
    .optional()
    .describe('Several certificates, chosen by the name the client asks for (SNI).'),
  acme: object({
    email: z.email().optional().describe('Where the authority writes to when something is wrong.'),
    domains: z.array(z.string()).min(1).max(100).describe('Names the certificate is asked for.'),
    directory: z.url().default('https://acme-v02.api.letsencrypt.org/directory').describe('ACME server (RFC 8555).'),
    ca: pem('Authority of the ACME server itself, for private ones.').optional(),
    renewBefore: duration('How long before its end a certificate is renewed.').default(30 * 86_400_000),
  })
    .optional()
    .describe('Asks an authority for the certificate, and renews it (RFC 8555).'),
  min: z.enum(['1.2', '1.3']).default('1.2').describe('The oldest version of TLS that is spoken.'),
  clientCa: z
    .union([pem('PEM file.'), z.array(pem('PEM file.')).min(1).max(100)])
    .optional()
    .describe('Authorities whose client certificates are accepted (mTLS).'),
  clientCrl: z
    .union([pem('PEM file.'), z.array(pem('PEM file.')).min(1).max(100)])
    .optional()
    .describe('Revocation lists of those authorities.'),
  clientCertificate: z
    .enum(['request', 'require'])
    .default('request')
    .describe('Whether a client without a certificate may connect; what it may do then is decided for each operation.'),
})

export const listenShape = object({
  port: z.number().int().min(0).max(65_535).describe('TCP port; 0 takes a free one.'),
  host: z.string().default('0.0.0.0').describe('Address to listen on; `::` is every IPv6 and IPv4 address.'),
  tls: z
    .union([z.literal('off'), z.literal('development'), tlsShape])
    .optional()
    .describe('`off` on loopback or with `behindTlsTerminator`; `development` makes a certificate of its own.'),
  behindTlsTerminator: z
    .boolean()
    .default(false)
    .describe('Another program in front ends TLS, so plain HTTP here is not plain on the network.'),
  redirect: z
    .literal('https')
    .optional()
    .describe('Answers every request with 308 to https, and 403 to one that carries a credential.'),
  http2: z.boolean().default(true).describe('Offers HTTP/2 beside HTTP/1.1 (over TLS).'),
  serves: z
    .enum(['apis', 'tokenService'])
    .optional()
    .describe('Only the APIs, or only the token service. Default: both.'),
})

export type ListenSettings = z.output<typeof listenShape>
export type TlsSettings = z.output<typeof tlsShape>

/** Bounds on what a connection may do. The defaults hold for the internet. */
const connectionLimits = object({
  headerBytes: bytes('Request line and headers of one request; more is answered 431.').default(16_384),
  headerCount: z
    .number()
    .int()
    .min(10)
    .max(2_000)
    .default(100)
    .describe('Headers of one request; more is answered 431.'),
  headTimeout: duration('From the first byte of a request to the end of its headers.').default(10_000),
  requestTimeout: duration('From the first byte of a request to the end of its body.').default(120_000),
  idleTimeout: duration('Of a connection between requests.').default(65_000),
  bodyRate: bytes(
    'Bytes of body a second, on average over ten seconds, below which a request is cut with 408.',
  ).default(500),
  connections: z.number().int().min(1).default(20_000).describe('Open at once; the next one is closed.'),
  connectionsPerAddress: z.number().int().min(1).default(2_000).describe('Open at once from one address.'),
  requestsPerConnection: z
    .number()
    .int()
    .min(1)
    .default(100_000)
    .describe('After so many requests a connection is closed, so that clients spread anew.'),
  streams: z.number().int().min(1).max(10_000).default(100).describe('HTTP/2 streams at once on one connection.'),
})

export type ConnectionLimits = z.output<typeof connectionLimits>

/** How one of several versions of an API is chosen (G1): any of these; all that are given must fit. */
const versionShape = object({
  openapi: file("Its own document; default: the API's.").optional(),
  upstream: upstreamShape.optional(),
  tls: upstreamTls.optional(),
  path: z.string().startsWith('/').optional().describe('Path prefix, such as /v2.'),
  host: z.string().optional().describe('Host name, such as v2.api.example.com.'),
  header: object({
    name: z.string().describe('Name of a request header.'),
    value: z.string().describe('Its value, to the letter.'),
  })
    .optional()
    .describe('A request header, such as `{ name: Api-Version, value: "2" }`.'),
  mediaType: z
    .string()
    .optional()
    .describe('A media type in Accept or Content-Type, such as application/vnd.shop.v2+json.'),
  default: z.boolean().default(false).describe('Serves requests that select none.'),
}).transform(({ tls, ...version }, context) => {
  if (tls === undefined) return version
  if (version.upstream === undefined) {
    context.addIssue({
      code: 'custom',
      message: 'says how its upstream speaks TLS, and names no upstream',
      path: ['tls'],
    })
    return version
  }
  // `tls` beside a bare URL, so that a private authority does not ask for the long form.
  return { ...version, upstream: { ...version.upstream, tls: version.upstream.tls ?? tls } }
})

export const apiShape = object({
  openapi: file('The OpenAPI document: a file, 2.0 to 3.2, YAML or JSON.'),
  overlays: z
    .array(file('An OpenAPI Overlay file.'))
    .max(32)
    .default([])
    .describe('OpenAPI Overlay 1.1 files, applied in order.'),
  upstream: upstreamShape.optional(),
  versions: z
    .record(z.string(), versionShape)
    .optional()
    .describe('Several versions of the API at once, by name; each with what a request chooses it by.'),
  host: z.array(z.string()).optional().describe('Names this API answers to; default: every name.'),
  basePath: z
    .string()
    .optional()
    .describe("Where its paths are mounted; default: the path of the document's first server."),
  unsecured: z
    .enum(['refuse', 'authenticate', 'public'])
    .default('refuse')
    .describe(
      'What to do with an operation whose document neither asks for security nor says `security: []`: refuse to start, ask for any credential, or let everyone in.',
    ),
})

export type ApiSettings = z.output<typeof apiShape>

/** The words of other programs' log levels mean what a reader expects of them. */
const logLevels = { all: 'all', info: 'all', denied: 'denied', warn: 'denied', none: 'none', off: 'none' } as const

export const telemetryShape = object({
  metrics: z
    .string()
    .optional()
    .describe('host:port of the Prometheus endpoint /metrics; loopback unless you say otherwise.'),
  logs: object({
    level: z
      .enum(['all', 'denied', 'none', 'info', 'warn', 'off'])
      .transform((level) => logLevels[level])
      .default('all')
      .describe('Which exchanges leave an activity line: `all` (or `info`), `denied` (or `warn`), `none` (or `off`).'),
    sample: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe('Share of the allowed exchanges that leave a line; refused ones always do.'),
    file: outputFile('Default: standard output.').optional(),
    requestHeaders: z
      .array(z.string())
      .default(['user-agent', 'content-type', 'content-length', 'accept', 'origin', 'referer'])
      .describe('Request headers that are logged; no other is.'),
    responseHeaders: z
      .array(z.string())
      .default(['content-type', 'content-length', 'location', 'retry-after'])
      .describe('Response headers that are logged; no other is.'),
    query: z
      .array(z.string())
      .default([])
      .describe('Query parameters whose values are logged; every other value is masked.'),
  })
    .prefault({})
    .describe('The activity log: one JSON object a line for each exchange.'),
  messages: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Level of the messages on standard error.'),
})
  .prefault({})
  .describe('What is told of the traffic, and where.')

const secretsShape = object({
  sealWith: z
    .union([
      z
        .string()
        .describe('The key itself, 32 bytes in base64 or hexadecimal: `${file:./master.key}`, `${MASTER_KEY}`.'),
      object({ file: file('A file that holds the key and that others may not read (mode 600).') }),
      object({
        command: z
          .array(z.string().min(1))
          .min(1)
          .max(32)
          .describe(
            'Program and arguments. It reads `wrap` or `unwrap` and a line of base64, and writes one line of base64.',
          ),
        timeout: duration('How long one answer may take.').default(10_000),
      }).describe('A program that stands for a key it does not give away: a KMS, an HSM.'),
    ])
    .optional()
    .describe(
      'The master key: what every key that the gate keeps in its store is sealed with. Default, with the SQLite store: `master.key` in `stateDir`, made with mode 600.',
    ),
})
  .prefault({})
  .describe('How the gate keeps its own keys.')

const adminSection = adminShape(listenShape.shape.tls)

export type AdminSettings = z.output<typeof adminSection>

export const rootShape = {
  $schema: z.string().optional().describe('The JSON Schema that editors check this file with.'),
  extends: z
    .union([z.string(), z.array(z.string()).max(64)])
    .optional()
    .describe(
      'Configurations this one is laid upon: files, or `portcullis/profiles/<name>`. Maps are merged, everything else is replaced; the later one wins.',
    ),
  version: z.literal(1).describe('Version of this format.'),
  listen: z
    .array(listenShape)
    .max(64)
    .default([{ port: 8443, host: '127.0.0.1', tls: 'development', behindTlsTerminator: false, http2: true }])
    .describe('Where the gate takes requests. Default: https on 127.0.0.1:8443 with a development certificate.'),
  trustedProxies: z
    .array(z.string())
    .default([])
    .describe('Address ranges whose Forwarded and X-Forwarded-For are believed.'),
  connection: connectionLimits
    .prefault({})
    .describe('Bounds on what one connection may do. The defaults hold for the internet.'),
  stateDir: outputFile(
    'Folder for what the gate makes itself: certificates, the control socket, the SQLite store. Default: `.portcullis` beside this file.',
  ).optional(),
  store: object({
    url: outputFile('Where keys, users and certificates are kept: sqlite:FILE, or postgres://…', 'sqlite:').default(
      'sqlite:.portcullis/state.db',
    ),
  })
    .prefault({})
    .describe('Durable state.'),
  secrets: secretsShape,
  counters: object({
    url: z.string().default('memory').describe('Where limits count: `memory`, or redis://… for several machines.'),
  })
    .prefault({})
    .describe('Fast state.'),
  workers: z.number().int().min(1).max(256).default(1).describe('Processes that share the listeners.'),
  drain: duration('How long a stop waits for requests in flight.').default(30_000),
  telemetry: telemetryShape,
  tokenService: tokenServiceShape.optional(),
  admin: adminSection.optional(),
  grants: object({
    revokeUnusedAfter: duration(
      'Ends API keys and grants that nobody has used for so long, such as 90d. Default: never.',
    ).optional(),
  })
    .prefault({})
    .describe('Keys and rights that are given for a while.'),
} as const

/** The fixed part, read; guards' keys stay beside it, untouched. */
export interface Settings {
  readonly version: 1
  readonly listen: readonly ListenSettings[]
  readonly trustedProxies: readonly string[]
  readonly connection: ConnectionLimits
  readonly stateDir?: string | undefined
  readonly store: { readonly url: string }
  readonly secrets: z.output<typeof secretsShape>
  readonly counters: { readonly url: string }
  readonly workers: number
  readonly drain: number
  readonly telemetry: z.output<typeof telemetryShape>
  readonly tokenService?: TokenServiceSettings | undefined
  readonly admin?: AdminSettings | undefined
  readonly grants: { readonly revokeUnusedAfter?: number | undefined }
  readonly apis: Readonly<Record<string, ApiSettings & { readonly [guard: string]: unknown }>>
  readonly [rootKeyOfAGuard: string]: unknown
}
