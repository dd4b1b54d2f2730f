/*
 * Real servers for tests: a private PostgreSQL and Redis (or Valkey) on loopback ports of their own, and a browser,
 * started when a test asks and only then.
 *
 *   const skip = await services.missing('postgres')
 *   describe.skipIf(skip)('…', () => {
 *     let postgres: Service
 *     beforeAll(async () => { postgres = await services.postgres() })
 *     afterAll(() => postgres.close())
 *     …
 *       await postgres.stop()    // fault: refused connections
 *       await postgres.freeze()  // fault: no answer at all
 *       await postgres.start()   // back, on the same port, with its data
 *
 * A server ends with the process that started it, however that ends: a shell between them holds a pipe and stops the
 * server when the pipe closes. Missing programs are installed from Debian's packages where that is possible (root,
 * apt-get); else the reason is printed and the tests are skipped.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectSocket, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { type Browser, chromium } from 'playwright-core'

/** A server that runs for one test file. */
export interface Service {
  /** With user and password: `postgres://…`, `redis://…`. */
  readonly url: string
  readonly port: number
  /** Shuts it down as an administrator would; connections are refused from then on. */
  stop(): Promise<void>
  /** Ends it without warning, as `kill -9` does. */
  kill(): Promise<void>
  /** Starts it again on the same port with the data it had. */
  start(): Promise<void>
  /** Keeps its sockets open and says nothing, as a server behind a broken network does; `thaw` ends that. */
  freeze(): void
  thaw(): void
  /** Stops it and removes its files. */
  close(): Promise<void>
}

type ServiceName = 'postgres' | 'redis' | 'chromium'

export const services = {
  /** Why a service cannot be had here, said once on standard error; `false` when it can. For `describe.skipIf`. */
  async missing(name: ServiceName): Promise<string | false> {
    try {
      await programs(name)
      return false
    } catch (error) {
      const reason = `SKIPPED: tests that need ${name}: ${(error as Error).message}`
      console.warn(reason)
      if (existsSync(runDir())) writeFileSync(join(runDir(), `skipped-${name}`), reason)
      return reason
    }
  },
  async postgres(): Promise<Service> {
    const { initdb, postgres } = await programs('postgres')
    const { template, password } = await postgresTemplate(initdb!)
    const dir = await privateDir('postgres-')
    await run('cp', ['-a', `${template}/.`, dir])
    const port = await freePort()
    const settings = [
      'fsync=off',
      'shared_buffers=16MB',
      'max_connections=60',
      'autovacuum=off',
      'listen_addresses=127.0.0.1',
    ]
    return await startService({
      name: 'postgres',
      port,
      dir,
      url: `postgres://portcullis:${password}@127.0.0.1:${port}/postgres`,
      command: [postgres!, '-D', dir, '-p', String(port), '-k', dir, ...settings.flatMap((setting) => ['-c', setting])],
      // Fast shutdown: PostgreSQL's own default, TERM, would wait for clients to leave.
      endSignal: 'INT',
      answers: answersPostgres,
    })
  },
  async redis(): Promise<Service> {
    const { server } = await programs('redis')
    const dir = await privateDir('redis-')
    const port = await freePort()
    const password = randomBytes(12).toString('hex')
    const settings = { port, bind: '127.0.0.1', save: '', appendonly: 'no', dir, requirepass: password }
    return await startService({
      name: 'redis',
      port,
      dir,
      url: `redis://default:${password}@127.0.0.1:${port}/0`,
      command: [server!, ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])],
      endSignal: 'TERM',
      answers: answersRedis,
    })
  },
  /** A browser without a window. Its pages end with it. */
  async chromium(): Promise<Browser> {
    const { browser } = await programs('chromium')
    // Chromium refuses to build its sandbox as root; here it loads nothing but pages of this machine.
    return await chromium.launch({ executablePath: browser!, args: isRoot ? ['--no-sandbox'] : [] })
  },
}

/** Where everything of this run lies; `test/global-setup.ts` makes it and takes it away. */
export function runDir(): string {
  let dir = process.env.PORTCULLIS_TEST_DIR
  if (dir === undefined) {
    dir = makeRunDir()
    process.env.PORTCULLIS_TEST_DIR = dir
    process.on('exit', () => rmSync(dir!, { recursive: true, force: true }))
  }
  return dir
}

/** Named after this process, so that the next run can clear away what a killed one left behind. */
export function makeRunDir(): string {
  for (const name of readdirSync(tmpdir())) {
    const owner = /^portcullis-test-(\d+)-/.exec(name)?.[1]
    if (owner !== undefined && !isAlive(Number(owner))) {
      try {
        rmSync(join(tmpdir(), name), { recursive: true, force: true })
      } catch {
        // Another user's: theirs to clear away.
      }
    }
  }
  const dir = mkdtempSync(join(tmpdir(), `portcullis-test-${process.pid}-`))
  // The servers run as other users when we are root; they must be able to pass through.
  execFileSync('chmod', ['711', dir])
  return dir
}

const isRoot = process.getuid?.() === 0
/** PostgreSQL refuses to run as root (and Redis need not). */
const user = isRoot ? (['postgres', 'nobody'].find((name) => idsOf(name) !== undefined) ?? 'nobody') : undefined

function idsOf(name: string): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string) => Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }))
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    return undefined
  }
}

const run = promisify(execFile)

function asUser(command: readonly string[]): string[] {
  if (user === undefined) return [...command]
  const { uid, gid } = idsOf(user)!
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--', ...command]
}

async function privateDir(name: string): Promise<string> {
  const dir = await mkdtemp(join(runDir(), name))
  await chmod(dir, 0o700)
  if (user !== undefined) {
    const { uid, gid } = idsOf(user)!
    await chown(dir, uid, gid)
  }
  return dir
}

/** Paths of the programs of a service, installed first where they are missing and may be. */
async function programs(name: ServiceName): Promise<Record<string, string>> {
  const found = () => {
    if (name === 'redis') return allOf({ server: find('redis-server') ?? find('valkey-server') })
    if (name === 'chromium')
      return allOf({ browser: find('chromium') ?? find('chromium-browser') ?? find('google-chrome') })
    return allOf({ initdb: find('initdb'), postgres: find('postgres') })
  }
  const there = found()
  if (there !== undefined) return there
  const debian = { redis: 'redis-server', postgres: 'postgresql', chromium: 'chromium' }[name]
  if (!isRoot || find('apt-get') === undefined) {
    throw new Error(`${debian} is not installed, and only root on Debian or Ubuntu can install it here`)
  }
  console.warn(`${debian} is missing: installing Debian's package for the tests`)
  await onlyOnce(`install-${debian}`, async () => {
    if (found() !== undefined) return
    // RUNLEVEL=1 keeps Debian from starting its own server at installation (invoke-rc.d).
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
    const lock = ['-o', 'DPkg::Lock::Timeout=120']
    try {
      await run('apt-get', [...lock, 'update'], { env, timeout: 120_000 })
      await run('apt-get', [...lock, 'install', '-y', '--no-install-recommends', debian], { env, timeout: 300_000 })
    } catch (error) {
      throw new Error(`${debian} could not be installed: ${String((error as Error).message).split('\n')[0]}`)
    }
  })
  const installed = found()
  if (installed === undefined) throw new Error(`${debian} was installed, but its programs cannot be found`)
  return installed
}

function allOf(paths: Record<string, string | undefined>): Record<string, string> | undefined {
  return Object.values(paths).includes(undefined) ? undefined : (paths as Record<string, string>)
}

function find(program: string): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const places = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...process.env.PATH!.split(delimiter),
    '/usr/sbin',
  ]
  return places.map((place) => join(place, program)).find((path) => existsSync(path))
}

/** Runs `work` in one of the processes of this run; the others wait for it. */
async function onlyOnce(name: string, work: () => Promise<void>): Promise<void> {
  const lock = join(runDir(), `${name}.lock`)
  const done = join(runDir(), `${name}.done`)
  for (const deadline = Date.now() + 400_000; Date.now() < deadline; await sleep(50)) {
    if (existsSync(done)) return
    try {
      mkdirSync(lock)
    } catch {
      continue
    }
    try {
      await work()
      writeFileSync(done, '')
      return
    } finally {
      rmSync(lock, { recursive: true, force: true })
    }
  }
  throw new Error(`another test process did not finish ${name}`)
}

/** A database cluster made once a run and copied for every server: a copy takes a tenth of `initdb`'s time. */
async function postgresTemplate(initdb: string): Promise<{ template: string; password: string }> {
  const template = join(runDir(), 'postgres-template')
  const password = 'portcullis-test'
  await onlyOnce('postgres-template', async () => {
    await rm(template, { recursive: true, force: true })
    const made = await privateDir('initdb-')
    const passwordFile = join(made, 'password')
    await writeFile(passwordFile, password, { mode: 0o644 })
    const data = join(made, 'data')
    const options = [
      '-U',
      'portcullis',
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
      '--no-sync',
      '-E',
      'UTF8',
      '--locale=C',
    ]
    const [command, ...args] = asUser([initdb, '-D', data, ...options])
    await run(command!, args, { cwd: '/' })
    await run('mv', [data, template])
    await rm(made, { recursive: true })
  })
  return { template, password }
}

interface ServicePlan {
  readonly name: string
  readonly port: number
  readonly dir: string
  readonly url: string
  readonly command: readonly string[]
  readonly endSignal: 'INT' | 'TERM'
  readonly answers: (url: string, port: number) => Promise<boolean>
}

/**
 * Between us and the server: says the server's id, waits until we say `keep` or our end of its input closes, and ends
 * the server. Without `keep` we have crashed, and the server's files go as well.
 */
const keeper =
  'log=$1; signal=$2; dir=$3; shift 3; "$@" >"$log" 2>&1 & pid=$!; echo $pid; read word; ' +
  'kill -CONT $pid $(ps -o pid= --ppid $pid); kill -$signal $pid; wait $pid; [ "$word" = keep ] || rm -rf "$dir"'

async function startService(plan: ServicePlan): Promise<Service> {
  let shell: ChildProcess | undefined
  let pid = 0

  async function start(): Promise<void> {
    if (shell !== undefined) throw new Error(`${plan.name} runs already`)
    const log = join(runDir(), `${plan.name}-${plan.port}.log`)
    const started = spawn('sh', ['-c', keeper, 'sh', log, plan.endSignal, plan.dir, ...asUser(plan.command)], {
      stdio: ['pipe', 'pipe', 'ignore'],
      cwd: '/',
      // Of a process group of its own, so that Ctrl-C reaches the tests and not the servers they still use.
      detached: true,
    })
    shell = started
    const [line] = (await once(started.stdout!, 'data')) as [Buffer]
    pid = Number(line.toString())
    started.unref()
    for (const stream of [started.stdin, started.stdout]) (stream as unknown as { unref?: () => void }).unref?.()
    const deadline = Date.now() + 30_000
    while (!(await plan.answers(plan.url, plan.port))) {
      if (!isAlive(pid) || Date.now() > deadline) {
        await end('KILL')
        throw new Error(`${plan.name} did not start; see ${log}`)
      }
      await sleep(20)
    }
  }

  async function end(signal: 'KILL' | 'INT' | 'TERM'): Promise<void> {
    const ending = shell
    if (ending === undefined) return
    shell = undefined
    if (isAlive(pid)) process.kill(pid, `SIG${signal}` as NodeJS.Signals)
    const ended = ending.exitCode === null && ending.signalCode === null ? once(ending, 'exit') : undefined
    ending.ref()
    while (isRunning(pid)) await sleep(10)
    ending.stdin!.end('keep\n')
    await ended
  }

  await start()
  return {
    url: plan.url,
    port: plan.port,
    start,
    stop: () => end(plan.endSignal),
    kill: () => end('KILL'),
    freeze: () => signalTree(pid, 'SIGSTOP'),
    thaw: () => signalTree(pid, 'SIGCONT'),
    async close() {
      if (shell !== undefined) signalTree(pid, 'SIGCONT')
      await end(plan.endSignal)
      await rm(plan.dir, { recursive: true, force: true })
    },
  }
}

/** PostgreSQL answers each connection from a child process; all of them must fall silent. */
function signalTree(pid: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
  process.kill(pid, signal)
  const children = execFileSync('ps', ['-o', 'pid=,ppid=', '-e'], { encoding: 'utf8' })
  for (const line of children.trim().split('\n')) {
    const [child, parent] = line.trim().split(/\s+/).map(Number)
    if (parent !== pid || child === undefined) continue
    try {
      process.kill(child, signal)
    } catch {
      // It ended since the list was made.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** A server that has ended but whose shell has not yet looked is a zombie: it no longer runs. */
function isRunning(pid: number): boolean {
  if (!isAlive(pid)) return false
  try {
    return !/^\S+\s+Z/.test(execFileSync('ps', ['-o', 'pid=,stat=', '-p', String(pid)], { encoding: 'utf8' }).trim())
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

async function answersPostgres(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

function answersRedis(_url: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const done = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    // Any reply will do: without the password it is an error.
    socket.on('data', () => done(true)).on('error', () => done(false))
    socket.setTimeout(1_000, () => done(false))
  })
}
