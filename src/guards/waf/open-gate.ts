/** What is tested, and where requests go that pass. */
export interface OpenGateInput {
  /** Of the upstream: http://127.0.0.1:3000. */
  readonly upstream: string
  readonly rules: 'own' | 'crs'
  /** An unpacked CRS; without it the installed one. */
  readonly crs?: string | undefined
  readonly paranoia?: number
  /** Rule files before those of the set. */
  readonly before?: readonly string[]
  readonly evaluator?: 'fast' | 'plain'
}

/** A configuration and the document that it names as `openapi.json` beside it. */
export interface OpenGate {
  readonly config: Readonly<Record<string, unknown>>
  readonly document: Readonly<Record<string, unknown>>
}

const off = { mode: 'off' }

/**
 * A gate that lets everything through to its firewall, which only observes: for tests of rules, where every request must reach
 * them and the upstream. What is no request at all is still refused, and looked at by the rules as far as it can be read.
 */
export function openGateConfig({
  upstream,
  rules,
  crs,
  paranoia = 1,
  before = [],
  evaluator,
}: OpenGateInput): OpenGate {
  return {
    config: {
      version: 1,
      listen: [{ port: 0, host: '127.0.0.1', tls: 'off' }],
      connection: { headerBytes: '1MB', headerCount: 2_000, connections: 10_000, connectionsPerAddress: 10_000 },
      store: { url: 'sqlite::memory:' },
      telemetry: { logs: { level: 'none' }, messages: 'error' },
      ...(rules === 'crs' && { waf: { crs: crs === undefined ? 'installed' : { path: crs } } }),
      apis: {
        test: {
          openapi: './openapi.json',
          upstream,
          waf: {
            mode: 'observe',
            response: 'observe',
            paranoia,
            include: { before },
            ...(evaluator !== undefined && { evaluator }),
            // The rules' own lists of methods and media types are what is tested.
            specAware: false,
            maxBody: '10MB',
            maxValues: 1_000_000,
            maxResponse: '10MB',
          },
          unlisted: { mode: 'observe' },
          validate: { request: 'off', response: 'off' },
          queryCredentials: off,
          cors: off,
          limits: off,
          concurrency: { ...off, overload: off },
          errors: off,
          headers: off,
        },
      },
    },
    // No path is listed: what is not listed is one operation.
    document: { openapi: '3.1.0', info: { title: 'Everything', version: '1' }, security: [], paths: {} },
  }
}
