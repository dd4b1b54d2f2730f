import { extname } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { createChanges } from './changes.ts'
import { connect, createFile, migrate } from './sqlite-file.ts'
import type { WriterReply } from './sqlite-writer.ts'
import { createApply, type Outcome, type Write } from './sqlite-writes.ts'
import {
  badSum,
  checkKey,
  checkList,
  checkPut,
  compareKeys,
  type Entry,
  endOf,
  endOfPrefix,
  type PutOptions,
  type Store,
  StoreUnavailable,
  textOf,
  type Value,
} from './store.ts'

export interface SqliteOptions {
  /** A file, made where it is missing; or `:memory:` for a store that ends with the process. */
  readonly file: string
  readonly log: Logger
  readonly now?: Clock
}

/** How long a writer waits while another process writes. */
const writeBusyMs = 5_000
/** How long a read may wait: only while a log is recovered or a file is opened; it holds the main thread. */
const readBusyMs = 250
const writesWaitingMax = 10_000
const batchMax = 500
const pollMs = 100
const sweepMs = 60_000
const sweepMax = 500
const changesReadMax = 1_000

/**
 * A store in one SQLite file, which several processes may share. Reads answer bare, in microseconds; writes are
 * gathered, committed together by a thread of their own, and acknowledged once they are on the disk.
 */
export function createSqliteStore({ file, log, now = Date.now }: SqliteOptions): Store {
  const database = open(file, log)
  const writer = file === ':memory:' ? inlineWriter(database) : threadWriter(file, log)
  const reads = prepareReads(database)
  const changes = createChanges(log, { start: startPolling })
  let closed = false
  // Spread, so that processes started together do not sweep together.
  const sweeper = setInterval(() => void sweep(), sweepMs * (0.75 + Math.random() / 2)).unref()

  function get(key: string): Value | undefined {
    checkKey(key)
    const row = read(() => reads.get.get(key))
    if (row === undefined || hasEnded(row.expires_at)) return undefined
    return JSON.parse(row.value as string) as Value
  }

  async function put(key: string, value: Value, options: PutOptions = {}): Promise<boolean> {
    checkKey(key)
    checkPut(options)
    const { onlyIfAbsent = false, onlyIfEquals } = options
    const onlyIfText = onlyIfEquals === undefined ? undefined : textOf(onlyIfEquals)
    const text = textOf(value)
    const at = now()
    const done = await write({
      kind: 'put',
      key,
      text,
      expiresAt: endOf(at, options.ttlMs),
      onlyIfAbsent,
      onlyIfText,
      now: at,
    })
    return done as boolean
  }

  async function remove(key: string): Promise<boolean> {
    checkKey(key)
    return (await write({ kind: 'delete', key, now: now() })) as boolean
  }

  async function list(prefix: string, options: { limit: number; after?: string }): Promise<Entry[]> {
    checkList(prefix, options)
    const { limit, after } = options
    const last = after !== undefined && compareKeys(after, prefix) >= 0 ? after : undefined
    const rows = read(() => reads.list(prefix, last, endOfPrefix(prefix), now(), limit))
    return rows.map((row) => ({ key: row.key as string, value: JSON.parse(row.value as string) as Value }))
  }

  async function add(key: string, amount: number, options: { ttlMs?: number } = {}): Promise<number> {
    checkKey(key)
    checkPut(options)
    if (!Number.isFinite(amount)) throw badSum(key)
    const at = now()
    const sum = await write({ kind: 'add', key, amount, expiresAt: endOf(at, options.ttlMs), now: at })
    if (sum === undefined) throw badSum(key)
    return sum as number
  }

  async function write(write: Write): Promise<Outcome> {
    if (closed) throw new StoreUnavailable('the store is closed')
    const outcome = await writer.write(write)
    if (outcome === true && (write.kind === 'put' || write.kind === 'delete')) changes.tell(write.key)
    return outcome
  }

  function read<T>(ask: () => T): T {
    if (closed) throw new StoreUnavailable('the store is closed')
    try {
      return ask()
    } catch (error) {
      throw new StoreUnavailable(`${file}: ${messageOf(error)}`, { cause: error })
    }
  }

  function hasEnded(expiresAt: unknown): boolean {
    return expiresAt !== null && (expiresAt as number) <= now()
  }

  /** Drops what has ended, a bounded number at a time, so that a file does not grow with what nobody asks for. */
  async function sweep(): Promise<void> {
    try {
      let more = read(() => reads.anyEnded.get(now())) !== undefined
      while (more && !closed) more = (await write({ kind: 'sweep', now: now(), limit: sweepMax })) === sweepMax
    } catch (error) {
      if (!closed) log.warn('ended entries of the store could not be swept', { file, reason: messageOf(error) })
    }
  }

  /** Looks ten times a second whether another connection has committed, and reads which keys it changed. */
  function startPolling(): () => void {
    if (file === ':memory:') return () => {}
    let version: unknown
    let seen = 0
    let failing = false
    function look(first: boolean): void {
      if (closed) return
      try {
        const newest = reads.dataVersion.get()!.data_version
        if (newest === version) return
        version = newest
        if (first) {
          seen = Number(reads.lastChange.get()!.seq)
          return
        }
        const rows = reads.changes.all(seen, changesReadMax)
        if (rows.length === 0) return
        const complete = rows.length < changesReadMax && Number(rows[0]!.seq) === seen + 1
        seen = complete ? Number(rows.at(-1)!.seq) : Number(reads.lastChange.get()!.seq)
        if (!complete) changes.tell(undefined)
        else for (const row of rows) changes.tell(row.key as string)
        failing = false
      } catch (error) {
        if (!failing) log.warn('the store cannot be watched for changes', { file, reason: messageOf(error) })
        failing = true
        version = undefined
        changes.tell(undefined)
      }
    }
    look(true)
    const timer = setInterval(look, pollMs, false).unref()
    return () => clearInterval(timer)
  }

  return {
    get,
    put,
    delete: remove,
    list,
    add,
    onChange: changes.listen,
    async ping() {
      read(() => reads.lastChange.get())
    },
    async close() {
      if (closed) return
      closed = true
      clearInterval(sweeper)
      changes.close()
      await writer.close()
      database.close()
    },
  }
}

function open(file: string, log: Logger): DatabaseSync {
  let database: DatabaseSync | undefined
  try {
    if (file !== ':memory:') createFile(file, log)
    database = connect(file, writeBusyMs)
    migrate(database, file)
    database.exec(`PRAGMA busy_timeout = ${readBusyMs}`)
    return database
  } catch (error) {
    database?.close()
    if (error instanceof StoreUnavailable) throw error
    throw new StoreUnavailable(`the store ${file} cannot be opened: ${messageOf(error)}`, { cause: error })
  }
}

type Row = Record<string, unknown>

interface Reads {
  readonly get: StatementSync
  readonly anyEnded: StatementSync
  readonly dataVersion: StatementSync
  readonly lastChange: StatementSync
  readonly changes: StatementSync
  readonly list: (
    prefix: string,
    after: string | undefined,
    end: string | undefined,
    now: number,
    limit: number,
  ) => Row[]
}

function prepareReads(database: DatabaseSync): Reads {
  const select = 'SELECT key, value FROM entries WHERE'
  const rest = '(expires_at IS NULL OR expires_at > ?) ORDER BY key LIMIT ?'
  const from = database.prepare(`${select} key >= ? AND key < ? AND ${rest}`)
  const after = database.prepare(`${select} key > ? AND key < ? AND ${rest}`)
  const fromOn = database.prepare(`${select} key >= ? AND ${rest}`)
  const afterOn = database.prepare(`${select} key > ? AND ${rest}`)
  return {
    get: database.prepare('SELECT value, expires_at FROM entries WHERE key = ?'),
    anyEnded: database.prepare('SELECT 1 FROM entries WHERE expires_at <= ? LIMIT 1'),
    dataVersion: database.prepare('PRAGMA data_version'),
    lastChange: database.prepare('SELECT coalesce(max(seq), 0) AS seq FROM changes'),
    changes: database.prepare('SELECT seq, key FROM changes WHERE seq > ? ORDER BY seq LIMIT ?'),
    list(prefix, last, end, now, limit) {
      if (end === undefined) return last === undefined ? fromOn.all(prefix, now, limit) : afterOn.all(last, now, limit)
      return last === undefined ? from.all(prefix, end, now, limit) : after.all(last, end, now, limit)
    },
  }
}

interface Writer {
  write(write: Write): Promise<Outcome>
  close(): Promise<void>
}

/** For a store in memory: nothing to wait for. */
function inlineWriter(database: DatabaseSync): Writer {
  const apply = createApply(database)
  return {
    async write(write) {
      return apply([write])[0]
    },
    async close() {},
  }
}

/**
 * Sends writes to a thread in batches: what arrives while one batch is on its way to the disk goes with the next, so
 * that many writers share each wait. The thread starts with the first write; a gate that only reads has none.
 */
function threadWriter(file: string, log: Logger): Writer {
  interface Waiting {
    readonly write: Write
    readonly resolve: (outcome: Outcome) => void
    readonly reject: (error: Error) => void
  }
  let worker: Worker | undefined
  let waiting: Waiting[] = []
  let sent: Waiting[] = []
  let whenIdle: (() => void) | undefined

  function start(): Worker {
    // The same file, as TypeScript in a checkout and as JavaScript in the package.
    const program = new URL(`./sqlite-writer${extname(import.meta.url)}`, import.meta.url)
    const started = new Worker(program, { workerData: { file, busyMs: writeBusyMs }, execArgv: [] })
    started.on('message', (reply: WriterReply) => {
      if ('outcomes' in reply) settle((one, i) => one.resolve(reply.outcomes[i]))
      else settle((one) => one.reject(new StoreUnavailable(`${file}: ${reply.failure}`)))
    })
    started.on('error', (error) => {
      log.error("the store's writer failed", { file, reason: messageOf(error) })
    })
    started.on('exit', () => {
      if (worker === started) worker = undefined
      if (sent.length > 0) settle((one) => one.reject(new StoreUnavailable(`${file}: the writer ended`)))
    })
    return started
  }

  function settle(each: (one: Waiting, i: number) => void): void {
    const done = sent
    sent = []
    done.forEach(each)
    send()
  }

  function send(): void {
    if (sent.length > 0) return
    if (waiting.length === 0) {
      // An idle writer does not keep the process running.
      worker?.unref()
      whenIdle?.()
      return
    }
    sent = waiting.length <= batchMax ? waiting : waiting.slice(0, batchMax)
    waiting = waiting.slice(sent.length)
    worker ??= start()
    worker.ref()
    worker.postMessage(sent.map((one) => one.write))
  }

  return {
    write(write) {
      if (waiting.length >= writesWaitingMax) {
        return Promise.reject(new StoreUnavailable(`${file}: ${writesWaitingMax} writes are waiting already`))
      }
      return new Promise((resolve, reject) => {
        waiting.push({ write, resolve, reject })
        // One turn later, so that writes asked for together go together.
        if (waiting.length === 1 && sent.length === 0) queueMicrotask(send)
      })
    },
    async close() {
      if (waiting.length > 0 || sent.length > 0) await new Promise<void>((resolve) => (whenIdle = resolve))
      if (worker === undefined) return
      const ended = new Promise((resolve) => worker!.once('exit', resolve))
      worker.ref()
      worker.postMessage('close')
      await ended
    },
  }
}
