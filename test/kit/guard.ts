import type { IncomingHttpHeaders } from 'node:http'
import { silentLogger } from '../../src/base/log.ts'
import { Exchange, type Protocol, type Slot } from '../../src/gate/exchange.ts'
import type { Guard, Host, Steps } from '../../src/gate/guard.ts'
import type { Principal } from '../../src/gate/principal.ts'
import { UpstreamReply } from '../../src/gate/upstream-reply.ts'
import type { Denial, Verdict } from '../../src/gate/verdict.ts'
import type { ApiDocument, Operation, Parameter, SecurityScheme } from '../../src/openapi/operation.ts'
import type { Counters } from '../../src/store/counters.ts'
import { createMemoryCounters } from '../../src/store/counters-memory.ts'
import type { Store } from '../../src/store/store.ts'

/*
 * One guard by itself, without sockets: for tests beside the guards. What reaches the wire is shown by test/e2e.
 */

/** An operation; what is not said is a plain `GET /orders`. */
export function makeOperation(
  partial: Partial<Operation> & { readonly securitySchemes?: readonly SecurityScheme[] } = {},
): Operation {
  const { securitySchemes = [], ...rest } = partial
  const operations: Operation[] = []
  const document: ApiDocument = {
    title: 'Test',
    version: '1',
    openapi: '3.1.0',
    basePath: '',
    operations,
    securitySchemes: new Map(securitySchemes.map((scheme) => [scheme.name, scheme])),
    files: [],
    warnings: [],
    validator: () => () => [],
  }
  const operation: Operation = {
    kind: 'listed',
    api: 'test',
    version: undefined,
    id: 'listOrders',
    method: 'GET',
    path: '/orders',
    tags: [],
    summary: undefined,
    deprecated: false,
    parameters: [],
    requestBody: undefined,
    responses: {},
    security: undefined,
    allow: ['GET', 'HEAD', 'POST'],
    policy: {},
    place: undefined,
    document,
    ...rest,
  }
  operations.push(operation)
  return operation
}

/** A parameter of the document, of which only name and place matter. */
export function makeParameter(name: string, where: Parameter['in']): Parameter {
  return {
    name,
    in: where,
    required: false,
    deprecated: false,
    style: 'form',
    explode: true,
    allowReserved: false,
    allowEmptyValue: false,
    schema: undefined,
    content: undefined,
  }
}

export interface ExchangeInput {
  readonly operation?: Operation
  readonly method?: string
  readonly path?: string
  /** As it stood on the wire, where that is something else. */
  readonly rawTarget?: string
  readonly protocol?: Protocol
  readonly rawHeaders?: readonly string[]
  readonly query?: string
  readonly authority?: string
  readonly headers?: IncomingHttpHeaders
  readonly address?: string
  readonly encrypted?: boolean
  readonly upgrade?: string
  readonly pathValues?: readonly string[]
  readonly principal?: Principal
  readonly body?: string
  readonly response?: { readonly status: number; readonly headers?: readonly string[] }
}

/** A request on its way, as far as a guard can see it. */
export function makeExchange(input: ExchangeInput = {}): Exchange {
  const address = input.address ?? '198.51.100.7'
  const exchange = new Exchange(
    {
      id: 'req_test',
      method: input.method ?? 'GET',
      target: { path: input.path ?? '/orders', query: input.query ?? '', authority: input.authority ?? 'api.example' },
      rawTarget: input.rawTarget ?? (input.path ?? '/orders') + (input.query ? `?${input.query}` : ''),
      protocol: input.protocol ?? 'HTTP/1.1',
      headers: input.headers ?? {},
      rawHeaders:
        input.rawHeaders ?? Object.entries(input.headers ?? {}).flatMap(([name, value]) => [name, String(value)]),
      peer: { address, encrypted: input.encrypted ?? false, certificate: undefined, trusted: false },
      address,
      receivedAt: 0,
      upgrade: input.upgrade,
    },
    input.operation ?? makeOperation(),
    input.pathValues ?? [],
  )
  exchange.principal = input.principal
  if (input.body !== undefined) exchange.requestBody = Buffer.from(input.body)
  if (input.response !== undefined) {
    exchange.response = new UpstreamReply(input.response.status, [...(input.response.headers ?? [])])
  }
  return exchange
}

/** A caller who has proved who they are. */
export function makePrincipal(subject: string, more: Partial<Principal> = {}): Principal {
  return {
    subject,
    kind: 'apiKey',
    via: 'apiKey',
    application: undefined,
    scopes: new Set(),
    roles: new Set(),
    claims: {},
    ...more,
  }
}

/** The world as a guard is handed it; time moves by hand. */
export interface TestHost extends Host {
  advance: (ms: number) => void
  readonly warnings: { readonly message: string; readonly fields: unknown }[]
  close: () => Promise<void>
}

export function makeHost({ counters, store }: { readonly counters?: Counters; readonly store?: Store } = {}): TestHost {
  let time = 1_700_000_000_000
  let slots = 0
  const now = () => time
  const releases: (() => void | Promise<void>)[] = []
  const warnings: TestHost['warnings'] = []
  return {
    now,
    store: store ?? (undefined as never),
    counters: counters ?? createMemoryCounters({ now }),
    vault: undefined as never,
    log: { ...silentLogger, warn: (message, fields) => warnings.push({ message, fields }) },
    api: 'test',
    tell() {},
    prefix: '',
    hosts: undefined,
    localIssuer: undefined,
    ask: undefined,
    stateDir: '/nonexistent',
    watch() {},
    slot: <T>(): Slot<T> => ({ index: slots++ }),
    onClose: (release) => releases.push(release),
    advance(ms) {
      time += ms
    },
    warnings,
    async close() {
      for (const release of releases) await release()
    },
  }
}

/** Reads options as the configuration does, sets the guard up and compiles it for one operation. */
export async function compileGuard<Options, Root>(
  guard: Guard<Options, Root>,
  raw: unknown,
  operation: Operation = makeOperation(),
  host: Host = makeHost(),
): Promise<Steps | undefined> {
  const compile = await guard.setup(guard.options.parse(raw), host, guard.root?.parse({}) as Root)
  return compile(operation)
}

/** The code of a denial, the status of an answer, or `undefined` for a request that goes on. */
export function codeOf(verdict: Verdict): Denial['code'] | number | undefined {
  if (verdict === undefined) return undefined
  return verdict.kind === 'denial' ? verdict.code : verdict.status
}

/** The headers that a reply would get from `setReplyHeader`, by lower-case name; several of one name joined. */
export function replyHeadersOf(exchange: Exchange): Record<string, string> {
  const found: Record<string, string> = {}
  for (let i = 0; i < exchange.replyHeaders.length; i += 2) {
    const name = exchange.replyHeaders[i]!.toLowerCase()
    found[name] =
      found[name] === undefined ? exchange.replyHeaders[i + 1]! : `${found[name]}, ${exchange.replyHeaders[i + 1]!}`
  }
  return found
}
