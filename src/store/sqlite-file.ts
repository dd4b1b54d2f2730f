import { closeSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Logger } from '../base/log.ts'
import { StoreUnavailable } from './store.ts'

/** `PCLS`: tells our files from other people's databases (SQLite file format, 1.3.16). */
const applicationId = 0x50434c53

/** One step a version; never changed once released. `PRAGMA user_version` counts those that ran. */
const migrations: readonly string[] = [
  `CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at INTEGER) STRICT, WITHOUT ROWID;
   CREATE INDEX entries_by_end ON entries (expires_at) WHERE expires_at IS NOT NULL;
   CREATE TABLE changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL) STRICT;`,
]

/**
 * Opens a connection to a store's file with the settings every connection needs. WAL lets readers go on while another
 * process writes; `synchronous = FULL` makes a commit wait until the log is on the disk, so that what was
 * acknowledged survives a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous).
 */
export function connect(file: string, busyMs: number): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: busyMs })
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;')
  } catch (error) {
    database.close()
    throw error
  }
  return database
}

/** Makes the file where it is missing, readable by its owner alone; SQLite gives its log the same mode. */
export function createFile(file: string, log: Logger): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  closeSync(openSync(file, 'a', 0o600))
  const others = statSync(file).mode & 0o077
  if (others !== 0 && process.platform !== 'win32') {
    log.warn('the store is open to other users of this machine', { file, hint: `chmod 600 ${file}` })
  }
}

/** Brings the tables to this program's version, once, however many processes start at the same time. */
export function migrate(database: DatabaseSync, file: string): void {
  const known = migrations.length
  if (pragma(database, 'user_version') === known && pragma(database, 'application_id') === applicationId) return
  database.exec('BEGIN IMMEDIATE')
  try {
    const version = pragma(database, 'user_version')
    const owner = pragma(database, 'application_id')
    const tables = database.prepare(`SELECT count(*) AS n FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'`).get()!.n
    if (owner !== applicationId && (owner !== 0 || tables !== 0)) {
      throw new StoreUnavailable(`${file} is a database of another program; name another file in store.url`)
    }
    if (version > known) {
      throw new StoreUnavailable(
        `${file} was written by a newer Portcullis (store version ${version}, this one knows ${known}); use that one, or another file`,
      )
    }
    for (const step of migrations.slice(version)) database.exec(step)
    database.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${known}; COMMIT`)
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()![name])
}
