import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type GateInput, runCommand, type SpawnedGate, spawnGate, writeGate } from '../kit/gate.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { services } from '../services.ts'
import { until } from '../until.ts'

/*
 * Keys of the gate (T7): made, sealed, rotated with grace, destroyed, sealed anew; on the program as users run it, killed where
 * it hurts, on both pairs of stores. What they seal here are fields (T6), because those show on the wire.
 */

// Programs are started, killed and started again.
vi.setConfig({ testTimeout: 120_000 })

const noServers = (await services.missing('postgres')) || (await services.missing('redis'))

const document = {
  openapi: '3.1.0',
  info: { title: 'Notes', version: '1' },
  security: [{ key: [] }],
  components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } } },
  paths: {
    '/notes/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      get: { operationId: 'read', responses: { 200: { description: 'It.', content: { 'application/json': {} } } } },
      put: {
        operationId: 'write',
        requestBody: { content: { 'application/json': { schema: { type: 'object', additionalProperties: true } } } },
        responses: { 200: { description: 'It.', content: { 'application/json': {} } } },
      },
    },
  },
}
const api = {
  protect: [{ field: '$.secret', atRest: 'encrypt', response: { '*': 'show' } }],
  limits: { default: { rate: '100000/s', burst: 100_000 } },
}

let upstream: TestUpstream
/** What the upstream keeps, as it came. */
const kept = new Map<string, string>()
const ends: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  upstream = await startUpstream((request, reply, { body }) => {
    if (request.method === 'PUT') kept.set(request.url!, body.toString())
    json(reply, JSON.parse(kept.get(request.url!) ?? '{}'))
  })
})
beforeEach(() => kept.clear())
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})
afterAll(() => upstream.stop())

async function start(more: Partial<GateInput> = {}, dir?: string): Promise<SpawnedGate> {
  const gate = await spawnGate({ document, upstream: upstream.url, api, ...more }, dir)
  ends.push(async () => {
    await gate.stop('SIGKILL')
    await gate.remove()
  })
  return gate
}

async function keyOf(gate: SpawnedGate): Promise<string> {
  const { stdout } = await gate.command('key', 'create', 'test', '--json')
  return (JSON.parse(stdout) as { key: string }).key
}

async function put(gate: SpawnedGate, key: string, id: string, secret: unknown): Promise<number> {
  const reply = await fetch(`${gate.url}/notes/${id}`, {
    method: 'PUT',
    headers: { 'x-api-key': key, 'content-type': 'application/json' },
    body: JSON.stringify({ secret }),
  })
  await reply.arrayBuffer()
  return reply.status
}

/** What a caller reads: the secret, or nothing where it does not open. */
async function get(gate: SpawnedGate, key: string, id: string): Promise<unknown> {
  const reply = await fetch(`${gate.url}/notes/${id}`, { headers: { 'x-api-key': key } })
  expect(reply.status).toBe(200)
  return ((await reply.json()) as { secret?: unknown }).secret
}

const sealedBy = (id: string) => /pv1\.([\w-]{12})\./.exec(kept.get(`/notes/${id}`)!)![1]!
const purpose = 'field/test/secret'

describe('T7: the keys of a gate', () => {
  test('are made when needed; the master key is for its owner only, and no file holds a key in the open', async () => {
    const gate = await start()
    const key = await keyOf(gate)
    expect(await put(gate, key, '1', 'the plaintext')).toBe(200)
    const master = join(gate.dir, '.portcullis/master.key')
    expect(statSync(master).mode & 0o777).toBe(0o600)
    expect(statSync(join(gate.dir, '.portcullis')).mode & 0o777).toBe(0o700)
    const text = readFileSync(master, 'utf8').trim()
    const listed = await gate.command('keys', 'list', '--json')
    expect(JSON.parse(listed.stdout)).toEqual([
      { purpose, keys: [{ id: sealedBy('1'), state: 'seals', createdAt: expect.any(String), openUntil: null }] },
    ])
    for (const file of readdirSync(gate.dir, { recursive: true, withFileTypes: true })) {
      if (!file.isFile() || file.name === 'master.key') continue
      const content = readFileSync(join(file.parentPath, file.name))
      expect([file.name, content.includes(text), content.includes('the plaintext')]).toEqual([file.name, false, false])
    }
    for (const said of [gate.stdout(), gate.stderr(), listed.stdout]) expect(said).not.toContain(text)
  })

  test('rotate: old and new values both open, and after the grace the old ones do not', async () => {
    const gate = await start()
    const key = await keyOf(gate)
    await put(gate, key, 'old', 'one')
    // Not for everything at once: second factors would go with the rest.
    expect((await gate.command('keys', 'rotate', '--grace', '3s')).code).toBe(2)
    const rotated = await gate.command('keys', 'rotate', purpose, '--grace', '3s')
    const over = Date.now() + 3_000
    expect([rotated.code, rotated.stdout]).toEqual([0, expect.stringContaining(purpose)])
    await until(async () => {
      await put(gate, key, 'new', 'two')
      return sealedBy('new') !== sealedBy('old')
    }, 1_000)
    expect([await get(gate, key, 'old'), await get(gate, key, 'new')]).toEqual(['one', 'two'])
    await sleep(over - Date.now())
    expect([await get(gate, key, 'old'), await get(gate, key, 'new')]).toEqual([undefined, 'two'])
  })

  test('destroy: asks for a word of confirmation, and then nothing brings a value back', async () => {
    const gate = await start()
    const key = await keyOf(gate)
    await put(gate, key, '1', 'one')
    const unsure = await gate.command('keys', 'destroy', purpose)
    expect([unsure.code, unsure.stderr]).toEqual([2, expect.stringContaining('--yes')])
    expect(await get(gate, key, '1')).toBe('one')
    expect((await gate.command('keys', 'destroy', purpose, '--yes')).code).toBe(0)
    await until(async () => (await get(gate, key, '1')) === undefined, 1_000)
    // The gate that used the key tells of its end.
    const log = () => readFileSync(join(gate.dir, 'activity.ndjson'), 'utf8')
    await until(() => log().includes('"event":"vault.key-destroyed"'))
    await gate.stop()
    const again = await gate.again()
    ends.push(() => again.stop('SIGKILL'))
    expect(await get(again, key, '1')).toBeUndefined()
    expect(await put(again, key, '2', 'two')).toBe(200)
    expect(await get(again, key, '2')).toBe('two')
    expect((await again.command('keys', 'destroy', 'no/such', '--yes')).code).toBe(1)
  })

  test('do not come back to life under a wrong or lost master key: the start is refused, and nothing overwritten', async () => {
    const gate = await start()
    const key = await keyOf(gate)
    await put(gate, key, '1', 'one')
    await gate.stop()
    const master = join(gate.dir, '.portcullis/master.key')
    const store = () => readFileSync(join(gate.dir, 'state.db'))
    const before = store()
    renameSync(master, `${master}.kept`)
    await expect(gate.again()).rejects.toThrow(/P1052[\s\S]*restore the file/)
    expect(readdirSync(join(gate.dir, '.portcullis'))).not.toContain('master.key')
    writeFileSync(master, randomBytes(32).toString('base64'), { mode: 0o600 })
    await expect(gate.again()).rejects.toThrow(/P1052[\s\S]*start with the key it was sealed with/)
    rmSync(master)
    renameSync(`${master}.kept`, master)
    chmodSync(master, 0o644)
    await expect(gate.again()).rejects.toThrow(/P1051[\s\S]*chmod 600/)
    chmodSync(master, 0o600)
    expect(store()).toEqual(before)
    const again = await gate.again()
    ends.push(() => again.stop('SIGKILL'))
    expect(await get(again, key, '1')).toBe('one')
  })

  test('lose nothing that was acknowledged, whenever the gate is killed', async () => {
    let gate = await start()
    const key = await keyOf(gate)
    const acknowledged: string[] = []
    for (let round = 0; round < 4; round++) {
      let isKilled = false
      const writers = Array.from({ length: 4 }, async (_, writer) => {
        for (let i = 0; !isKilled; i++) {
          const id = `${round}-${writer}-${i}`
          const status = await put(gate, key, id, id).catch(() => 0)
          if (status === 200) acknowledged.push(id)
        }
      })
      // In the midst of rotations, too; the first round is killed while the first key of all is made.
      const rotating = round === 0 ? undefined : gate.command('keys', 'rotate', purpose)
      await sleep(round * 150 + Math.random() * 300)
      isKilled = true
      await gate.stop('SIGKILL')
      await Promise.all(writers)
      await rotating
      gate = await gate.again()
      const running = gate
      ends.push(() => running.stop('SIGKILL'))
    }
    expect(acknowledged.length).toBeGreaterThan(10)
    for (const id of acknowledged.filter((_, i) => i % Math.ceil(acknowledged.length / 200) === 0)) {
      expect([id, await get(gate, key, id)]).toEqual([id, id])
    }
  })
})

describe('a new master key', () => {
  test('takes over by `keys reseal`, whenever that is killed: one of both keys opens everything, and the next run ends it', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'portcullis-'))
    ends.push(() => rm(dir, { recursive: true, force: true }))
    const names = ['one.key', 'two.key'] as const
    for (const name of names) writeFileSync(join(dir, name), randomBytes(32).toString('base64'), { mode: 0o600 })
    const startWith = (name: string) => start({ root: { secrets: { sealWith: `\${file:./${name}}` } }, env: {} }, dir)
    const first = await startWith('one.key')
    const key = await keyOf(first)
    await put(first, key, '1', 'one')
    await first.stop()
    const input = { document, upstream: upstream.url, api }
    const file = await writeGate(input, dir)
    const reseal = (from: string, to: string) => [
      ...['keys', 'reseal', '--config', file, '--from', join(dir, from), '--to', join(dir, to)],
    ]
    const opens = async (name: string) => {
      await writeGate({ ...input, root: { secrets: { sealWith: { file: `./${name}` } } } }, dir)
      const { code, stdout } = await runCommand(['keys', 'list', '--config', file, '--json'])
      return code === 0 && stdout.includes(purpose)
    }
    let [from, to] = names as readonly [string, string]
    const program = new URL('../../bin/portcullis.js', import.meta.url).pathname
    for (let round = 0; round < 3; round++) {
      await writeGate(input, dir)
      const child = spawn(process.execPath, [program, ...reseal(from, to)], { stdio: 'ignore' })
      await Promise.race([once(child, 'exit'), sleep(250 + Math.random() * 500)])
      child.kill('SIGKILL')
      const state = [await opens(from), await opens(to)]
      expect(state.filter(Boolean)).toHaveLength(1)
      await writeGate(input, dir)
      expect((await runCommand(reseal(from, to))).code).toBe(0)
      expect([await opens(from), await opens(to)]).toEqual([false, true])
      ;[from, to] = [to, from]
    }
    const last = await startWith(from)
    expect(await get(last, key, '1')).toBe('one')
  })

  test('may lie with a KMS behind a command, which never sees a secret in its arguments', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'portcullis-'))
    const kms = join(dir, 'kms.mjs')
    writeFileSync(
      kms,
      `import { readFileSync } from 'node:fs'
       const [operation, data] = readFileSync(0, 'latin1').split('\\n')
       const bytes = Buffer.from(data, 'base64').map((byte) => byte ^ 0x5a)
       if (operation === 'wrap' || operation === 'unwrap') console.log(Buffer.from(bytes).toString('base64'))`,
    )
    const root = { secrets: { sealWith: { command: [process.execPath, kms] } } }
    const gate = await start({ root }, dir)
    const key = await keyOf(gate)
    await put(gate, key, '1', 'one')
    await gate.stop()
    const again = await gate.again()
    ends.push(() => again.stop('SIGKILL'))
    expect(await get(again, key, '1')).toBe('one')
    expect(readdirSync(join(dir, '.portcullis'))).not.toContain('master.key')
    await again.stop()
    writeFileSync(kms, 'process.exit(7)')
    await expect(gate.again()).rejects.toThrow(/P1052[\s\S]*ended with exit code 7/)
  })
})

describe.each([
  { name: 'SQLite and counters in memory', skip: false as string | false, shared: false },
  { name: 'PostgreSQL and Redis', skip: noServers, shared: true },
])('two gates on $name', ({ skip, shared }) => {
  test.skipIf(skip)(
    'agree on the first key, follow a rotation within a second, and open what the other sealed',
    async () => {
      let state: object
      const sealWith = randomBytes(32).toString('base64')
      if (shared) {
        const [postgres, redis] = [await services.postgres(), await services.redis()]
        ends.push(postgres.close, redis.close)
        state = { store: { url: postgres.url }, counters: { url: `${redis.url}?timeoutMs=10000` } }
        // Each machine would make a master key of its own, and could not read what the other sealed.
        await expect(start({ root: state })).rejects.toThrow(/P1050[\s\S]*sealWith/)
      } else {
        const folder = await mkdtemp(join(tmpdir(), 'portcullis-'))
        ends.push(() => rm(folder, { recursive: true }))
        state = { store: { url: `sqlite:${folder}/state.db` } }
      }
      const root = { ...state, secrets: { sealWith: '${MASTER_KEY}' } }
      const env = { MASTER_KEY: sealWith }
      const gates = await Promise.all([start({ root, env }), start({ root, env })])
      const [here, there] = gates as [SpawnedGate, SpawnedGate]
      const key = await keyOf(here)
      await Promise.all([put(here, key, 'a', 'one'), put(there, key, 'b', 'two')])
      expect(sealedBy('a')).toBe(sealedBy('b'))
      expect([await get(there, key, 'a'), await get(here, key, 'b')]).toEqual(['one', 'two'])
      const rotated = await here.command('keys', 'rotate', '--json')
      const since = Date.now()
      const fresh = (JSON.parse(rotated.stdout) as { rotated: { key: string }[] }).rotated.at(-1)!.key
      for (const gate of gates) {
        await until(async () => {
          await put(gate, key, 'c', 'three')
          return sealedBy('c') === fresh
        }, 1_000)
      }
      expect(Date.now() - since).toBeLessThan(1_000)
      for (const gate of gates) {
        expect([await get(gate, key, 'a'), await get(gate, key, 'c')]).toEqual(['one', 'three'])
      }
      for (const gate of gates) expect(gate.stdout() + gate.stderr()).not.toContain(sealWith)
    },
    60_000,
  )
})
