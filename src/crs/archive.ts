import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { unpackTar } from 'modern-tar'
import { messageOf } from '../base/errors.ts'

/** A release's files, as far as they are rules: what is kept of its tarball. */
export interface Release {
  /** As the rules themselves say it. */
  readonly version: string
  /** SHA-256 of the tarball. */
  readonly sha256: string
  /** By name without the tarball's top folder: `rules/REQUEST-901-INITIALIZATION.conf`. */
  readonly files: ReadonlyMap<string, Buffer>
}

/** A tarball that is not taken; the message says why. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'
}

/** The CRS 4.28.0 has 0.6 MB, unpacked 5.5 MB in 669 files. */
export const archiveBytesMax = 16 * 1024 * 1024
const unpackedBytesMax = 96 * 1024 * 1024
const fileBytesMax = 8 * 1024 * 1024
const filesMax = 10_000
const nameCharsMax = 200

/** What a gate needs of a release; tests, documents and tools are left behind. */
const kept =
  /^(crs-setup\.conf\.example|LICENSE|rules\/[\w.-]+\.(conf|data)(\.example)?|plugins\/[\w.-]+\.(conf|data))$/

/**
 * Reads a release tarball into memory. Throws `ArchiveError` for anything that does not look like an archive of the
 * CRS: links, devices, paths that lead out, names that stand twice, absurd sizes. Nothing touches the disk.
 */
export async function readArchive(bytes: Buffer): Promise<Release> {
  if (bytes.length > archiveBytesMax) throw new ArchiveError(`the tarball is larger than ${archiveBytesMax} bytes`)
  const entries = await entriesOf(await unzipped(bytes))
  if (entries.length > filesMax) throw new ArchiveError(`the tarball holds more than ${filesMax} entries`)
  const files = new Map<string, Buffer>()
  const names = new Set<string>()
  let top: string | undefined
  for (const { header, data } of entries) {
    const { name, type = 'file', size } = header
    const shown = JSON.stringify(name.slice(0, nameCharsMax))
    if (type !== 'file' && type !== 'directory') throw new ArchiveError(`the tarball holds a ${type}, ${shown}`)
    const path = type === 'directory' ? name.replace(/\/$/, '') : name
    refuseOddName(path, shown)
    const [first, ...rest] = path.split('/')
    top ??= first
    if (first !== top) throw new ArchiveError(`the tarball holds two folders at its top: ${top} and ${first}`)
    if (type === 'directory') continue
    // Names that differ in nothing but case are one file on some disks.
    const folded = path.toLowerCase()
    if (names.has(folded)) throw new ArchiveError(`the tarball holds ${shown} twice`)
    names.add(folded)
    const inside = rest.join('/')
    if (!kept.test(inside)) continue
    if (size > fileBytesMax || data === undefined)
      throw new ArchiveError(`${shown} is larger than ${fileBytesMax} bytes`)
    files.set(inside, Buffer.from(data))
  }
  return { version: versionIn(files), sha256: createHash('sha256').update(bytes).digest('hex'), files }
}

async function unzipped(bytes: Buffer): Promise<Buffer> {
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: unpackedBytesMax })
  } catch (error) {
    const isBomb = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    const reason = isBomb ? `it unpacks to more than ${unpackedBytesMax} bytes` : messageOf(error)
    throw new ArchiveError(`the tarball cannot be unpacked: ${reason}`, { cause: error })
  }
}

async function entriesOf(tar: Buffer) {
  try {
    return await unpackTar(tar, { strict: true })
  } catch (error) {
    throw new ArchiveError(`the tarball cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

function refuseOddName(path: string, shown: string): void {
  const parts = path.split('/')
  const odd =
    path.length > nameCharsMax ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    /[\\\x00-\x1f\x7f:]/.test(path) ||
    parts.some((part) => part === '' || part === '.' || part === '..')
  if (odd) throw new ArchiveError(`the tarball holds a path that is not believed: ${shown}`)
}

function versionIn(files: ReadonlyMap<string, Buffer>): string {
  const init = files.get('rules/REQUEST-901-INITIALIZATION.conf')
  if (init === undefined || !files.has('crs-setup.conf.example')) {
    throw new ArchiveError(
      'the tarball is no OWASP CRS: rules/REQUEST-901-INITIALIZATION.conf or crs-setup.conf.example is missing',
    )
  }
  const found = /^\s*SecComponentSignature\s+"OWASP_CRS\/(\d+\.\d+\.\d+(?:-[\w.]+)?)"/m.exec(init.toString('latin1'))
  if (found === null) throw new ArchiveError('the rules do not say which version they are')
  return found[1]!
}
