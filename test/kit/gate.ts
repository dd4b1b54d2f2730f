import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Agent, type RequestInit, type Response, fetch as undiciFetch } from 'undici'
import type { Logger } from '../../src/base/log.ts'
import { type Running, serve } from '../../src/cli/serve.ts'
import { type Config, loadConfig } from '../../src/config/load.ts'
import { createApiKeys } from '../../src/credentials/api-keys.ts'
import { guards } from '../../src/guards/index.ts'

/** A line of the activity log, as a test reads it. */
// biome-ignore lint/suspicious/noExplicitAny: assertions look into it, and fail where it is another.
export type ActivityLine = Record<string, any>

/** What a test says about the gate it wants. */
export interface GateInput {
  /** The OpenAPI document, as an object. Default: `smallDocument`. */
  readonly document?: object
  /** Base URL of the upstream, or the long form of `upstream`. */
  readonly upstream: string | object
  /** Keys under `apis.test`, beside `openapi` and `upstream`. */
  readonly api?: object
  /** Keys at the top. `listen` defaults to one plain listener on loopback. */
  readonly root?: object
  /** More APIs, whole. */
  readonly apis?: object
  /** More files, by name, written beside the configuration. */
  readonly files?: Readonly<Record<string, string | Buffer>>
  readonly env?: NodeJS.ProcessEnv
  readonly log?: Logger
}

/** A key for the gate under test. */
export interface KeyInput {
  readonly name?: string
  readonly scopes?: readonly string[]
  readonly roles?: readonly string[]
  readonly cidrs?: readonly string[]
  readonly expiresAt?: number
}

/** The real gate, serving in this process. */
export interface TestGate {
  /** Origin of the first listener: `http://127.0.0.1:12345`. */
  readonly url: string
  readonly port: number
  readonly dir: string
  readonly running: Running
  /** Messages for the operator so far. */
  readonly messages: { readonly level: string; readonly message: string; readonly fields: unknown }[]
  readonly fetch: (path: string, init?: RequestInit) => Promise<Response>
  /** Makes an API key in the gate's store and returns it. */
  readonly key: (input?: KeyInput) => Promise<string>
  /** The activity lines so far; waits until `count` are there where given. */
  readonly lines: (count?: number) => Promise<ActivityLine[]>
  /** Writes the configuration anew with other settings and reloads. Rejects when it is refused. */
  readonly reload: (change: Partial<GateInput>) => Promise<void>
  readonly stop: () => Promise<void>
}

/** Writes the files of a gate into a new folder and returns the configuration's path. */
export async function writeGate(input: GateInput, dir: string): Promise<string> {
  const config = {
    version: 1,
    listen: [{ port: 0, host: '127.0.0.1', tls: 'off' }],
    store: { url: `sqlite:${join(dir, 'state.db')}` },
    telemetry: { logs: { file: join(dir, 'activity.ndjson') } },
    ...input.root,
    apis: {
      // A busy test machine is no overload; what sheds load is tested where it is meant.
      test: {
        openapi: './openapi.json',
        upstream: input.upstream,
        concurrency: { overload: { mode: 'off' } },
        ...input.api,
      },
      ...input.apis,
    },
  }
  for (const [name, content] of Object.entries(input.files ?? {})) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), content)
  }
  await writeFile(join(dir, 'openapi.json'), JSON.stringify(input.document ?? smallDocument, null, 2))
  // JSON is YAML too, and the strict reader of YAML is the one to test.
  const file = join(dir, 'portcullis.yaml')
  await writeFile(file, JSON.stringify(config, null, 2))
  return file
}

function load(file: string, input: GateInput): Promise<Config> {
  return loadConfig({ file, env: input.env ?? {}, guards: guards as never })
}

/** Starts the real gate in this process. */
export async function startGate(input: GateInput): Promise<TestGate> {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-'))
  const messages: TestGate['messages'] = []
  const say = (level: string) => (message: string, fields?: unknown) => {
    messages.push({ level, message, fields })
  }
  const log = input.log ?? { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  let current = input
  let running: Running
  try {
    running = await serve(await load(await writeGate(input, dir), input), { log })
  } catch (error) {
    await rm(dir, { recursive: true, force: true })
    throw error
  }
  const { scheme, port } = running.addresses[0]!
  const url = `${scheme}://127.0.0.1:${port}`
  const agent = new Agent({ connect: { rejectUnauthorized: false }, pipelining: 1 })
  return {
    url,
    port,
    dir,
    running,
    messages,
    fetch: (path, init) => undiciFetch(url + path, { dispatcher: agent, redirect: 'manual', ...init }),
    key: (key) => makeKey(running, key),
    lines: (count = 0) => readLines(join(dir, 'activity.ndjson'), count),
    async reload(change) {
      current = {
        ...current,
        ...change,
        root: { ...current.root, ...change.root },
        api: change.api ?? current.api ?? {},
      }
      await running.reload(await load(await writeGate(current, dir), current))
    },
    async stop() {
      await agent.destroy()
      await running.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function makeKey({ foundation }: Running, input: KeyInput = {}): Promise<string> {
  const keys = createApiKeys({ store: foundation.store, now: foundation.now })
  const { key } = await keys.create({
    name: input.name ?? 'test',
    scopes: input.scopes ?? [],
    roles: input.roles ?? [],
    ...(input.cidrs === undefined ? {} : { cidrs: input.cidrs }),
    ...(input.expiresAt === undefined ? {} : { expiresAt: input.expiresAt }),
  })
  return key
}

async function readLines(file: string, count: number): Promise<ActivityLine[]> {
  return until(async () => {
    const text = await readFile(file, 'utf8').catch(() => '')
    const lines = text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
    return lines.length >= count ? lines : undefined
  }, `${count} activity lines`)
}

/** Asks again and again until there is an answer; fails with what it waited for. */
export async function until<T>(
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  deadlineMs = 10_000,
): Promise<T> {
  const end = Date.now() + deadlineMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    if (Date.now() > end) throw new Error(`waited ${deadlineMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A gate that runs as users run it: `portcullis start` in a process of its own. */
export interface SpawnedGate {
  readonly url: string
  readonly port: number
  readonly dir: string
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  /** Runs another command beside it, such as `key create`. */
  readonly command: (
    ...words: string[]
  ) => Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>
  /** Ends it (default SIGTERM) and tells the exit code. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>
  /** Starts it again in the same folder, after a stop. */
  readonly again: () => Promise<SpawnedGate>
  readonly remove: () => Promise<void>
}

const root = new URL('../..', import.meta.url).pathname

/** Starts `portcullis start` as a child process in a folder of its own, on a fixed free port. */
export async function spawnGate(input: GateInput, inDir?: string): Promise<SpawnedGate> {
  const dir = inDir ?? (await mkdtemp(join(tmpdir(), 'portcullis-')))
  const port = await freePort()
  const withPort = { ...input, root: { listen: [{ port, host: '127.0.0.1', tls: 'off' }], ...input.root } }
  const file = await writeGate(withPort, dir)
  const env = { ...process.env, ...input.env, NO_COLOR: '1' }
  const child = spawn(process.execPath, [join(root, 'bin/portcullis.js'), 'start', '--config', file], { env, cwd: dir })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const { listen } = withPort.root as { listen: { port: number; tls?: unknown }[] }
  const scheme = listen[0]!.tls === 'off' ? 'http' : 'https'
  const url = `${scheme}://127.0.0.1:${listen[0]!.port}`
  const agent = new Agent({ connect: { rejectUnauthorized: false } })
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the gate ended with ${child.exitCode}:\n${stderr}`)
    return undiciFetch(url, { dispatcher: agent }).then(
      () => true,
      () => undefined,
    )
  }, 'the gate to listen').catch((error) => {
    child.kill('SIGKILL')
    throw new Error(`${error.message}\n${stderr}`)
  })
  await agent.close()
  return {
    url,
    port: listen[0]!.port,
    dir,
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    command: (...words) => runCommand([...words, '--config', file], env),
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      return exited
    },
    again: () => spawnGate(input, dir),
    remove: () => rm(dir, { recursive: true, force: true }),
  }
}

/** Runs one command line of the product to its end. */
export async function runCommand(
  words: readonly string[],
  env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1' },
  cwd = root,
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [join(root, 'bin/portcullis.js'), ...words], { env, cwd })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code: code ?? -1, stdout, stderr }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const { createServer } = await import('node:net')
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

/** Orders to read and write, one open operation, keys in `X-API-Key`. */
export const smallDocument = {
  openapi: '3.1.0',
  info: { title: 'Small', version: '1.0.0' },
  security: [{ key: [] }],
  components: {
    securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } },
    schemas: {
      Order: {
        type: 'object',
        required: ['item', 'quantity'],
        properties: {
          id: { type: 'integer', readOnly: true },
          item: { type: 'string', maxLength: 100 },
          quantity: { type: 'integer', minimum: 1, maximum: 1000 },
          note: { type: 'string', maxLength: 1000 },
        },
      },
    },
  },
  paths: {
    '/health': { get: { operationId: 'health', security: [], responses: { 200: { description: 'Up.' } } } },
    '/orders': {
      get: {
        operationId: 'listOrders',
        tags: ['orders'],
        parameters: [{ name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 100 } }],
        responses: { 200: { description: 'Orders.' } },
      },
      post: {
        operationId: 'createOrder',
        tags: ['orders'],
        requestBody: {
          required: true,
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } },
        },
        responses: {
          201: {
            description: 'Made.',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } },
          },
        },
      },
    },
    '/orders/{id}': {
      get: {
        operationId: 'getOrder',
        tags: ['orders'],
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer' } }],
        responses: {
          200: {
            description: 'One.',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } },
          },
        },
      },
    },
  },
} as const
