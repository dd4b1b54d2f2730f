import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { registerSchema, unregisterSchema, validate } from '@hyperjump/json-schema/draft-2020-12'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { drawFrom } from '../kit/arbitrary.ts'
import {
  type ApiModel,
  apiOf,
  type Claim,
  changedRequest,
  claims,
  matches,
  type RequestModel,
  requestOf,
} from '../kit/arbitrary-api.ts'
import { startGate } from '../kit/gate.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

/*
 * V1, V2, N10: nothing outside the document reaches the upstream, everything inside does. Documents and requests are
 * random; what is inside is known by construction or judged by @hyperjump/json-schema, never by the code under test.
 *
 * `PROPERTY_RUNS=2000 PROPERTY_SEED=7 npx vitest run test/e2e/property.test.ts` looks longer and elsewhere.
 */

const runs = Number(process.env.PROPERTY_RUNS ?? 40)
const seed = Number(process.env.PROPERTY_SEED ?? 20_261_122)
const requestsPerDocument = 60
const timeMs = process.env.PROPERTY_RUNS === undefined ? 40_000 : 24 * 3_600_000

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 })
let upstream: TestUpstream

beforeAll(async () => {
  upstream = await startUpstream()
})

afterAll(async () => {
  agent.destroy()
  await upstream.stop()
})

function send(port: number, request: RequestModel, key: string | undefined): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers: string[] = ['Host', 'api.example.com']
    for (const [name, value] of request.headers) headers.push(name, value)
    if (request.cookies.length > 0) headers.push('Cookie', request.cookies.join('; '))
    if (key !== undefined) headers.push('X-API-Key', key)
    if (request.body !== undefined) headers.push('Content-Length', String(request.body.length))
    else if (!['GET', 'HEAD', 'OPTIONS', 'DELETE'].includes(request.method)) headers.push('Content-Length', '0')
    const sent = httpRequest({
      host: '127.0.0.1',
      port,
      method: request.method,
      path: urlOf(request),
      headers: headers as never,
      agent,
      setHost: false,
    })
    sent.on('error', reject)
    sent.on('response', (reply) => {
      let body = ''
      reply.setEncoding('utf8')
      reply.on('data', (chunk) => (body += chunk))
      reply.on('end', () => resolve({ status: reply.statusCode!, headers: reply.headers, body }))
      reply.on('error', reject)
    })
    sent.end(request.body)
  })
}

function urlOf({ path, query }: RequestModel): string {
  return query.length === 0 ? path : `${path}?${query.join('&')}`
}

let documents = 0

/** The judge for one document's values. */
function judgeOf(api: ApiModel) {
  const id = `https://judge.example/${documents++}`
  registerSchema(api.judge as never, id)
  const compiled = new Map<string, Awaited<ReturnType<typeof validate>>>()
  return {
    async fits({ judge, value }: Claim): Promise<boolean> {
      let check = compiled.get(judge)
      if (check === undefined) {
        check = await validate(`${id}#/$defs/${judge}`)
        compiled.set(judge, check)
      }
      return check(value as never).valid
    },
    close: () => unregisterSchema(id),
  }
}

function describeCase(api: ApiModel, request: RequestModel, reply: Reply | undefined, what: string): Error {
  const { operation } = request
  return new Error(
    [
      what,
      `changed: ${request.note}`,
      `${request.method} ${urlOf(request)}`,
      ...request.headers.map(([name, value]) => `${name}: ${value}`),
      ...(request.cookies.length > 0 ? [`Cookie: ${request.cookies.join('; ')}`] : []),
      request.body === undefined ? '(no body)' : request.body.toString().slice(0, 2_000),
      `--- the gate said ${reply?.status} ${reply?.body.slice(0, 1_000)}`,
      ...upstream.hits.map(
        ({ method, url, headers }) => `--- the upstream saw ${method} ${url} ${JSON.stringify(headers)}`,
      ),
      `--- operation ${operation.method} ${operation.id}, secured ${operation.secured}`,
      `--- document ${JSON.stringify(api.document)}`,
    ].join('\n'),
  )
}

function bodyAsSent({ method, body }: RequestModel): Buffer {
  return method === 'HEAD' || body === undefined ? Buffer.alloc(0) : body
}

/** Everything the upstream must see as the caller wrote it. */
function difference(request: RequestModel, hit: TestUpstream['hits'][number]): string | undefined {
  if (hit.method !== request.method) return `the method became ${hit.method}`
  if (hit.url !== urlOf(request)) return `the target became ${hit.url}`
  if (!hit.body.equals(bodyAsSent(request))) return `the body became ${hit.body.toString().slice(0, 500)}`
  for (const [name, value] of request.headers)
    if (hit.headers[name.toLowerCase()] !== value) return `the header ${name} became ${hit.headers[name.toLowerCase()]}`
  if (request.cookies.length > 0 && hit.headers.cookie !== request.cookies.join('; '))
    return `the cookies became ${hit.headers.cookie}`
  if (hit.headers['x-api-key'] !== undefined) return 'the key went on'
  return undefined
}

describe('V1 V2 N10: random documents, random requests', () => {
  test(
    'nothing outside the document reaches the upstream, everything inside does',
    async () => {
      const seen = { documents: 0, inside: 0, outside: 0, judgedInside: 0 }
      await fc.assert(
        fc.asyncProperty(fc.gen(), async (gen) => {
          const draw = drawFrom(gen)
          const api = apiOf(draw)
          const gate = await startGate({
            document: api.document,
            upstream: upstream.url,
            // Random text may look like an attack, and what is no attack must pass here.
            api: { limits: { mode: 'off' }, waf: { mode: 'off' } },
          })
          const judge = judgeOf(api)
          try {
            const key = await gate.key()
            seen.documents++
            for (let i = 0; i < requestsPerDocument; i++) {
              const operation = draw.pick(api.operations)
              const fitting = requestOf(draw, api, operation)
              // A value may be the fixed name of a neighbour.
              if (!matches(api, fitting.path).includes(operation)) continue
              const keyFor = operation.secured ? key : undefined
              if (operation.secured && draw.chance(10)) {
                const wrong = draw.chance(50) ? undefined : `${key.slice(0, -2)}xx`
                await mustRefuse(gate.port, api, { ...fitting, note: `the key ${wrong} for ${key}` }, wrong)
                continue
              }
              const change = draw.chance(65) ? changedRequest(draw, api, fitting) : undefined
              if (change === undefined) {
                for (const claim of claims(fitting))
                  if (!(await judge.fits(claim)))
                    throw describeCase(
                      api,
                      fitting,
                      undefined,
                      `the kit is wrong: ${JSON.stringify(claim)} does not fit`,
                    )
                seen.inside++
                await mustPass(gate.port, api, fitting, keyFor)
                continue
              }
              const fits = change.expected !== 'refused' && (await judge.fits(change.expected))
              if (fits) {
                seen.judgedInside++
                await mustPass(gate.port, api, change.request, keyFor)
              } else {
                seen.outside++
                await mustRefuse(gate.port, api, change.request, keyFor)
              }
            }
          } finally {
            judge.close()
            agent.destroy()
            await gate.stop()
          }
        }),
        {
          seed,
          numRuns: runs,
          interruptAfterTimeLimit: timeMs,
          endOnFailure: process.env.PROPERTY_SHRINK === undefined,
        },
      )
      if (process.env.PROPERTY_RUNS !== undefined) console.log(`seed ${seed}`, seen)
    },
    timeMs + 60_000,
  )

  async function mustPass(port: number, api: ApiModel, request: RequestModel, key: string | undefined): Promise<void> {
    upstream.hits.length = 0
    const reply = await send(port, request, key)
    if (reply.status !== 200 || upstream.hits.length !== 1)
      throw describeCase(api, request, reply, 'INSIDE the document, and did not pass')
    const changed = difference(request, upstream.hits[0]!)
    if (changed !== undefined) throw describeCase(api, request, reply, `INSIDE the document, and ${changed}`)
  }

  async function mustRefuse(
    port: number,
    api: ApiModel,
    request: RequestModel,
    key: string | undefined,
  ): Promise<void> {
    upstream.hits.length = 0
    const reply = await send(port, request, key)
    if (upstream.hits.length !== 0)
      throw describeCase(api, request, reply, 'OUTSIDE the document, and reached the upstream')
    if (reply.status < 400 || reply.status > 499)
      throw describeCase(api, request, reply, 'OUTSIDE the document, and not answered 4xx')
    if (request.method !== 'HEAD' && reply.headers['content-type'] !== 'application/problem+json')
      throw describeCase(api, request, reply, 'refused, and not as problem+json')
  }
})
