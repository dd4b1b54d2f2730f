import { type FSWatcher, watch as watchDirectory } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'

export interface WatchOptions {
  /** How long the files must be quiet before a change counts as settled. */
  readonly settleMs?: number
  /** How often the files are looked at where no event tells of a change (network file systems, containers). */
  readonly pollMs?: number
  /** How long a file that vanished may take to come back: editors and deployments delete before they write. */
  readonly absentMs?: number
}

export interface Watch {
  /** Watches these files from now on, in place of the ones before. Existing or not. */
  update(files: readonly string[]): void
  /** Resolves when the files named last are being watched: what changes after it is seen. */
  ready(): Promise<void>
  close(): void
}

/**
 * Calls `onChange` once for each settled change of any of the files. The folders are watched, not the files, so that an
 * editor's rename and the swap of a Kubernetes ConfigMap (a symbolic link to a folder) are seen; a slow look at the
 * files themselves catches what no event tells.
 */
export function watchFiles(files: readonly string[], onChange: () => void, options: WatchOptions = {}): Watch {
  const { settleMs = 150, pollMs = 5_000, absentMs = 1_000 } = options
  let watched: readonly string[] = []
  let known = new Map<string, string>()
  /** Counts `update`, so that a look that began before it says nothing of the new files. */
  let generation = 0
  let folders = new Map<string, FSWatcher>()
  let names: ReadonlyMap<string, ReadonlySet<string>> = new Map()
  let settling: NodeJS.Timeout | undefined
  let closed = false

  const settle = (delayMs: number) => {
    clearTimeout(settling)
    settling = setTimeout(() => void look(undefined, 0), delayMs)
  }

  /** Compares with what is known, until two looks in a row see the same. */
  const look = async (before: Map<string, string> | undefined, waitedMs: number): Promise<void> => {
    const at = generation
    const now = await signatures(watched)
    if (closed || at !== generation) return
    if (same(now, known)) return
    const lost = [...now].some(([file, signature]) => signature === absent && known.get(file) !== absent)
    const settled = before !== undefined && same(before, now)
    if (settled && (!lost || waitedMs >= absentMs)) {
      known = now
      await followFolders()
      if (!closed && at === generation) onChange()
      return
    }
    clearTimeout(settling)
    settling = setTimeout(() => void look(now, waitedMs + settleMs), settleMs)
  }

  /** Watches the folders the files lie in, and those that symbolic links lead to. */
  const followFolders = async () => {
    const at = generation
    const wanted = await foldersOf(watched)
    if (closed || at !== generation) return
    names = wanted
    const next = new Map<string, FSWatcher>()
    for (const folder of wanted.keys()) {
      const kept = folders.get(folder)
      folders.delete(folder)
      const watcher =
        kept ??
        tryWatch(folder, (name) => {
          // A busy folder (logs beside the configuration) must not keep the files from ever being quiet.
          if (name === undefined || names.get(folder)?.has(name) || name.startsWith('..')) settle(settleMs)
        })
      if (watcher !== undefined) next.set(folder, watcher)
    }
    for (const watcher of folders.values()) watcher.close()
    folders = next
  }

  let ready: Promise<void> = Promise.resolve()
  const update = (next: readonly string[]) => {
    generation++
    watched = [...new Set(next.map((file) => resolve(file)))].sort()
    ready = begin(generation)
  }

  const begin = async (at: number) => {
    const before = known
    const now = await signatures(watched)
    await followFolders()
    if (closed || at !== generation) return
    // A file that was known and changed while the list was being replaced is still a change.
    known = new Map([...now].map(([file, signature]) => [file, before.get(file) ?? signature]))
    settle(0)
  }

  update(files)
  const poll = setInterval(() => void look(undefined, 0), pollMs)
  poll.unref()
  return {
    update,
    ready: () => ready,
    close() {
      closed = true
      clearInterval(poll)
      clearTimeout(settling)
      for (const watcher of folders.values()) watcher.close()
    },
  }
}

const absent = 'absent'

/** What tells two states of a file apart: where a path leads, which file it is, its size and times. */
async function signatures(files: readonly string[]): Promise<Map<string, string>> {
  const found = await Promise.all(
    files.map(async (file): Promise<[string, string]> => {
      try {
        const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
        return [file, `${ino} ${size} ${mtimeNs} ${ctimeNs}`]
      } catch {
        return [file, absent]
      }
    }),
  )
  return new Map(found)
}

function same(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([file, signature]) => b.get(file) === signature)
}

/** By folder, the names in it that matter. */
async function foldersOf(files: readonly string[]): Promise<Map<string, Set<string>>> {
  const folders = new Map<string, Set<string>>()
  const add = (file: string) => {
    const folder = dirname(file)
    folders.set(folder, (folders.get(folder) ?? new Set()).add(basename(file)))
  }
  for (const file of files) {
    add(file)
    try {
      add(await realpath(file))
    } catch {
      // Not there (yet): its folder tells when it comes.
    }
  }
  return folders
}

/** A folder that cannot be watched (gone, or too many watches) is left to the slow look. */
function tryWatch(folder: string, onEvent: (name: string | undefined) => void): FSWatcher | undefined {
  try {
    const watcher = watchDirectory(folder, { persistent: false }, (_event, name) => onEvent(name ?? undefined))
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}
