import type { IncomingHttpHeaders } from 'node:http'
import { silentLogger } from '../../src/base/log.ts'
import { createCompiler } from '../../src/gate/compile.ts'
import { Exchange } from '../../src/gate/exchange.ts'
import type { Guard, Host } from '../../src/gate/guard.ts'
import type { Peer } from '../../src/gate/peer.ts'
import { runPhase } from '../../src/gate/program.ts'
import type { Verdict } from '../../src/gate/verdict.ts'
import type { ApiDocument, Operation, SecurityScheme } from '../../src/openapi/operation.ts'
import { createMemoryCounters } from '../../src/store/counters-memory.ts'
import type { Store, Value } from '../../src/store/store.ts'

/*
 * Guards without sockets: documents made by hand, requests as the gate hands them over, compiled by the gate's own
 * compiler. For the many cases of one guard; what the program does on the wire is shown in test/e2e.
 */

/** What a test says of an operation; the rest is ordinary. */
export interface OperationInput {
  readonly id?: string
  readonly method?: string
  readonly path?: string
  readonly tags?: readonly string[]
  /** As in a document: `[{ key: [] }]`. */
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  readonly policy?: Readonly<Record<string, unknown>>
}

export type SchemeInput = Partial<SecurityScheme> & Pick<SecurityScheme, 'type'>

/** A document with these schemes and operations. */
export function makeDocument(
  schemes: Readonly<Record<string, SchemeInput>>,
  operations: readonly OperationInput[] = [{}],
): ApiDocument {
  const document = {
    title: 'Test',
    version: '1',
    openapi: '3.1.0',
    basePath: '',
    operations: [] as Operation[],
    securitySchemes: new Map(
      Object.entries(schemes).map(([name, scheme]) => [
        name,
        { name, in: undefined, parameterName: undefined, httpScheme: undefined, ...scheme },
      ]),
    ),
    files: [],
    warnings: [],
    validator: () => () => [],
  } satisfies ApiDocument
  for (const { id, method = 'GET', path = '/orders', tags = [], security, policy = {} } of operations) {
    document.operations.push({
      kind: 'listed',
      api: 'test',
      version: undefined,
      id: id ?? `${method} ${path}`,
      method,
      path,
      tags,
      summary: undefined,
      deprecated: false,
      parameters: [],
      requestBody: undefined,
      responses: {},
      security: security?.map((requirement) => new Map(Object.entries(requirement))),
      allow: [method],
      policy,
      place: { file: 'openapi.yaml', line: 1, column: 1 },
      document,
    })
  }
  return document
}

/** What a test says of a request. */
export interface CallInput {
  readonly headers?: IncomingHttpHeaders
  readonly method?: string
  readonly peer?: Partial<Peer>
  readonly address?: string
  readonly at?: number
  readonly upgrade?: string
}

let calls = 0

export function makeExchange(operation: Operation, input: CallInput = {}): Exchange {
  const { headers = {}, peer = {}, address = '192.0.2.1', at = 0 } = input
  return new Exchange(
    {
      id: `req_${calls++}`,
      method: input.method ?? operation.method,
      target: { path: operation.path, query: '', authority: 'api.example.test' },
      rawTarget: operation.path,
      protocol: 'HTTP/1.1',
      headers,
      rawHeaders: Object.entries(headers).flatMap(([name, value]) => [name, String(value)]),
      peer: { address, encrypted: true, certificate: undefined, trusted: false, ...peer },
      address,
      receivedAt: at,
      upgrade: input.upgrade,
    },
    operation,
    [],
  )
}

/** A clock that a test moves. */
export interface TestClock {
  (): number
  advance(ms: number): void
}

export function testClock(start = Date.parse('2026-11-22T12:00:00Z')): TestClock {
  let now = start
  return Object.assign(() => now, {
    advance(ms: number) {
      now += ms
    },
  })
}

/** A store in memory, without times to live. */
export function memoryStore(): Store {
  const entries = new Map<string, Value>()
  const listeners = new Set<(key: string | undefined) => void>()
  const tell = (key: string) => {
    for (const listener of listeners) listener(key)
  }
  return {
    get: (key) => entries.get(key),
    async put(key, value, { onlyIfAbsent = false } = {}) {
      if (onlyIfAbsent && entries.has(key)) return false
      entries.set(key, value)
      tell(key)
      return true
    },
    async delete(key) {
      const was = entries.delete(key)
      tell(key)
      return was
    },
    async list(prefix, { limit, after = '' }) {
      return [...entries]
        .filter(([key]) => key.startsWith(prefix) && key > after)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit)
        .map(([key, value]) => ({ key, value }))
    },
    async add(key, amount) {
      const sum = ((entries.get(key) as number | undefined) ?? 0) + amount
      entries.set(key, sum)
      return sum
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async ping() {},
    async close() {},
  }
}

export interface GuardedInput {
  /** Of any options: the compiler hands each what its own shape has read. */
  readonly guards: readonly unknown[]
  readonly document: ApiDocument
  /** By guard, as under `apis.<api>`. */
  readonly options?: Readonly<Record<string, unknown>>
  readonly root?: Readonly<Record<string, unknown>>
  readonly host?: Partial<Host>
}

/** Some guards in front of a document. */
export interface Guarded {
  readonly call: (
    input?: CallInput & { readonly operation?: string },
  ) => Promise<{ verdict: Verdict; exchange: Exchange }>
  readonly callNow: (exchange: Exchange) => Verdict | Promise<Verdict>
  readonly close: () => Promise<void>
  readonly store: Store
}

export async function guarded({
  guards,
  document,
  options = {},
  root = {},
  host = {},
}: GuardedInput): Promise<Guarded> {
  const releases: (() => void | Promise<void>)[] = []
  let slots = 0
  const now = host.now ?? testClock()
  const whole: Host = {
    now,
    store: memoryStore(),
    counters: createMemoryCounters({ now }),
    vault: undefined as never,
    log: silentLogger,
    api: 'test',
    tell() {},
    prefix: '',
    hosts: undefined,
    localIssuer: undefined,
    ask: undefined,
    stateDir: '/nonexistent',
    watch() {},
    slot: () => ({ index: slots++ }),
    onClose: (release) => void releases.push(release),
    ...host,
  }
  const all = guards as readonly Guard[]
  const compile = await createCompiler(
    {
      guards: all,
      optionsOf: (name) => options[name],
      rootOf: (guard) => guard.root?.parse(root),
      hostOf: () => whole,
    },
    document.operations,
  )
  const programs = new Map(document.operations.map((operation) => [operation, compile(operation)]))
  const callNow = (exchange: Exchange) => runPhase(programs.get(exchange.operation)!.requestHead, exchange)
  return {
    store: whole.store,
    callNow,
    async call({ operation: id, ...input } = {}) {
      const operation = document.operations.find((one) => id === undefined || one.id === id)!
      const exchange = makeExchange(operation, { at: whole.now(), ...input })
      return { verdict: await callNow(exchange), exchange }
    },
    async close() {
      for (const release of releases) await release()
    },
  }
}
