import type { Passage } from '../../src/traffic/passage.ts'

/** An exchange that went well, with whatever a test wants to be otherwise. */
export function aPassage(change: Partial<Passage> = {}): Passage {
  return {
    id: 'req_01KBSMALL0000000000000001',
    api: 'shop',
    version: undefined,
    operation: 'getOrder',
    route: '/v1/orders/{id}',
    method: 'GET',
    path: '/v1/orders/42',
    query: '',
    protocol: 'HTTP/1.1',
    receivedAt: Date.UTC(2026, 10, 22, 13, 0, 0, 7),
    durationMs: 1.2346,
    upstreamMs: 0.9,
    status: 200,
    requestBytes: 0,
    responseBytes: 200,
    address: '203.0.113.9',
    user: 'alice',
    application: 'partner',
    credential: 'apiKey',
    requestHeaders: { host: 'api.example.com', accept: 'application/json' },
    responseHeaders: ['Content-Type', 'application/json'],
    denial: undefined,
    observed: [],
    matches: [],
    fault: undefined,
    traceId: undefined,
    ...change,
  }
}

/** An exchange that the gate refused. */
export function aRefusal(code = 'scope.missing', change: Partial<Passage> = {}): Passage {
  return aPassage({ status: 403, upstreamMs: undefined, denial: { code, detail: 'Not allowed.' }, ...change })
}
