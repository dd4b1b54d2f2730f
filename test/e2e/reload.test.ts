import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { fetch as undiciFetch } from 'undici'
import { afterEach, describe, expect, test } from 'vitest'
import { freePort, type GateInput, type SpawnedGate, spawnGate, startGate, type TestGate, until } from '../kit/gate.ts'
import { testAuthority, testCertificate } from '../kit/pki.ts'
import { rawClient } from '../kit/raw.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

/* Issue 2, point 3: a reload swaps atomically, drops no request, and keeps the old configuration when the new one is bad. */

const documentOf = (version: string, ...paths: string[]) => ({
  openapi: '3.1.0',
  info: { title: 'Reload', version },
  security: [],
  paths: Object.fromEntries(
    ['/which', ...paths].map((path) => [path, { get: { responses: { 200: { description: 'Done.' } } } }]),
  ),
})
const noLimits = { limits: { mode: 'off' } }

let gate: TestGate | undefined
let spawned: SpawnedGate | undefined
const closers: (() => unknown)[] = []
afterEach(async () => {
  await gate?.stop()
  await spawned?.stop('SIGKILL')
  await spawned?.remove()
  gate = spawned = undefined
  for (const close of closers.splice(0).reverse()) await close()
})

async function named(name: string, delayMs = 0): Promise<TestUpstream> {
  const upstream = await startUpstream((_request, reply) => {
    if (delayMs === 0) json(reply, { name })
    else setTimeout(() => json(reply, { name }), delayMs)
  })
  closers.push(() => upstream.stop())
  return upstream
}

async function start(input: GateInput): Promise<TestGate> {
  gate = await startGate({ document: documentOf('1'), ...input, api: { ...noLimits, ...input.api } })
  return gate
}

/** Configuration n: its upstream, and a header on every reply that says so too. */
const configOf = (upstream: TestUpstream, name: string) => ({
  upstream: upstream.url,
  api: { ...noLimits, headers: { response: { set: { 'x-config': name } } } },
})

describe('issue 2.3: a reload under load', () => {
  test('fails no request and mixes no two configurations', async () => {
    const [a, b] = [await named('a', 3), await named('b', 3)]
    await start(configOf(a, 'a'))
    const seen = new Set<string>()
    let asked = 0
    let going = true
    const wrong: unknown[] = []
    const callers = Array.from({ length: 16 }, async () => {
      while (going) {
        const reply = await gate!.fetch('/which').catch((error) => void wrong.push(error))
        if (reply === undefined) continue
        asked++
        const { name } = (await reply.json()) as { name: string }
        const config = reply.headers.get('x-config')
        if (reply.status !== 200 || name !== config) wrong.push([reply.status, name, config])
        seen.add(name)
      }
    })
    for (let i = 0; i < 12; i++) {
      await gate!.reload(i % 2 === 0 ? configOf(b, 'b') : configOf(a, 'a'))
      const before = asked
      await until(() => asked > before + 50, 'requests under the new configuration')
    }
    going = false
    await Promise.all(callers)
    expect(wrong).toEqual([])
    expect([...seen].sort()).toEqual(['a', 'b'])
    await until(() => gate!.running.inFlight() === 0, 'nothing to be under way')
  })

  test('a request under way ends under the configuration it began with, which is closed only then', async () => {
    let answer: (() => void) | undefined
    const slow = await startUpstream((_request, reply) => (answer = () => json(reply, { name: 'slow' })))
    closers.push(() => slow.stop())
    let connections = 0
    slow.server.on('connection', (socket) => {
      connections++
      socket.once('close', () => connections--)
    })
    const fast = await named('fast')
    await start(configOf(slow, 'old'))
    const asked = gate!.fetch('/which')
    await until(() => answer !== undefined, 'the request to reach the upstream')
    await gate!.reload(configOf(fast, 'new'))
    expect((await gate!.fetch('/which')).headers.get('x-config')).toBe('new')
    expect([connections, gate!.running.inFlight()]).toEqual([1, 1])
    answer!()
    const reply = await asked
    expect([await reply.json(), reply.headers.get('x-config')]).toEqual([{ name: 'slow' }, 'old'])
    await until(() => connections === 0, 'the connections of the old configuration to be closed')
  })

  test('many leave nothing behind: connections, probes, listeners', async () => {
    let connections = 0
    const upstream = await named('a')
    upstream.server.on('connection', (socket) => {
      connections++
      socket.once('close', () => connections--)
    })
    const input = {
      upstream: { targets: [{ url: upstream.url }], health: { path: '/which', interval: '10ms' } },
      api: noLimits,
    }
    await start(input)
    const resources = () => process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length
    const listeners = () =>
      ['SIGHUP', 'SIGTERM', 'exit', 'uncaughtException', 'warning'].reduce(
        (sum, name) => sum + process.listenerCount(name),
        0,
      )
    const once_ = async () => {
      await gate!.reload(input)
      expect((await gate!.fetch('/which')).status).toBe(200)
    }
    for (let i = 0; i < 5; i++) await once_()
    const before = { resources: resources(), listeners: listeners() }
    for (let i = 0; i < 40; i++) await once_()
    await until(() => connections <= 3, 'the connections of old configurations to be closed')
    await until(() => resources() <= before.resources + 5, 'timers and sockets to be gone')
    expect(listeners()).toBe(before.listeners)
    // A probe of a configuration that is gone would still ask.
    upstream.hits.length = 0
    const since = performance.now()
    await until(() => performance.now() - since > 300, 'some probes')
    expect(upstream.hits.length).toBeLessThanOrEqual(45)
  })
})

describe('issue 2.3: a bad new configuration', () => {
  test.each([
    ['an unknown key', { api: { ...noLimits, limit: {} } }],
    ['an upstream that is no URL', { upstream: 'nowhere' }],
    [
      'an authority that is not there',
      { upstream: { targets: [{ url: 'https://localhost:1' }], tls: { ca: './none.pem' } } },
    ],
    ['a document that is none', { document: { title: 'no document' } }],
    ['a listener that cannot be had', { root: { listen: [{ port: 1, host: '203.0.113.1', tls: 'off' }] } }],
  ])('(%s) is refused, and the old one serves on', async (_name, change) => {
    const upstream = await named('old')
    await start(configOf(upstream, 'old'))
    const { port } = gate!
    await expect(gate!.reload(change as Partial<GateInput>)).rejects.toThrow()
    expect(gate!.port).toBe(port)
    const reply = await gate!.fetch('/which')
    expect([reply.status, reply.headers.get('x-config')]).toEqual([200, 'old'])
  })
})

describe('issue 2.3: listeners', () => {
  test('are added and removed; who is connected to a removed one is answered first', async () => {
    let answer: (() => void) | undefined
    const upstream = await startUpstream((_request, reply) => (answer = () => json(reply, { name: 'a' })))
    closers.push(() => upstream.stop())
    const [first, second] = [await freePort(), await freePort()]
    const listen = (...ports: number[]) => ports.map((port) => ({ port, host: '127.0.0.1', tls: 'off' }))
    await start({ upstream: upstream.url, root: { listen: listen(first) } })
    const client = await rawClient(first)
    client.send('GET /which HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => answer !== undefined, 'the request to reach the upstream')
    await gate!.reload({ root: { listen: listen(second) } })
    await expect(rawClient(first)).rejects.toThrow()
    answer!()
    expect(await client.status()).toBe(200)
    expect(await client.whole()).toMatch(/connection: close/i)
    answer = undefined
    const other = await rawClient(second)
    other.send('GET /which HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => answer !== undefined, 'the next request')
    ;(answer as unknown as () => void)()
    expect(await other.status()).toBe(200)
    other.destroy()
  })

  test('show a new certificate to new connections and keep those that are open', async () => {
    const upstream = await named('a')
    const authority = await testAuthority()
    const [one, two] = [await testCertificate(authority), await testCertificate(authority)]
    const root = { listen: [{ port: 0, host: '127.0.0.1', tls: { certificate: './tls.pem', key: './tls.key' } }] }
    const filesOf = ({ certificate, key }: typeof one) => ({ 'tls.pem': certificate, 'tls.key': key })
    await start({ upstream: upstream.url, root, files: filesOf(one) })
    const handshake = async (): Promise<TLSSocket> => {
      const socket = connectTls({ port: gate!.port, host: '127.0.0.1', servername: 'localhost', ca: authority.pem })
      await once(socket, 'secureConnect')
      closers.push(() => socket.destroy())
      return socket
    }
    const serial = (socket: TLSSocket) => socket.getPeerCertificate().serialNumber
    const open = await handshake()
    expect(serial(open)).toBe(one.serialNumber)
    await gate!.reload({ files: filesOf(two) })
    expect(serial(await handshake())).toBe(two.serialNumber)
    open.write('GET /which HTTP/1.1\r\nHost: localhost\r\n\r\n')
    expect(String((await once(open, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /)
    // A key that does not belong to its certificate is refused; the last good one stays.
    await expect(gate!.reload({ files: { ...filesOf(one), 'tls.key': two.key } })).rejects.toThrow()
    expect(serial(await handshake())).toBe(two.serialNumber)
  })

  test('take over whom to trust as a proxy', async () => {
    const upstream = await named('a')
    await start({ upstream: upstream.url })
    const address = async () => {
      const before = upstream.hits.length
      await gate!.fetch('/which', { headers: { 'x-forwarded-for': '198.51.100.7' } })
      return upstream.hits[before]!.headers['x-forwarded-for']
    }
    expect(await address()).toBe('127.0.0.1')
    await gate!.reload({ root: { trustedProxies: ['127.0.0.0/8'] } })
    // A connection keeps what was known of it when it came.
    await until(async () => {
      const client = await rawClient(gate!.port)
      client.send('GET /which HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\nConnection: close\r\n\r\n')
      await client.status()
      return upstream.hits.at(-1)!.headers['x-forwarded-for'] === '198.51.100.7'
    }, 'the new ranges to hold')
  })
})

describe('issue 2.3: the running program', () => {
  const told = (text: string) => until(() => spawned!.stderr().includes(text), `"${text}" in:\n${spawned!.stderr()}`)

  interface Written {
    apis: { test: { upsteam?: string; headers: { response: { set: Record<string, string> } } } }
  }
  async function change(edit: (config: Written) => void): Promise<void> {
    const file = join(spawned!.dir, 'portcullis.yaml')
    const config = JSON.parse(await readFile(file, 'utf8')) as Written
    edit(config)
    await writeFile(file, JSON.stringify(config, null, 2))
  }
  const ask = async (path = '/which') => {
    const reply = await undiciFetch(spawned!.url + path)
    return [reply.status, reply.headers.get('x-config')]
  }

  test('takes over a changed file and a changed document by itself, and SIGHUP at once', async () => {
    const upstream = await named('a')
    spawned = await spawnGate({ document: documentOf('1'), ...configOf(upstream, 'one') })
    expect(await ask()).toEqual([200, 'one'])
    await change((config) => (config.apis.test.headers.response.set['x-config'] = 'two'))
    await until(async () => (await ask())[1] === 'two', 'the changed file')
    expect((await ask('/new'))[0]).toBe(404)
    await writeFile(join(spawned.dir, 'openapi.json'), JSON.stringify(documentOf('2', '/new')))
    await until(async () => (await ask('/new'))[0] === 200, 'the changed document')
    spawned.child.kill('SIGHUP')
    await told('SIGHUP')
    expect(await ask()).toEqual([200, 'two'])
    expect(await spawned.stop()).toBe(0)
  }, 60_000)

  test('keeps the old one when the new one is bad, says where, and takes the mended one', async () => {
    const upstream = await named('a')
    spawned = await spawnGate({ document: documentOf('1'), ...configOf(upstream, 'one') })
    await change((config) => (config.apis.test.upsteam = 'x'))
    await told('the old one stays in force')
    expect(spawned.stderr()).toContain('upsteam')
    expect(await ask()).toEqual([200, 'one'])
    const before = spawned.stderr().length
    spawned.child.kill('SIGHUP')
    await until(() => spawned!.stderr().slice(before).includes('the old one stays in force'), 'the same for SIGHUP')
    await writeFile(join(spawned.dir, 'openapi.json'), '{"openapi": "3.1.0", ')
    await change((config) => {
      delete config.apis.test.upsteam
      config.apis.test.headers.response.set['x-config'] = 'three'
    })
    await told('openapi.json')
    expect(await ask()).toEqual([200, 'one'])
    await writeFile(join(spawned.dir, 'openapi.json'), JSON.stringify(documentOf('3')))
    await until(async () => (await ask())[1] === 'three', 'the mended configuration', 15_000)
  }, 60_000)
})

describe('a reload refuses what only a restart can do', () => {
  test('another master key: what is said to be in force would not start again', async () => {
    const [a, b] = [await named('a'), await named('b')]
    const sealWith = (letter: string) => ({ secrets: { sealWith: letter.repeat(64) } })
    await start({ ...configOf(a, 'a'), root: sealWith('a') })
    const refused = gate!.reload({ ...configOf(b, 'b'), root: sealWith('b') })
    await expect(refused).rejects.toThrow(/`secrets` cannot change while the gate runs/)
    await expect(refused).rejects.not.toThrow(/b{64}/)
    expect((await gate!.fetch('/which')).headers.get('x-config')).toBe('a')
    await gate!.reload({ ...configOf(b, 'b'), root: sealWith('a') })
    expect((await gate!.fetch('/which')).headers.get('x-config')).toBe('b')
  })

  test('another host on the same port: it is the gate itself that listens there, and no other program', async () => {
    const a = await named('a')
    const port = await freePort()
    const on = (host: string) => ({ listen: [{ port, host, tls: 'off', behindTlsTerminator: true }] })
    await start({ ...configOf(a, 'a'), root: on('0.0.0.0') })
    const refused = gate!.reload({ ...configOf(a, 'b'), root: on('127.0.0.1') })
    await expect(refused).rejects.toMatchObject({
      code: 'P1087',
      hint: `this gate itself listens on 0.0.0.0:${port}; another host on the same port needs a restart`,
    })
    expect((await fetch(`http://127.0.0.1:${port}/which`)).headers.get('x-config')).toBe('a')
  })
})
