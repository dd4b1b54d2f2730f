import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { createChanges } from './changes.ts'
import {
  badSum,
  checkKey,
  checkList,
  checkPut,
  compareKeys,
  type Entry,
  endOfPrefix,
  type PutOptions,
  type Store,
  StoreUnavailable,
  textOf,
  type Value,
} from './store.ts'

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database?sslmode=verify-full`. */
  readonly url: string
  readonly log: Logger
  /** Default: the server's clock, so that all machines agree on when something ends. */
  readonly now?: Clock
  readonly connectionsMax?: number
}

const connectMs = 2_000
const statementMs = 2_000
/** A little longer than the server's own limit: for a server that has gone silent. */
const queryMs = 3_000
/** After a failed connection nobody tries for so long: a store that is down costs its callers no time. */
const pauseMs = 200
const waitingMax = 1_000
const sweepMs = 60_000
const sweepMax = 1_000
const schemaVersion = 1
const channel = 'portcullis_entries'
/** Any number of our own: guards the making of the tables against another process that does the same. */
const schemaLock = 5_784_930_211

const clock = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
/** `$1` is the caller's clock, or null for the server's. */
const at = `coalesce($1::bigint, ${clock})`
const ended = (table: string) => `(${table}.expires_at IS NOT NULL AND ${table}.expires_at <= ${at})`
/** Tells the other processes, as one statement with the write itself, hence if and only if it commits. */
const telling = (write: string) =>
  `WITH written AS (${write} RETURNING key) SELECT pg_notify('${channel}', key) FROM written`

const statements = {
  get: `SELECT value FROM portcullis_entries e WHERE key = $2 AND NOT ${ended('e')}`,
  put: telling(`INSERT INTO portcullis_entries AS e (key, value, expires_at) VALUES ($2, $3, ${at} + $4::bigint)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`),
  putIfAbsent: telling(`INSERT INTO portcullis_entries AS e (key, value, expires_at) VALUES ($2, $3, ${at} + $4::bigint)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at WHERE ${ended('e')}`),
  putIfEquals: telling(`UPDATE portcullis_entries e SET value = $3, expires_at = ${at} + $4::bigint
    WHERE key = $2 AND value = $5 AND NOT ${ended('e')}`),
  delete: telling(`DELETE FROM portcullis_entries e WHERE key = $2 AND NOT ${ended('e')}`),
  list: `SELECT key, value FROM portcullis_entries e WHERE key >= $2 AND ($3::text IS NULL OR key < $3) AND NOT ${ended('e')}
    ORDER BY key LIMIT $4`,
  listAfter: `SELECT key, value FROM portcullis_entries e WHERE key > $2 AND ($3::text IS NULL OR key < $3) AND NOT ${ended('e')}
    ORDER BY key LIMIT $4`,
  add: `INSERT INTO portcullis_entries AS e (key, value, expires_at) VALUES ($2, $3::float8::text, ${at} + $4::bigint)
    ON CONFLICT (key) DO UPDATE SET
      value = CASE WHEN ${ended('e')} THEN excluded.value ELSE (e.value::float8 + $3::float8)::text END,
      expires_at = CASE WHEN ${ended('e')} THEN excluded.expires_at ELSE e.expires_at END
    RETURNING value`,
  sweep: `DELETE FROM portcullis_entries WHERE key IN
    (SELECT key FROM portcullis_entries e WHERE ${ended('e')} ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
} as const

const schema = `
  CREATE TABLE portcullis_entries (key text COLLATE "C" PRIMARY KEY, value text NOT NULL, expires_at bigint);
  CREATE INDEX portcullis_entries_by_end ON portcullis_entries (expires_at) WHERE expires_at IS NOT NULL;
  INSERT INTO portcullis_schema (version) VALUES (${schemaVersion});`

/**
 * A store in PostgreSQL, for several machines. Rejects with `StoreUnavailable` within seconds when the server does
 * not answer, and serves again by itself once it does. Needs a session of its own (no pooler in transaction mode):
 * changes by others arrive over LISTEN.
 */
export async function openPostgresStore({ url, log, now, connectionsMax = 10 }: PostgresOptions): Promise<Store> {
  const settings: pg.ClientConfig = {
    connectionString: url,
    connectionTimeoutMillis: connectMs,
    statement_timeout: statementMs,
    idle_in_transaction_session_timeout: statementMs,
    query_timeout: queryMs,
    application_name: 'portcullis',
    keepAlive: true,
  }
  const pool = new pg.Pool({
    ...settings,
    max: connectionsMax,
    idleTimeoutMillis: 60_000,
    // The server acknowledges a commit once it is on the disk, whatever the database's own default says.
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool waits for it, its types do not say so
    onConnect: async (client) => {
      await client.query('SET synchronous_commit = on')
    },
  })
  // An idle connection that breaks is no failure of anybody's call; the pool has dropped it already.
  pool.on('error', (error) => log.debug('an idle connection to PostgreSQL broke', { reason: messageOf(error) }))
  const changes = createChanges(log, { start: () => listen(settings, log, changes.tell) })
  let pausedUntil = 0
  let closed = false

  /** Asks the server. What may safely run twice does so once when a connection turns out to be dead. */
  async function ask(
    name: keyof typeof statements,
    values: readonly unknown[],
    options: { readonly repeatable: boolean },
  ): Promise<pg.QueryResult> {
    if (closed) throw new StoreUnavailable('the store is closed')
    if (performance.now() < pausedUntil) throw new StoreUnavailable('PostgreSQL does not answer')
    if (pool.waitingCount >= waitingMax) throw new StoreUnavailable('too many calls wait for PostgreSQL already')
    const query = { name: `portcullis_${name}`, text: statements[name], values: [now?.() ?? null, ...values] }
    try {
      return await pool.query(query)
    } catch (error) {
      if (!options.repeatable || closed || !wasCut(error)) throw unavailable(error)
      return await pool.query(query).catch((again: unknown) => {
        throw unavailable(again)
      })
    }
  }

  function unavailable(error: unknown): unknown {
    const { code } = error as { code?: string }
    // invalid_text_representation, numeric_value_out_of_range: `add` met something that is no number.
    if (code === '22P02' || code === '22003') return error
    if (isLostConnection(error)) pausedUntil = performance.now() + pauseMs
    return new StoreUnavailable(`PostgreSQL: ${messageOf(error)}`, { cause: error })
  }

  async function sweep(): Promise<void> {
    try {
      let more = true
      while (more && !closed) more = (await ask('sweep', [sweepMax], { repeatable: true })).rowCount === sweepMax
    } catch (error) {
      if (!closed) log.warn('ended entries of the store could not be swept', { reason: messageOf(error) })
    }
  }

  try {
    await migrate(pool)
  } catch (error) {
    await pool.end()
    if (error instanceof StoreUnavailable) throw error
    throw new StoreUnavailable(`the store in PostgreSQL cannot be opened: ${messageOf(error)}`, { cause: error })
  }
  const sweeper = setInterval(() => void sweep(), sweepMs * (0.75 + Math.random() / 2)).unref()

  return {
    async get(key) {
      checkKey(key)
      const { rows } = await ask('get', [key], { repeatable: true })
      return rows.length === 0 ? undefined : (JSON.parse(rows[0].value) as Value)
    },
    async put(key: string, value: Value, options: PutOptions = {}) {
      checkKey(key)
      checkPut(options)
      const { onlyIfAbsent = false, onlyIfEquals, ttlMs } = options
      const values: unknown[] = [key, textOf(value), ttlMs === undefined ? null : Math.ceil(ttlMs)]
      let name: 'put' | 'putIfAbsent' | 'putIfEquals' = onlyIfAbsent ? 'putIfAbsent' : 'put'
      if (onlyIfEquals !== undefined) {
        name = 'putIfEquals'
        values.push(textOf(onlyIfEquals))
      }
      const done = (await ask(name, values, { repeatable: name === 'put' })).rowCount === 1
      if (done) changes.tell(key)
      return done
    },
    async delete(key) {
      checkKey(key)
      const done = (await ask('delete', [key], { repeatable: false })).rowCount === 1
      if (done) changes.tell(key)
      return done
    },
    async list(prefix, options): Promise<Entry[]> {
      checkList(prefix, options)
      const { limit, after } = options
      const onward = after !== undefined && compareKeys(after, prefix) >= 0
      const values = [onward ? after : prefix, endOfPrefix(prefix) ?? null, limit]
      const { rows } = await ask(onward ? 'listAfter' : 'list', values, { repeatable: true })
      return rows.map((row) => ({ key: row.key as string, value: JSON.parse(row.value) as Value }))
    },
    async add(key, amount, options = {}) {
      checkKey(key)
      checkPut(options)
      if (!Number.isFinite(amount)) throw badSum(key)
      const { ttlMs } = options
      try {
        const { rows } = await ask('add', [key, amount, ttlMs === undefined ? null : Math.ceil(ttlMs)], {
          repeatable: false,
        })
        return Number(rows[0].value)
      } catch (error) {
        if (error instanceof StoreUnavailable) throw error
        throw badSum(key)
      }
    },
    onChange: changes.listen,
    async ping() {
      await ask('get', ['ping'], { repeatable: true })
    },
    async close() {
      if (closed) return
      closed = true
      clearInterval(sweeper)
      changes.close()
      // A server that says nothing does not hold up the end of the process.
      await Promise.race([pool.end(), sleep(connectMs, undefined, { ref: false })])
    },
  }
}

async function migrate(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await client.query('SELECT pg_advisory_xact_lock($1)', [schemaLock])
    await client.query('CREATE TABLE IF NOT EXISTS portcullis_schema (version integer NOT NULL)')
    const { rows } = await client.query('SELECT max(version) AS version FROM portcullis_schema')
    const version: number = rows[0].version ?? 0
    if (version > schemaVersion) {
      throw new StoreUnavailable(
        `the database was written by a newer Portcullis (store version ${version}, this one knows ${schemaVersion}); use that one, or another database`,
      )
    }
    if (version < schemaVersion) await client.query(schema)
    await client.query('COMMIT')
    client.release()
  } catch (error) {
    client.release(true)
    throw error
  }
}

/** SQLSTATE classes 08 (connection), 57P (shutdown, start-up), 53 (no room); and what the socket says without one. */
function isLostConnection(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  if (typeof code !== 'string') return true
  return /^(08|57P|53)/.test(code) || !/^[0-9A-Z]{5}$/.test(code)
}

/** A connection that worked before and was cut, as by a restart; a new one may well stand at once. */
function wasCut(error: unknown): boolean {
  const { code } = error as { code?: string }
  return code === '57P01' || code === 'ECONNRESET' || code === 'EPIPE' || /terminated/i.test(messageOf(error))
}

const heartbeatMs = 1_000
const retryMsMax = 1_000

/**
 * Keeps one connection on which the server tells of changes. When it is lost anything may have changed since, and
 * nothing will be heard until it stands again: both moments are told as `undefined`. In between, `undefined` is told
 * again and again, so that whatever was cached meanwhile is not believed for long.
 */
function listen(settings: pg.ClientConfig, log: Logger, tell: (key: string | undefined) => void): () => void {
  let stopped = false
  let client: pg.Client | undefined
  let timer: NodeJS.Timeout | undefined
  let retryMs = 100
  let lost = false

  async function connect(): Promise<void> {
    const mine = new pg.Client({ ...settings, query_timeout: heartbeatMs })
    client = mine
    mine.on('error', () => lose(mine))
    mine.on('end', () => lose(mine))
    mine.on('notification', (message) => tell(message.payload))
    try {
      await mine.connect()
      await mine.query(`LISTEN ${channel}`)
      if (stopped || client !== mine) return
      retryMs = 100
      if (lost) log.info('PostgreSQL tells of changes again')
      lost = false
      // Whatever changed before LISTEN took hold.
      tell(undefined)
      beat(mine)
    } catch (error) {
      lose(mine, error)
    }
  }

  /** Finds out about a connection that died without a word, as behind a firewall that forgot it. */
  function beat(mine: pg.Client): void {
    timer = setTimeout(() => {
      mine.query('SELECT 1').then(
        () => client === mine && !stopped && beat(mine),
        (error: unknown) => lose(mine, error),
      )
    }, heartbeatMs).unref()
  }

  function lose(mine: pg.Client, error?: unknown): void {
    if (client !== mine || stopped) return
    client = undefined
    clearTimeout(timer)
    void mine.end().catch(() => {})
    if (!lost)
      log.warn('PostgreSQL cannot tell of changes', {
        reason: error === undefined ? 'connection lost' : messageOf(error),
      })
    lost = true
    tell(undefined)
    timer = setTimeout(() => void connect(), retryMs * (0.75 + Math.random() / 2)).unref()
    retryMs = Math.min(retryMs * 2, retryMsMax)
  }

  void connect()
  return () => {
    stopped = true
    clearTimeout(timer)
    void client?.end().catch(() => {})
  }
}
