import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { ConfigError, messageOf } from '../base/errors.ts'

/** What `waf.lock.json` says of one version. */
export type LockedVersion = z.output<typeof lockedVersion>

/** `waf.lock.json`: which rules are in force, and the digest of each of their files. */
export type LockFile = z.output<typeof lockFile>

/** How the files on disk compare with what the lock says of them. Names count from the version's folder. */
export interface LockReport {
  readonly version: string
  /** Where the rules lie. */
  readonly directory: string
  readonly entry: LockedVersion
  readonly changed: readonly string[]
  readonly missing: readonly string[]
  readonly added: readonly string[]
}

export const lockName = 'waf.lock.json'
const lockBytesMax = 4 * 1024 * 1024
const filesMax = 5_000

const digest = z.string().regex(/^[0-9a-f]{64}$/)
/** A folder beside the lock: never a path. */
const folder = z.string().regex(/^[0-9A-Za-z][\w.+-]{0,99}$/)
const version = z.string().regex(/^\d+\.\d+\.\d+(-[\w.]+)?$/)

const lockedVersion = z.strictObject({
  folder,
  /** Where the tarball came from: a URL or a file name. */
  source: z.string(),
  /** SHA-256 of the tarball. */
  sha256: digest,
  /** Whether this program knew that digest beforehand, beside the signature. */
  pinned: z.boolean(),
  signature: z.strictObject({ key: z.string(), signer: z.string(), createdAt: z.iso.datetime() }),
  installedAt: z.iso.datetime(),
  files: z.record(z.string(), digest),
})

const lockFile = z.strictObject({
  lock: z.literal(1),
  /** What `portcullis waf update` follows: `4.25` takes 4.25.1 and 4.25.2, `4` takes 4.26.0. */
  line: z.string().regex(/^\d+(\.\d+){0,2}$/),
  current: version,
  previous: version.optional(),
  versions: z.record(version, lockedVersion),
})

/** The lock of a folder of installed rules; `undefined` where nothing is installed. Throws where it cannot be read. */
export async function readLock(directory: string): Promise<LockFile | undefined> {
  const file = join(directory, lockName)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new ConfigError('P1513', `${file} cannot be read: ${messageOf(error)}`, { cause: error })
  }
  try {
    if (text.length > lockBytesMax) throw new Error('it is too large')
    const lock = lockFile.parse(JSON.parse(text))
    for (const name of [lock.current, lock.previous]) {
      if (name !== undefined && lock.versions[name] === undefined) throw new Error(`it does not list ${name}`)
    }
    return lock
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : messageOf(error)
    throw new ConfigError('P1513', `${file} is no lock file: ${reason}`, {
      hint: '`portcullis waf install` writes it anew',
      cause: error,
    })
  }
}

/** Puts a new lock in the place of the old one: whoever reads finds one or the other, whole, whatever happens. */
export async function writeLock(directory: string, lock: LockFile): Promise<void> {
  const draft = join(directory, `.${lockName}.${process.pid}`)
  await writeThrough(draft, Buffer.from(`${JSON.stringify(lock, null, 2)}\n`))
  await rename(draft, join(directory, lockName))
  await syncDirectory(directory)
}

/** Compares the rules in force, or another version, with the lock. `undefined` where nothing is installed. */
export async function verifyLock(directory: string, wanted?: string): Promise<LockReport | undefined> {
  const lock = await readLock(directory)
  if (lock === undefined) return undefined
  const name = wanted ?? lock.current
  const entry = lock.versions[name]
  if (entry === undefined) throw new ConfigError('P1513', `${join(directory, lockName)} does not list ${name}`)
  const found = await filesBelow(join(directory, entry.folder))
  const listed = Object.keys(entry.files)
  const changed: string[] = []
  for (const file of listed) {
    if (!found.has(file)) continue
    // Anything but a file in a file's place is a change, whatever it leads to.
    const same = found.get(file) && (await digestOf(join(directory, entry.folder, file))) === entry.files[file]
    if (!same) changed.push(file)
  }
  return {
    version: name,
    directory: join(directory, entry.folder),
    entry,
    changed,
    missing: listed.filter((file) => !found.has(file)),
    added: [...found.keys()].filter((file) => !Object.hasOwn(entry.files, file)).sort(),
  }
}

/** Whether everything is as the lock says. */
export function isIntact({ changed, missing, added }: LockReport): boolean {
  return changed.length + missing.length + added.length === 0
}

/** What differs, in words: `changed rules/a.conf; missing rules/b.data`. */
export function differences(report: LockReport): string {
  const few = (files: readonly string[]) =>
    files.length <= 5 ? files.join(', ') : `${files.slice(0, 5).join(', ')} and ${files.length - 5} more`
  return (['changed', 'missing', 'added'] as const)
    .filter((kind) => report[kind].length > 0)
    .map((kind) => `${kind} ${few(report[kind])}`)
    .join('; ')
}

/** Every entry below a folder, and whether it is a plain file. Folders themselves are not named. */
async function filesBelow(directory: string): Promise<Map<string, boolean>> {
  const found = new Map<string, boolean>()
  async function walk(prefix: string): Promise<void> {
    const entries = await readdir(join(directory, prefix), { withFileTypes: true }).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw new ConfigError('P1513', `the installed rules cannot be read: ${messageOf(error)}`, { cause: error })
    })
    for (const entry of entries) {
      const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`
      if (entry.isDirectory()) await walk(name)
      else found.set(name, entry.isFile())
      if (found.size > filesMax) throw new ConfigError('P1513', `${directory} holds more than ${filesMax} files`)
    }
  }
  await walk('')
  return found
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

/** Writes a file and waits until the disk has it. */
export async function writeThrough(file: string, content: Buffer): Promise<void> {
  const handle = await open(file, 'w', 0o644)
  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Waits until the disk has a folder's list of names. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
