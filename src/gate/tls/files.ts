import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes a file so that a reader sees the old or the new one, whole. Secrets are for the owner's eyes only. */
export async function writeFileWhole(file: string, text: string, mode: 0o600 | 0o644): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  const handle = await open(draft, 'wx', mode)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
}

/** The text of a file, `undefined` when there is none. */
export async function readFileIfAny(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

const beatMs = 5_000
/** A lock that nobody has touched for so long belongs to a process that is gone. */
const staleMs = 30_000
const lookMs = 100

/** Runs `work` in one process at a time, among all that share the directory. Waits; takes over from the dead. */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const done = await withLockIfFree(file, work)
    if (done !== undefined) return done.value
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}

/** The same without waiting: `undefined` when another process is at it. */
export async function withLockIfFree<T>(
  file: string,
  work: () => Promise<T>,
): Promise<{ readonly value: T } | undefined> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const mine = `${process.pid} ${randomBytes(8).toString('hex')}`
  if (!(await take(file, mine))) return undefined
  const beat = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => {}), beatMs).unref()
  try {
    return { value: await work() }
  } finally {
    clearInterval(beat)
    if ((await readFileIfAny(file)) === mine) await rm(file, { force: true })
  }
}

async function take(file: string, mine: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx', 0o600)
    await handle.writeFile(mine)
    await handle.close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  try {
    const { mtimeMs } = await stat(file)
    if (Date.now() - mtimeMs > staleMs) {
      // Moved first: of two that find it stale, one moves it and the other finds nothing.
      const aside = `${file}.${randomBytes(6).toString('hex')}`
      await rename(file, aside)
      await rm(aside, { force: true })
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return false
}
