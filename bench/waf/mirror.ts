import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/*
 * Corpora are other people's work under other people's licences: none of it is in this repository. A clone of each stands in one folder,
 * `owner+name/repo`, with or without a work tree; what is absent is left out of the measure and named.
 *
 *   git clone --bare https://github.com/<owner>/<name> <folder>/<owner>+<name>/repo
 */
const folder = process.env.PORTCULLIS_CORPORA ?? join(import.meta.dirname, '../../../.mirror')

/** A clone of a public repository, read without a work tree. */
export interface Mirror {
  readonly name: string
  readonly commit: string
  /** Paths in the newest commit that pass the test, in order. */
  files(wanted: RegExp): readonly string[]
  /** A file's text, each char one byte; empty where a partial clone lacks it. */
  read(path: string): string
  /** The texts of all files whose path passes the test, in order. */
  readAll(wanted: RegExp): readonly string[]
}

/** Opens a clone, or says by `undefined` that it is not there. */
export function openMirror(name: string): Mirror | undefined {
  const base = join(folder, name.replace('/', '+'), 'repo')
  const directory = existsSync(join(base, '.git')) ? join(base, '.git') : base
  if (!existsSync(directory)) return undefined
  const git = (...args: string[]) =>
    spawnSync('git', ['-C', directory, ...args], { encoding: 'latin1', maxBuffer: 1 << 30 }).stdout
  const commit = git('rev-parse', '--short', 'HEAD').trim()
  let listed: readonly string[] | undefined
  const list = () => {
    listed ??= git('-c', 'core.quotePath=off', 'ls-tree', '-r', '-z', '--name-only', 'HEAD').split('\0')
    return listed
  }
  return {
    name,
    commit,
    files: (wanted) => list().filter((path) => wanted.test(path)),
    read: (path) => git('cat-file', 'blob', `HEAD:${path}`),
    readAll: (wanted) =>
      readBlobs(
        directory,
        list().filter((path) => wanted.test(path)),
      ),
  }
}

/** One process for any number of files. */
function readBlobs(directory: string, paths: readonly string[]): readonly string[] {
  const input = paths.map((path) => `HEAD:${path}\n`).join('')
  const { stdout } = spawnSync('git', ['-C', directory, 'cat-file', '--batch'], { input, maxBuffer: 1 << 30 })
  const texts: string[] = []
  for (let at = 0; texts.length < paths.length; ) {
    const end = stdout.indexOf(10, at)
    if (end === -1) break
    // `<id> blob <size>`, or `<name> missing`.
    const size = / blob (\d+)$/.exec(stdout.toString('latin1', at, end))?.[1]
    const length = Number(size ?? 0)
    texts.push(stdout.toString('latin1', end + 1, end + 1 + length))
    at = end + 1 + (size === undefined ? 0 : length + 1)
  }
  return texts
}

/** The lines of a text that say something. */
export function linesOf(text: string): readonly string[] {
  return text.split(/\r?\n/).filter((line) => line.trim() !== '')
}

/** So many of a list, spread evenly. */
export function evenly<T>(list: readonly T[], max: number): readonly T[] {
  if (list.length <= max) return list
  return Array.from({ length: max }, (_, index) => list[Math.floor((index * list.length) / max)]!)
}
