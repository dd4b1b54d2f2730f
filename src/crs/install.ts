import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { ArchiveError, archiveBytesMax, type Release, readArchive } from './archive.ts'
import { DownloadError, download } from './download.ts'
import {
  differences,
  isIntact,
  type LockedVersion,
  type LockFile,
  lockName,
  readLock,
  syncDirectory,
  verifyLock,
  writeLock,
  writeThrough,
} from './lock.ts'
import { type GoodSignature, type PublicKey, readPublicKey, SignatureError, spaced, verifyDetached } from './openpgp.ts'
import {
  assetName,
  compareVersions,
  defaultVersion,
  isOfLine,
  pinnedDigests,
  type ReleaseSite,
  releaseKeyFingerprint,
  releaseSite,
  versionsIn,
} from './releases.ts'

/** Rules were not installed; what was in force before still is. */
export class InstallError extends Error {
  override readonly name = 'InstallError'
}

/** Where rules are installed and whom they are believed from. */
export interface Supply {
  /** The folder of `waf.lock.json`. */
  readonly directory: string
  /** A site laid out like GitHub's downloads, in place of GitHub. */
  readonly mirror?: string | undefined
  /** The key that must have signed, in place of the CRS project's; armored or binary. */
  readonly key?: Buffer | undefined
  readonly now: () => number
  /** Tells the person at the terminal what is being done. */
  readonly say: (text: string) => void
  /** Loads the rules of a folder as the gate would. Throws where that fails: they are not put in force then. */
  readonly check: (directory: string) => Promise<void>
  /** Told before each change on the disk. For tests that end the process there. */
  readonly onStep?: (step: string) => void
}

export interface Change {
  readonly version: string
  readonly previous: string | undefined
  /** False: these very rules were in force already, and whole. */
  readonly changed: boolean
  readonly entry: LockedVersion
}

/** A tarball on disk with its detached signature. */
export interface LocalTarball {
  readonly file: string
  readonly signature: string
}

/** Installs a version (`4.28.0`), the newest of a line (`4.25`, `4`), or what a file holds, and puts it in force. */
export async function install(
  wanted: string | undefined,
  from: LocalTarball | undefined,
  supply: Supply,
): Promise<Change> {
  const site = siteOf(supply)
  if (from !== undefined) return putInForce(await fromFile(from, wanted, supply), lineOf(wanted), supply)
  const version = await chosenVersion(wanted ?? defaultVersion, site, supply)
  return putInForce(await fromSite(version, site, supply), lineOf(wanted), supply)
}

/** Goes to the newest version of the line that is followed, or of another one; never back. */
export async function update(
  line: string | undefined,
  from: LocalTarball | undefined,
  supply: Supply,
): Promise<Change> {
  const lock = await needLock(supply.directory)
  const followed = line ?? lock.line
  const site = siteOf(supply)
  if (from !== undefined) {
    const verified = await fromFile(from, undefined, supply)
    refuseOlder(verified.release.version, lock.current)
    return putInForce(verified, followed, supply)
  }
  const newest = (await releasedVersions(site, supply)).find((version) => isOfLine(version, followed))
  if (newest === undefined) throw new InstallError(`there is no release of the line ${followed} at ${site.index}`)
  // An index that is old, or made to look old, must not take rules away.
  refuseOlder(newest, lock.current)
  if (newest === lock.current && followed === lock.line) {
    const report = await verifyLock(supply.directory)
    if (report !== undefined && isIntact(report)) {
      return { version: newest, previous: lock.previous, changed: false, entry: report.entry }
    }
  }
  return putInForce(await fromSite(newest, site, supply), followed, supply)
}

/** Puts the version before in force again; a second time undoes the first. */
export async function rollback({ directory, onStep }: Pick<Supply, 'directory' | 'onStep'>): Promise<Change> {
  const lock = await needLock(directory)
  if (lock.previous === undefined) throw new InstallError('there is no version before this one to go back to')
  const report = await verifyLock(directory, lock.previous)
  if (report === undefined || !isIntact(report)) {
    const reason = report === undefined ? 'it is gone' : differences(report)
    throw new InstallError(
      `${lock.previous} cannot be put in force: its files are not those that were installed (${reason})`,
    )
  }
  onStep?.('lock')
  await writeLock(directory, { ...lock, current: lock.previous, previous: lock.current })
  return { version: lock.previous, previous: lock.current, changed: true, entry: report.entry }
}

/** Where releases come from; a password in a URL would stand in the lock, in messages and in the list of processes. */
function siteOf({ mirror }: Supply): ReleaseSite {
  const url = mirror === undefined ? undefined : URL.parse(mirror)
  if (url === null) throw new InstallError('the mirror is no URL')
  if (url !== undefined && (url.username !== '' || url.password !== '' || url.search !== '')) {
    throw new InstallError('a mirror is named without user, password and query: what is fetched is checked, not secret')
  }
  return releaseSite(mirror)
}

interface Verified {
  readonly release: Release
  readonly signature: GoodSignature
  readonly source: string
  readonly pinned: boolean
}

async function fromFile(
  { file, signature }: LocalTarball,
  wanted: string | undefined,
  supply: Supply,
): Promise<Verified> {
  const tarball = await readBounded(file)
  const detached = await readBounded(signature).catch((error: unknown) => {
    throw new InstallError(`the signature cannot be read: ${messageOf(error)}. \`--signature FILE\` names another.`)
  })
  const key = await publicKey(undefined, supply)
  const verified = await believe(tarball, detached, key, file, supply)
  const { version } = verified.release
  if (wanted !== undefined && !isOfLine(version, wanted)) {
    throw new InstallError(`${file} holds version ${version}, not ${wanted}`)
  }
  return verified
}

async function fromSite(version: string, site: ReleaseSite, supply: Supply): Promise<Verified> {
  const url = site.tarball(version)
  supply.say(`Fetching ${url}`)
  const get = (place: string, bytesMax: number) => download(place, { bytesMax, timeoutMs: 120_000, hosts: site.hosts })
  let tarball: Buffer
  try {
    tarball = await get(url, archiveBytesMax)
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error
    if (error.missing) throw new InstallError(`there is no release ${version}: ${error.message}`)
    throw new InstallError(`${error.message}. \`--from FILE\` takes a release from the disk.`, { cause: error })
  }
  const detached = await get(`${url}.asc`, 64 * 1024)
  const verified = await believe(tarball, detached, await publicKey(site, supply), url, supply)
  // A signature says nothing of the name: an old release under a new one's name would pass for it.
  if (verified.release.version !== version) {
    throw new InstallError(`${url} holds version ${verified.release.version}, not ${version}`)
  }
  return verified
}

/** Digest where it is known, signature always; only then is the tarball unpacked. */
async function believe(
  tarball: Buffer,
  detached: Buffer,
  key: PublicKey,
  source: string,
  supply: Supply,
): Promise<Verified> {
  let signature: GoodSignature
  try {
    signature = verifyDetached(tarball, detached, key, supply.now())
  } catch (error) {
    if (error instanceof SignatureError)
      throw new InstallError(`${source} is not believed: ${error.message}`, { cause: error })
    throw error
  }
  const release = await readArchive(tarball).catch((error: unknown) => {
    if (error instanceof ArchiveError) throw new InstallError(`${source}: ${error.message}`, { cause: error })
    throw error
  })
  const { version, sha256 } = release
  const expected = pinnedDigests[version]
  const isAsset = basename(source) === assetName(version)
  if (expected !== undefined && isAsset && key.fingerprint === releaseKeyFingerprint && sha256 !== expected) {
    throw new InstallError(`${source} has the SHA-256 ${sha256}; the release ${version} has ${expected}`)
  }
  supply.say(
    `Version ${version}, signed ${new Date(signature.createdAt).toISOString().slice(0, 10)} with the key ${spaced(key.fingerprint)}.`,
  )
  return { release, signature, source, pinned: expected === sha256 }
}

/** The key that signs: the one that was given, the one that was believed before, or the one published by the project. */
async function publicKey(site: ReleaseSite | undefined, supply: Supply): Promise<PublicKey> {
  if (supply.key !== undefined) return readKey(supply.key, 'the key')
  const kept = keyFile(supply.directory)
  const known = await readFile(kept).catch(() => undefined)
  if (known !== undefined) return expected(readKey(known, kept), kept)
  if (site === undefined) {
    throw new InstallError(
      `the public key of the CRS project is not known here yet: \`--key FILE\` names it (https://coreruleset.org/security.asc, ${spaced(releaseKeyFingerprint)})`,
    )
  }
  const bytes = await download(site.key, { bytesMax: 256 * 1024, timeoutMs: 30_000, hosts: [] })
  const key = expected(readKey(bytes, site.key), site.key)
  await mkdir(supply.directory, { recursive: true })
  await writeThrough(kept, bytes)
  return key
}

/** The CRS project's public key, once fetched. It is believed for its fingerprint alone, each time it is read. */
function keyFile(directory: string): string {
  return join(directory, 'release-key.asc')
}

function readKey(bytes: Buffer, where: string): PublicKey {
  try {
    return readPublicKey(bytes)
  } catch (error) {
    if (error instanceof SignatureError) throw new InstallError(`${where}: ${error.message}`, { cause: error })
    throw error
  }
}

function expected(key: PublicKey, where: string): PublicKey {
  if (key.fingerprint === releaseKeyFingerprint) return key
  throw new InstallError(
    `${where} holds the key ${spaced(key.fingerprint)}; the CRS project signs with ${spaced(releaseKeyFingerprint)}`,
  )
}

async function chosenVersion(wanted: string, site: ReleaseSite, supply: Supply): Promise<string> {
  if (/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(wanted)) return wanted
  if (!/^\d+(\.\d+)?$/.test(wanted))
    throw new InstallError(`${wanted} is no version: 4.28.0, or a line such as 4.25 or 4`)
  const newest = (await releasedVersions(site, supply)).find((version) => isOfLine(version, wanted))
  if (newest === undefined) throw new InstallError(`there is no release of the line ${wanted} at ${site.index}`)
  return newest
}

async function releasedVersions(site: ReleaseSite, supply: Supply): Promise<string[]> {
  supply.say(`Looking for releases at ${new URL(site.index).host}`)
  const bytes = await download(site.index, { bytesMax: 8 * 1024 * 1024, timeoutMs: 30_000, hosts: site.hosts })
  try {
    return versionsIn(bytes.toString('utf8'))
  } catch (error) {
    throw new InstallError(`${site.index} is no list of releases`, { cause: error })
  }
}

/** What `update` follows from then on: a line that was named, else the patches of one version. */
function lineOf(wanted: string | undefined): string | undefined {
  return wanted !== undefined && /^\d+(\.\d+)?$/.test(wanted) ? wanted : undefined
}

/**
 * Writes a release beside what is there and then changes the lock, in one step that either happened or did not. Ended
 * at any moment, the old rules are in force and whole; what lies about is cleared away by the next change.
 */
async function putInForce(verified: Verified, line: string | undefined, supply: Supply): Promise<Change> {
  const { directory } = supply
  const { release, signature, source, pinned } = verified
  const { version } = release
  await mkdir(directory, { recursive: true })
  const old = await readLock(directory).catch(() => undefined)
  const inForce = old === undefined ? undefined : await verifyLock(directory).catch(() => undefined)
  const follows = line ?? version.split('.').slice(0, 2).join('.')
  if (
    old !== undefined &&
    inForce?.version === version &&
    inForce.entry.sha256 === release.sha256 &&
    isIntact(inForce)
  ) {
    if (old.line !== follows) await writeLock(directory, { ...old, line: follows })
    return { version, previous: old.previous, changed: false, entry: inForce.entry }
  }
  const folder = await freeName(directory, version)
  const staging = join(directory, `.new-${randomBytes(6).toString('hex')}`)
  try {
    await writeFiles(staging, release.files, supply.onStep)
    await supply.check(staging).catch((error: unknown) => {
      throw new InstallError(`version ${version} is genuine, but cannot be loaded here: ${messageOf(error)}`, {
        cause: error,
      })
    })
    supply.onStep?.('rename')
    await rename(staging, join(directory, folder))
    await syncDirectory(directory)
  } catch (error) {
    await rm(staging, { recursive: true, force: true })
    throw error
  }
  const entry: LockedVersion = {
    folder,
    source,
    sha256: release.sha256,
    pinned,
    signature: {
      key: signature.fingerprint,
      signer: signature.signer,
      createdAt: new Date(signature.createdAt).toISOString(),
    },
    installedAt: new Date(supply.now()).toISOString(),
    files: Object.fromEntries([...release.files].map(([name, content]) => [name, sha256Of(content)])),
  }
  // Mending the version in force leaves the one before it where it is.
  const previous = old?.current === version ? old.previous : old?.current
  const kept = previous === undefined ? {} : { [previous]: old!.versions[previous]! }
  const next: LockFile = {
    lock: 1,
    line: follows,
    current: version,
    ...(previous === undefined ? {} : { previous }),
    versions: { ...kept, [version]: entry },
  }
  supply.onStep?.('lock')
  await writeLock(directory, next)
  supply.onStep?.('clear')
  await clearAway(directory, next)
  return { version, previous, changed: true, entry }
}

async function writeFiles(
  directory: string,
  files: ReadonlyMap<string, Buffer>,
  onStep: Supply['onStep'],
): Promise<void> {
  const folders = new Set(['', ...[...files.keys()].map((name) => dirname(name)).filter((name) => name !== '.')])
  for (const folder of folders) await mkdir(join(directory, folder), { recursive: true })
  for (const [name, content] of files) {
    onStep?.('file')
    await writeThrough(join(directory, name), content)
  }
  for (const folder of folders) await syncDirectory(join(directory, folder))
}

/** `4.28.0`, or `4.28.0+1` where a folder of that name is in force or was left behind. */
async function freeName(directory: string, version: string): Promise<string> {
  for (let count = 0; ; count++) {
    const name = count === 0 ? version : `${version}+${count}`
    if ((await stat(join(directory, name)).catch(() => undefined)) === undefined) return name
  }
}

const ofOurs = /^(\d+\.\d+\.\d+(-[\w.]+)?(\+\d+)?|\.new-[0-9a-f]{12})$/

/** Removes what no lock names any more: versions before the last two, and what an interrupted change left. */
async function clearAway(directory: string, { versions }: LockFile): Promise<void> {
  const named = new Set(Object.values(versions).map(({ folder }) => folder))
  for (const name of await readdir(directory)) {
    const isDraft = name.startsWith(`.${lockName}.`)
    if (isDraft || (ofOurs.test(name) && !named.has(name)))
      await rm(join(directory, name), { recursive: true, force: true })
  }
}

async function needLock(directory: string): Promise<LockFile> {
  const lock = await readLock(directory)
  if (lock === undefined)
    throw new InstallError(`no OWASP CRS is installed in ${directory}: \`portcullis waf install\` does it`)
  return lock
}

function refuseOlder(version: string, current: string): void {
  if (compareVersions(version, current) >= 0) return
  throw new InstallError(
    `${version} is older than ${current}, which is in force: \`portcullis waf install ${version}\` goes back if you mean it`,
  )
}

async function readBounded(file: string): Promise<Buffer> {
  const { size } = await stat(file)
  if (size > archiveBytesMax) throw new InstallError(`${file} is larger than ${archiveBytesMax} bytes`)
  return readFile(file)
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
