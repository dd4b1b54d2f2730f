import { EventEmitter } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { aPassage, aRefusal } from '../../test/kit/passage.ts'
import { type LogFields, silentLogger } from '../base/log.ts'
import { askControl, openControl } from './control.ts'
import { createWatch, explainRequest, type Watch, type WatchOptions, type WatchSettings } from './index.ts'
import { createRecent } from './recent.ts'

const logs = { level: 'all' as const, sample: 1, requestHeaders: ['accept'], responseHeaders: [], query: [] }

let dir: string
const watches: Watch[] = []
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'portcullis-watch-'))
})
afterEach(async () => {
  await Promise.all(watches.splice(0).map((watch) => watch.close()))
  rmSync(dir, { recursive: true, force: true })
})

const logFile = () => join(dir, 'activity.ndjson')
/** Not a folder, so nothing can be made in it, by root neither. */
const blocked = () => {
  writeFileSync(join(dir, 'blocked'), '')
  return join(dir, 'blocked')
}
const state = () => join(dir, 'state')

async function start(settings: Partial<WatchSettings> = {}, options: Partial<WatchOptions> = {}): Promise<Watch> {
  const watch = await createWatch(
    { logs: { ...logs, file: logFile() }, ...settings },
    { log: silentLogger, stateDir: state(), ...options },
  )
  watches.push(watch)
  return watch
}

const lines = (file = logFile()) =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    : []
const ids = (file?: string) => lines(file).map(({ id }) => id)
const ended = async (watch: Watch) => {
  await watch.close()
  watches.splice(watches.indexOf(watch), 1)
}

describe('O1: which exchanges leave a line', () => {
  const feed = (watch: Watch, tag: string) => {
    watch.sink(aPassage({ id: `${tag}-ok` }))
    watch.sink(aRefusal('a.b', { id: `${tag}-refused` }))
    watch.sink(aPassage({ id: `${tag}-fault`, status: 502, fault: 'upstream.reset' }))
  }

  test.each([
    ['all', 1, ['x-ok', 'x-refused', 'x-fault']],
    ['all', 0, ['x-refused', 'x-fault']],
    ['denied', 1, ['x-refused', 'x-fault']],
    ['none', 1, []],
  ] as const)('level %s with sample %d', async (level, sample, expected) => {
    const watch = await start({ logs: { ...logs, file: logFile(), level, sample } })
    feed(watch, 'x')
    await ended(watch)
    expect(ids()).toEqual(expected)
  })

  test('a sample takes its share', async () => {
    let n = 0
    const watch = await start({ logs: { ...logs, file: logFile(), sample: 0.25 } }, { random: () => (n++ % 100) / 100 })
    for (let i = 0; i < 400; i++) watch.sink(aPassage())
    await ended(watch)
    expect(lines()).toHaveLength(100)
  })

  test('level, lists and file change without a restart', async () => {
    const watch = await start()
    feed(watch, 'a')
    await watch.configure({ logs: { ...logs, file: logFile(), level: 'denied' } })
    feed(watch, 'b')
    await watch.configure({ logs: { ...logs, file: join(dir, 'other'), requestHeaders: [] } })
    feed(watch, 'c')
    await ended(watch)
    expect(ids()).toEqual(['a-ok', 'a-refused', 'a-fault', 'b-refused', 'b-fault'])
    expect(ids(join(dir, 'other'))).toEqual(['c-ok', 'c-refused', 'c-fault'])
    expect(lines()[0].requestHeaders.accept).toBe('application/json')
    expect(lines(join(dir, 'other'))[0].requestHeaders.accept).toBe('***')
  })

  test('a new file that cannot be opened leaves the old one in use, and says so', async () => {
    const said: string[] = []
    const watch = await start({}, { log: { ...silentLogger, error: (message) => void said.push(message) } })
    await watch.configure({ logs: { ...logs, file: join(blocked(), 'log') } })
    feed(watch, 'x')
    await ended(watch)
    expect(ids()).toEqual(['x-ok', 'x-refused', 'x-fault'])
    expect(said).toHaveLength(1)
  })

  test('a file that cannot be opened at the start is a mistake in the configuration', async () => {
    await expect(start({ logs: { ...logs, file: join(blocked(), 'log') } })).rejects.toMatchObject({ code: 'P1092' })
  })

  test('a refusal before there is an operation leaves a line too', async () => {
    const watch = await start({ logs: { ...logs, file: logFile(), level: 'denied' } })
    watch.refusedEarly({ status: 400, code: 'http.malformed', address: '203.0.113.9' })
    await ended(watch)
    expect(lines()).toMatchObject([
      { operation: 'unroutable', status: 400, client: '203.0.113.9', denial: { code: 'http.malformed' } },
    ])
  })

  test('a passage that cannot be written never reaches the gate as an error', async () => {
    const watch = await start()
    watch.sink({ ...aPassage(), observed: undefined } as never)
    watch.sink(aPassage({ id: 'after' }))
    await ended(watch)
    expect(ids()).toEqual(['after'])
  })
})

describe('explain <request-id>', () => {
  const refusal = aRefusal('scope.missing', {
    id: 'req_A',
    denial: {
      code: 'scope.missing',
      detail: 'No.',
      evidence: { needs: ['orders:read'], key: 'pk_live_Canary7Secret9' },
    },
    observed: [{ code: 'waf.score', evidence: { score: 7 } }],
  })

  test('a running gate tells by its control socket', async () => {
    const watch = await start()
    watch.sink(refusal)
    expect(await explainRequest('req_A', { stateDir: state() })).toMatchObject({
      source: 'running',
      detail: 'No.',
      record: { id: 'req_A', denial: { code: 'scope.missing', evidence: { needs: ['orders:read'], key: '***' } } },
      observed: [{ code: 'waf.score', evidence: { score: 7 } }],
    })
    expect(await explainRequest('req_B', { stateDir: state() })).toBeUndefined()
  })

  test('also when the log is off: what was refused can still be explained', async () => {
    const watch = await start({ logs: { ...logs, level: 'none' } })
    watch.sink(refusal)
    watch.sink(aPassage({ id: 'req_fine' }))
    expect(watch.explain('req_A')).toBeDefined()
    expect(watch.explain('req_fine')).toBeUndefined()
  })

  test('after an orderly stop the file it left tells the same; only its owner can read it', async () => {
    const watch = await start({ logs: { ...logs, level: 'none' } })
    watch.sink(refusal)
    await ended(watch)
    expect(await explainRequest('req_A', { stateDir: state() })).toMatchObject({ source: 'saved', detail: 'No.' })
    const saved = readdirSync(state()).filter((name) => name.startsWith('recent-'))
    expect(saved).toHaveLength(1)
    expect(statSync(join(state(), saved[0]!)).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(state(), saved[0]!), 'utf8')).not.toContain('Canary')
  })

  test('at last the log tells, of allowed requests too, wherever in the file the line is', async () => {
    const line = (n: number) => `${JSON.stringify({ v: 1, id: `req_${n}`, fill: 'x'.repeat(900) })}\n`
    writeFileSync(logFile(), Array.from({ length: 4_000 }, (_, n) => line(n)).join(''))
    for (const n of [0, 1, 1_165, 1_166, 2_000, 3_999]) {
      expect(await explainRequest(`req_${n}`, { stateDir: state(), logFile: logFile() })).toMatchObject({
        source: 'log',
        record: { id: `req_${n}` },
      })
    }
    expect(await explainRequest('req_4000', { stateDir: state(), logFile: logFile() })).toBeUndefined()
  })

  test('the ring is bounded by number and by size, and the oldest goes', () => {
    const byNumber = createRecent({ entriesMax: 10 })
    const bySize = createRecent({ bytesMax: 10_000 })
    for (let i = 0; i < 100; i++) {
      for (const recent of [byNumber, bySize]) recent.add(aRefusal('a.b', { id: `req_${i}` }), `{"id":"req_${i}"}`)
    }
    expect(byNumber.list(1_000).map(({ record }) => record.id)).toEqual(
      Array.from({ length: 10 }, (_, i) => `req_${99 - i}`),
    )
    expect(byNumber.find('req_89')).toBeUndefined()
    expect(byNumber.find('req_90')).toBeDefined()
    expect(bySize.list(1_000).length).toBeLessThan(50)
    expect(bySize.find('req_99')).toBeDefined()
    bySize.add(aRefusal('a.b', { id: 'req_huge' }), `{"id":"req_huge","x":"${'x'.repeat(20_000)}"}`)
    expect(bySize.list(1_000)).toEqual([])
  })
})

describe('the control socket', () => {
  test('belongs to its owner only, and goes with the process', async () => {
    const control = await openControl(state(), { '/status': () => ({ up: true }) })
    const name = `control-${process.pid}.sock`
    expect(statSync(join(state(), name)).mode & 0o777).toBe(0o600)
    expect(statSync(state()).mode & 0o777).toBe(0o700)
    expect(await askControl(state(), '/status')).toEqual([{ up: true }])
    await control.close()
    expect(readdirSync(state())).toEqual([])
    expect(await askControl(state(), '/status')).toEqual([])
  })

  test('every live process is asked; what it does not know, or fails at, is no answer', async () => {
    const routes = (n: number) => ({
      '/who': () => n,
      '/only/': (rest: string) => (rest === String(n) ? n : undefined),
      '/fails': () => {
        throw new Error('no')
      },
    })
    const controls = [await openControl(state(), routes(1)), await openControl(state(), routes(2))]
    expect((await askControl(state(), '/who')).sort()).toEqual([1, 2])
    expect(await askControl(state(), '/only/2')).toEqual([2])
    expect(await askControl(state(), '/fails')).toEqual([])
    expect(await askControl(state(), '/toString')).toEqual([])
    expect(await askControl(state(), '/only/../who')).toEqual([])
    await Promise.all(controls.map((control) => control.close()))
  })

  test('sockets of processes that are gone are removed; one that is busy is not', async () => {
    mkdirSync(state(), { recursive: true })
    const dead = createServer().listen(join(state(), 'control-1.sock'))
    await new Promise((resolve) => dead.once('listening', resolve))
    // The file stays when the process dies without closing.
    const copy = readdirSync(state())
    dead.close()
    writeFileSync(join(state(), 'control-2.sock'), '')
    const control = await openControl(state(), {})
    expect(copy).toEqual(['control-1.sock'])
    expect(readdirSync(state())).toEqual([`control-${process.pid}.sock`])
    await control.close()
  })

  test('works in a folder whose path is too long for a socket', async () => {
    const deep = join(state(), 'a'.repeat(100), 'b'.repeat(100))
    const control = await openControl(deep, { '/who': () => 'me' })
    expect(await askControl(deep, '/who')).toEqual(['me'])
    await control.close()
  })

  test('a process that never answers is given up on', async () => {
    const control = await openControl(state(), { '/who': () => new Promise(() => {}) })
    const from = Date.now()
    expect(await askControl(state(), '/who')).toEqual([])
    expect(Date.now() - from).toBeLessThan(4_000)
    await control.close()
  })

  test('a folder that cannot be written to is said, and the gate starts', async () => {
    const said: [string, LogFields | undefined][] = []
    const log = { ...silentLogger, warn: (message: string, fields?: LogFields) => void said.push([message, fields]) }
    const watch = await start({ logs: { ...logs, level: 'none' } }, { log, stateDir: join(blocked(), 'state') })
    expect(said).toHaveLength(1)
    await ended(watch)
  })
})

describe('O3: the metrics endpoint', () => {
  const get = async (watch: Watch, path: string, init?: RequestInit) => {
    const reply = await fetch(`http://${watch.metricsAddress()}${path}`, init)
    return { status: reply.status, type: reply.headers.get('content-type'), body: await reply.text() }
  }

  test('serves metrics, errors, health and readiness, and nothing else', async () => {
    let reason: string | undefined = 'no document yet'
    const watch = await start({ metrics: '127.0.0.1:0' }, { notReady: () => reason })
    for (let i = 0; i < 50; i++) watch.sink(aPassage({ status: 502, fault: 'upstream.reset' }))
    const metrics = await get(watch, '/metrics')
    expect(metrics.type).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(metrics.body).toContain('portcullis_faults_total{api="shop",fault="upstream.reset"} 50\n')
    expect(metrics.body).toContain('portcullis_log_lines_total 50\n')
    const open = await get(watch, '/metrics', { headers: { accept: 'application/openmetrics-text' } })
    expect(open.type).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
    expect(JSON.parse((await get(watch, '/errors')).body)).toMatchObject([{ cause: 'upstream.reset', count: 50 }])
    expect(await get(watch, '/healthz')).toMatchObject({ status: 200, body: 'ok\n' })
    expect(await get(watch, '/readyz')).toMatchObject({ status: 503, body: 'no document yet\n' })
    reason = undefined
    expect(await get(watch, '/readyz')).toMatchObject({ status: 200 })
    expect((await get(watch, '/')).status).toBe(404)
    expect((await get(watch, '/metrics', { method: 'POST' })).status).toBe(405)
  })

  test('moves to another address at a reload, and stays when that one is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as { port: number }
    const watch = await start({ metrics: '127.0.0.1:0' })
    const first = watch.metricsAddress()
    await watch.configure({ metrics: `127.0.0.1:${port}`, logs })
    expect(watch.metricsAddress()).toBe(first)
    expect((await get(watch, '/healthz')).status).toBe(200)
    await watch.configure({ logs })
    expect(watch.metricsAddress()).toBeUndefined()
    await watch.configure({ metrics: 'localhost:0', logs })
    expect((await get(watch, '/healthz')).status).toBe(200)
    await expect(start({ metrics: `127.0.0.1:${port}` })).rejects.toMatchObject({ code: 'P1090' })
    await new Promise((resolve) => taken.close(resolve))
  })

  test.each(['here', '127.0.0.1', '127.0.0.1:99999', 'a:b:1'])('refuses the address %s', async (metrics) => {
    await expect(start({ metrics })).rejects.toMatchObject({ code: 'P1091' })
  })

  test('shows what all workers counted, and never less than before when one ends', async () => {
    /** Two ends of an IPC channel; what is sent is copied, as JSON. */
    const channel = () => {
      const primary = new EventEmitter() as EventEmitter & { send: (message: unknown) => void }
      const worker = new EventEmitter() as typeof primary
      primary.send = (message) => setImmediate(() => worker.emit('message', JSON.parse(JSON.stringify(message))))
      worker.send = (message) => setImmediate(() => primary.emit('message', JSON.parse(JSON.stringify(message))))
      return { primary, worker }
    }
    const channels = [channel(), channel()]
    const living = new Set(channels.map(({ primary }) => primary))
    const primary = await start({ metrics: '127.0.0.1:0', logs: { ...logs, level: 'none' } }, { workers: () => living })
    const workers = await Promise.all(
      channels.map(({ worker }) =>
        start({ metrics: '127.0.0.1:0', logs: { ...logs, level: 'none' } }, { primary: worker }),
      ),
    )
    expect(workers[0]!.metricsAddress()).toBeUndefined()
    for (const watch of workers) for (let i = 0; i < 5; i++) watch.sink(aRefusal('a.b'))
    const counted = async () =>
      /portcullis_denials_total\{api="shop",code="a.b"\} (\d+)/.exec((await get(primary, '/metrics')).body)?.[1]
    expect(await counted()).toBe('10')
    workers[0]!.sink(aRefusal('a.b'))
    // The worker's last report tells what it counted since.
    await ended(workers[0]!)
    living.delete(channels[0]!.primary)
    await vi.waitFor(async () => expect(await counted()).toBe('11'))
    workers[1]!.sink(aRefusal('a.b'))
    expect(await counted()).toBe('12')
    expect(JSON.parse((await get(primary, '/errors')).body)).toMatchObject([{ cause: 'a.b', count: 12 }])
  })
})
