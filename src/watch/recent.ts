import { mkdirSync, readdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { safeJson } from '../traffic/line.ts'
import type { Passage } from '../traffic/passage.ts'
import type { TrafficRecord } from '../traffic/record.ts'

/** What the operator gets to know about one exchange: its record, and what only he may read. */
export interface Explained {
  readonly record: TrafficRecord
  /** What the caller was told. */
  readonly detail: string | undefined
  /** Refusals that `observe` let pass, with their evidence. */
  readonly observed: readonly { readonly code: string; readonly evidence?: unknown }[]
}

/** The exchanges of late that were refused, observed or faulted. Bounded by number and by size. */
export interface Recent {
  /** Keeps an exchange; `line` is its masked record as written to the activity log. */
  readonly add: (passage: Passage, line: string) => void
  readonly find: (id: string) => Explained | undefined
  /** The latest first. */
  readonly list: (limit: number) => readonly Explained[]
  /** Writes what is kept to `<directory>/recent-<pid>.ndjson` for `explain` after a restart. */
  readonly save: (directory: string) => void
}

interface Kept {
  readonly id: string
  readonly line: string
  readonly detail: string | undefined
  /** JSON, masked. */
  readonly observed: string
  readonly bytes: number
}

/** How many files of earlier runs are left standing. */
const filesMax = 8

/** A ring of explanations. When it is full the oldest goes. */
export function createRecent({ entriesMax = 10_000, bytesMax = 16 * 1024 * 1024 } = {}): Recent {
  // A plain ring, searched from its end when somebody asks: an index by id would cost every refusal 0.4 µs, and
  // people ask seldom.
  const ring: (Kept | undefined)[] = []
  let oldest = 0
  let count = 0
  let bytes = 0

  const dropOldest = () => {
    const entry = ring[oldest]!
    ring[oldest] = undefined
    oldest = (oldest + 1) % entriesMax
    count--
    bytes -= entry.bytes
  }
  const inOrder = function* () {
    for (let i = 0; i < count; i++) yield ring[(oldest + i) % entriesMax]!
  }
  return {
    add(passage, line) {
      const observed =
        passage.observed.length === 0
          ? '[]'
          : (safeJson(passage.observed.map(({ code, evidence }) => ({ code, evidence }))) ?? '[]')
      const entry: Kept = {
        id: passage.id,
        line,
        detail: passage.denial?.detail,
        observed,
        // Two bytes a character at worst, and the entry itself.
        bytes: (line.length + observed.length) * 2 + 200,
      }
      if (count === entriesMax) dropOldest()
      ring[(oldest + count) % entriesMax] = entry
      count++
      bytes += entry.bytes
      while (bytes > bytesMax && count > 0) dropOldest()
    },
    find(id) {
      for (let i = count - 1; i >= 0; i--) {
        const entry = ring[(oldest + i) % entriesMax]!
        if (entry.id === id) return explained(entry)
      }
      return undefined
    },
    list: (limit) => [...inOrder()].slice(-limit).reverse().map(explained),
    save(directory) {
      if (count === 0) return
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      const lines = Array.from(
        inOrder(),
        (entry) =>
          `{"record":${entry.line}${entry.detail === undefined ? '' : `,"detail":${JSON.stringify(entry.detail)}`},"observed":${entry.observed}}\n`,
      )
      writeFileSync(join(directory, `recent-${process.pid}.ndjson`), lines.join(''), { mode: 0o600 })
      for (const name of savedFiles(directory).slice(filesMax)) unlinkSync(join(directory, name))
    },
  }
}

/** Names of the files that `save` wrote, the newest first. */
export function savedFiles(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /^recent-\d+\.ndjson$/.test(name))
      .map((name) => ({ name, at: statSync(join(directory, name)).mtimeMs }))
      .sort((a, b) => b.at - a.at)
      .map(({ name }) => name)
  } catch {
    return []
  }
}

function explained({ line, detail, observed }: Kept): Explained {
  return { record: JSON.parse(line), detail, observed: JSON.parse(observed) }
}
