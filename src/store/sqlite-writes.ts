import type { DatabaseSync } from 'node:sqlite'

/** One change to the store, complete and plain, so that it can be sent to the thread that writes. */
export type Write =
  | {
      readonly kind: 'put'
      readonly key: string
      readonly text: string
      readonly expiresAt: number | null
      readonly onlyIfAbsent: boolean
      readonly onlyIfText: string | undefined
      readonly now: number
    }
  | { readonly kind: 'delete'; readonly key: string; readonly now: number }
  | {
      readonly kind: 'add'
      readonly key: string
      readonly amount: number
      readonly expiresAt: number | null
      readonly now: number
    }
  | { readonly kind: 'sweep'; readonly now: number; readonly limit: number }

/** Whether it was written, the sum, or how many were swept; `undefined`: no number to add to. */
export type Outcome = boolean | number | undefined

/** How many changes are remembered for other processes; one that falls further behind is told of all. */
const changesKept = 8192

/** Does all of `writes` in one transaction, hence with one wait for the disk; throws when none of them was done. */
export function createApply(database: DatabaseSync): (writes: readonly Write[]) => Outcome[] {
  const ended = '(expires_at IS NOT NULL AND expires_at <= ?)'
  const upsert = database.prepare(
    `INSERT INTO entries (key, value, expires_at) VALUES (?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
  )
  const insert = database.prepare(
    `INSERT INTO entries (key, value, expires_at) VALUES (?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at WHERE ${ended}`,
  )
  const exchange = database.prepare(
    `UPDATE entries SET value = ?, expires_at = ? WHERE key = ? AND value = ? AND NOT ${ended}`,
  )
  const remove = database.prepare(`DELETE FROM entries WHERE key = ? AND NOT ${ended}`)
  const current = database.prepare(`SELECT value, expires_at FROM entries WHERE key = ? AND NOT ${ended}`)
  const sweep = database.prepare(
    `DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
  )
  const changed = database.prepare('INSERT INTO changes (key) VALUES (?)')
  const forget = database.prepare('DELETE FROM changes WHERE seq <= ?')
  const begin = database.prepare('BEGIN IMMEDIATE')
  const commit = database.prepare('COMMIT')

  function note(key: string, done: boolean): boolean {
    if (!done) return false
    const seq = Number(changed.run(key).lastInsertRowid)
    if (seq % 1024 === 0) forget.run(seq - changesKept)
    return true
  }

  function apply(write: Write): Outcome {
    switch (write.kind) {
      case 'put': {
        const { key, text, expiresAt, now } = write
        if (write.onlyIfAbsent) return note(key, insert.run(key, text, expiresAt, now).changes === 1)
        if (write.onlyIfText !== undefined) {
          return note(key, exchange.run(text, expiresAt, key, write.onlyIfText, now).changes === 1)
        }
        return note(key, upsert.run(key, text, expiresAt).changes === 1)
      }
      case 'delete':
        return note(write.key, remove.run(write.key, write.now).changes === 1)
      case 'add': {
        const row = current.get(write.key, write.now)
        const before: unknown = row === undefined ? 0 : JSON.parse(row.value as string)
        const sum = typeof before === 'number' ? before + write.amount : Number.NaN
        if (!Number.isFinite(sum)) return undefined
        const expiresAt = row === undefined ? write.expiresAt : (row.expires_at as number | null)
        upsert.run(write.key, JSON.stringify(sum), expiresAt)
        return sum
      }
      case 'sweep':
        return Number(sweep.run(write.now, write.limit).changes)
    }
  }

  return (writes) => {
    begin.run()
    try {
      const outcomes = writes.map(apply)
      commit.run()
      return outcomes
    } catch (error) {
      // A full disk may have rolled back already (SQLite, lang_transaction 2).
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  }
}
