import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type CrsSite, smallCrs, startCrsSite, tarball } from '../../test/kit/crs-site.ts'
import { makeOpenpgpKey } from '../../test/kit/openpgp.ts'
import { install, rollback, type Supply, update } from './install.ts'
import { installedRules } from './installed.ts'
import { readLock, verifyLock } from './lock.ts'
import { defaultVersion, releaseKeyFingerprint } from './releases.ts'
import { loadRuleSources } from './rules.ts'

const key = makeOpenpgpKey()
const stranger = makeOpenpgpKey()

let root: string
let directory: string
let site: CrsSite
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'portcullis-crs-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  directory = join(await mkdtemp(join(root, 'case-')), 'crs')
  site = await startCrsSite(key)
})
afterEach(() => site.stop())

function supply(more: Partial<Supply> = {}): Supply {
  const publicKey = Buffer.from(key.publicKey)
  return { directory, mirror: site.url, key: publicKey, now: Date.now, say: () => {}, check: async () => {}, ...more }
}

/** What is in force, whole; `undefined` where nothing is. */
async function inForce(): Promise<string | undefined> {
  if ((await readLock(directory)) === undefined) return undefined
  return (await installedRules(directory)).version
}

async function onDisk(version: string, bytes?: Buffer, signedBy = key): Promise<string> {
  const file = join(await mkdtemp(join(root, 'file-')), `coreruleset-${version}.tar.gz`)
  const content = bytes ?? (await tarball(version))
  await writeFile(file, content)
  await writeFile(`${file}.asc`, signedBy.sign(content))
  return file
}

const from = (file: string) => ({ file, signature: `${file}.asc` })

describe('an install', () => {
  test('puts a verified release in force and writes down whence it came', async () => {
    await site.release('4.27.0')
    const change = await install('4.27.0', undefined, supply())
    expect(change).toMatchObject({ version: '4.27.0', previous: undefined, changed: true })
    expect(await inForce()).toBe('4.27.0')
    const { entry } = (await verifyLock(directory))!
    expect(entry).toMatchObject({
      folder: '4.27.0',
      source: `${site.url}/v4.27.0/coreruleset-4.27.0-minimal.tar.gz`,
      pinned: false,
      signature: { key: key.fingerprint, createdAt: '2025-01-01T00:00:00.000Z' },
    })
    expect(Object.keys(entry.files)).toContain('rules/lfi-os-files.data')
    expect((await readdir(directory)).sort()).toEqual(['4.27.0', 'waf.lock.json'])
  })

  test('takes the version that this gate was tested with when none is named', async () => {
    await site.release(defaultVersion)
    expect((await install(undefined, undefined, supply())).version).toBe(defaultVersion)
  })

  test('takes the newest release of a line, whatever the order of the index', async () => {
    for (const version of ['4.25.0', '4.25.10', '4.25.9', '4.26.0', '3.3.7']) await site.release(version)
    expect((await install('4.25', undefined, supply())).version).toBe('4.25.10')
    expect((await install('4', undefined, supply())).version).toBe('4.26.0')
    expect((await readLock(directory))!.line).toBe('4')
  })

  test('takes a file with its signature and asks the network for nothing', async () => {
    const change = await install(undefined, from(await onDisk('4.25.1')), supply())
    expect(change).toMatchObject({ version: '4.25.1', changed: true })
    expect(site.asked).toEqual([])
  })

  test('does nothing twice', async () => {
    const file = await onDisk('4.25.1')
    await install(undefined, from(file), supply())
    const before = await readFile(join(directory, 'waf.lock.json'), 'utf8')
    expect(await install(undefined, from(file), supply())).toMatchObject({ version: '4.25.1', changed: false })
    expect(await readFile(join(directory, 'waf.lock.json'), 'utf8')).toBe(before)
  })

  test('mends rules that were changed, and keeps the version before', async () => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    const file = await onDisk('4.25.1')
    await install(undefined, from(file), supply())
    await writeFile(join(directory, '4.25.1/rules/lfi-os-files.data'), '')
    await expect(inForce()).rejects.toThrow('changed rules/lfi-os-files.data')
    expect(await install(undefined, from(file), supply())).toMatchObject({ changed: true, previous: '4.25.0' })
    expect(await inForce()).toBe('4.25.1')
    expect((await readdir(directory)).sort()).toEqual(['4.25.0', '4.25.1+1', 'waf.lock.json'])
  })

  test('writes a lock anew that nobody can read', async () => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    await writeFile(join(directory, 'waf.lock.json'), '{')
    await expect(inForce()).rejects.toThrow('is no lock file')
    await install(undefined, from(await onDisk('4.25.1')), supply())
    expect(await inForce()).toBe('4.25.1')
  })

  test('keeps the last two versions, and clears away what is older', async () => {
    for (const version of ['4.24.0', '4.25.0', '4.26.0'])
      await install(undefined, from(await onDisk(version)), supply())
    expect((await readdir(directory)).sort()).toEqual(['4.25.0', '4.26.0', 'waf.lock.json'])
  })

  test('leaves alone what is not its own in the folder', async () => {
    await mkdir(join(directory, 'mine'), { recursive: true })
    await install(undefined, from(await onDisk('4.25.0')), supply())
    expect(await readdir(directory)).toContain('mine')
  })

  test('keeps what is in force when the new rules cannot be loaded', async () => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    const check = async () => {
      throw new Error('line 3: no such operator')
    }
    await expect(install(undefined, from(await onDisk('4.26.0')), supply({ check }))).rejects.toThrow(
      'version 4.26.0 is genuine, but cannot be loaded here: line 3: no such operator',
    )
    expect(await inForce()).toBe('4.25.0')
    expect((await readdir(directory)).sort()).toEqual(['4.25.0', 'waf.lock.json'])
  })
})

describe('what is not believed', () => {
  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'a file signed by a stranger',
      async () => install(undefined, from(await onDisk('4.26.0', undefined, stranger)), supply()),
      /is not believed: signed by [0-9A-F]{40}; expected a signature of/,
    ],
    [
      'a file that was changed after it was signed',
      async () => {
        const file = await onDisk('4.26.0')
        await writeFile(file, await tarball('4.26.0', smallCrs('4.26.0', { 'rules/evil.conf': '#' })))
        return install(undefined, from(file), supply())
      },
      /does not fit the file/,
    ],
    [
      'a file that was cut short',
      async () => {
        const file = await onDisk('4.26.0')
        await writeFile(file, (await readFile(file)).subarray(0, -20))
        return install(undefined, from(file), supply())
      },
      /does not fit the file/,
    ],
    [
      'a file without a signature',
      async () => {
        const file = await onDisk('4.26.0')
        await rm(`${file}.asc`)
        return install(undefined, from(file), supply())
      },
      /the signature cannot be read: there is no/,
    ],
    [
      'a signed file of another version',
      async () => install('4.27.0', from(await onDisk('4.26.0')), supply()),
      /holds version 4\.26\.0, not 4\.27\.0/,
    ],
    [
      'an old release under a new name',
      async () => {
        await site.release('4.27.0', await tarball('4.20.0'))
        return install('4.27.0', undefined, supply())
      },
      /holds version 4\.20\.0, not 4\.27\.0/,
    ],
    [
      'a release whose signature the site does not have',
      async () => {
        await site.release('4.27.0')
        site.files.delete('/v4.27.0/coreruleset-4.27.0-minimal.tar.gz.asc')
        return install('4.27.0', undefined, supply())
      },
      /\.asc answers 404/,
    ],
    ['a release that is not there', () => install('4.99.0', undefined, supply()), /there is no release 4\.99\.0/],
    [
      'a line that is not there',
      async () => {
        await site.release('4.27.0')
        return install('5', undefined, supply())
      },
      /no release of the line 5/,
    ],
    ['a version that is none', () => install('../../etc', undefined, supply()), /is no version/],
    [
      'an index that is none',
      async () => {
        site.files.set('/releases.json', '<html>')
        return install('4', undefined, supply())
      },
      /is no list of releases/,
    ],
    [
      'a site whose key is not the one that is pinned',
      async () => {
        await site.release('4.27.0')
        return install('4.27.0', undefined, supply({ key: undefined }))
      },
      /holds the key [0-9A-F ]{49}; the CRS project signs with 3600 6F0E 0BA1 6783 2158 8211 38EE ACA1 AB8A 6E72/,
    ],
    [
      'a file, as long as the key is not known',
      async () => install(undefined, from(await onDisk('4.26.0')), supply({ key: undefined })),
      /the public key of the CRS project is not known here yet/,
    ],
    [
      'a key that is none',
      async () => install(undefined, from(await onDisk('4.26.0')), supply({ key: Buffer.from('x') })),
      /there is no "-----BEGIN PGP PUBLIC KEY BLOCK/,
    ],
    [
      'more bytes than a release has',
      async () => {
        site.files.set('/v4.27.0/coreruleset-4.27.0-minimal.tar.gz', (_request, reply) => {
          const part = Buffer.alloc(1 << 20)
          const pump = () => {
            while (!reply.destroyed && reply.write(part)) {}
            if (!reply.destroyed) reply.once('drain', pump)
          }
          pump()
        })
        return install('4.27.0', undefined, supply())
      },
      /is larger than 16777216 bytes/,
    ],
    [
      'a redirect to another host',
      async () => {
        site.files.set('/v4.27.0/coreruleset-4.27.0-minimal.tar.gz', (_request, reply) => {
          reply.writeHead(302, { location: 'http://localhost:1/x' }).end()
        })
        return install('4.27.0', undefined, supply())
      },
      /sends to localhost:1, which is not followed/,
    ],
    [
      'redirects without end',
      async () => {
        const name = '/v4.27.0/coreruleset-4.27.0-minimal.tar.gz'
        site.files.set(name, (_request, reply) => void reply.writeHead(302, { location: name }).end())
        return install('4.27.0', undefined, supply())
      },
      /redirects too often/,
    ],
    [
      'a site that speaks plain HTTP',
      () => install('4.27.0', undefined, supply({ mirror: 'http://mirror.example/crs' })),
      /is not fetched: https is asked for/,
    ],
    [
      'a mirror with a password in its URL',
      () => install('4.27.0', undefined, supply({ mirror: 'https://me:secret@mirror.example/crs' })),
      /^a mirror is named without user, password and query/,
    ],
    [
      'a mirror that is no URL',
      () => install('4.27.0', undefined, supply({ mirror: 'crs' })),
      /^the mirror is no URL$/,
    ],
    [
      'a site that is down',
      async () => {
        const down = await startCrsSite(key)
        await down.stop()
        return install('4.27.0', undefined, supply({ mirror: down.url }))
      },
      /cannot be fetched: connect ECONNREFUSED/,
    ],
  ])('%s leaves everything as it was', async (_name, act, reason) => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    const before = await readdir(directory)
    await expect(act()).rejects.toThrow(reason)
    expect(await inForce()).toBe('4.25.0')
    expect(await readdir(directory)).toEqual(before)
  })

  test('a redirect on the same host is followed', async () => {
    await site.release('4.27.0')
    const name = '/v4.27.0/coreruleset-4.27.0-minimal.tar.gz'
    site.files.set('/elsewhere', site.files.get(name)!)
    site.files.set(name, (_request, reply) => void reply.writeHead(302, { location: '/elsewhere' }).end())
    expect((await install('4.27.0', undefined, supply())).version).toBe('4.27.0')
  })

  test('the pinned key is the one that the CRS project publishes in its SECURITY.md', () => {
    expect(releaseKeyFingerprint).toBe('3600 6F0E 0BA1 6783 2158 8211 38EE ACA1 AB8A 6E72'.replaceAll(' ', ''))
  })
})

describe('an update', () => {
  test('goes to the newest release of the line that is followed, and no further', async () => {
    await site.release('4.25.0')
    await install('4.25', undefined, supply())
    expect(await update(undefined, undefined, supply())).toMatchObject({ version: '4.25.0', changed: false })
    await site.release('4.25.2')
    await site.release('4.26.0')
    expect(await update(undefined, undefined, supply())).toMatchObject({ version: '4.25.2', previous: '4.25.0' })
    expect(await update('4', undefined, supply())).toMatchObject({ version: '4.26.0', previous: '4.25.2' })
  })

  test('of one version stays with its patches', async () => {
    for (const version of ['4.25.0', '4.25.1', '4.26.0']) await site.release(version)
    await install('4.25.0', undefined, supply())
    expect((await update(undefined, undefined, supply())).version).toBe('4.25.1')
  })

  test('never goes back, whatever an index says', async () => {
    await site.release('4.25.0')
    await install(undefined, from(await onDisk('4.25.3')), supply())
    await expect(update(undefined, undefined, supply())).rejects.toThrow('4.25.0 is older than 4.25.3')
    await expect(update(undefined, from(await onDisk('4.25.1')), supply())).rejects.toThrow(
      '4.25.1 is older than 4.25.3',
    )
    expect(await inForce()).toBe('4.25.3')
  })

  test('takes a file as well', async () => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    expect(await update(undefined, from(await onDisk('4.25.1')), supply())).toMatchObject({ version: '4.25.1' })
  })

  test('needs something to begin with', async () => {
    await expect(update(undefined, undefined, supply())).rejects.toThrow('no OWASP CRS is installed')
  })
})

describe('a rollback', () => {
  test('puts the version before in force again, and a second one undoes it', async () => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    await expect(rollback({ directory })).rejects.toThrow('no version before this one')
    await install(undefined, from(await onDisk('4.26.0')), supply())
    expect(await rollback({ directory })).toMatchObject({ version: '4.25.0', previous: '4.26.0' })
    expect(await inForce()).toBe('4.25.0')
    expect(await rollback({ directory })).toMatchObject({ version: '4.26.0', previous: '4.25.0' })
    expect(await inForce()).toBe('4.26.0')
  })

  test('does not go back to files that were changed meanwhile', async () => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    await install(undefined, from(await onDisk('4.26.0')), supply())
    await rm(join(directory, '4.25.0/rules/lfi-os-files.data'))
    await expect(rollback({ directory })).rejects.toThrow('missing rules/lfi-os-files.data')
    expect(await inForce()).toBe('4.26.0')
  })
})

describe('the lock', () => {
  test('names every file that is changed, missing or added', async () => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    const rules = join(directory, '4.25.0/rules')
    await writeFile(join(rules, 'REQUEST-901-INITIALIZATION.conf'), '# nothing')
    await rename(join(rules, 'lfi-os-files.data'), join(rules, 'other.data'))
    await mkdir(join(directory, '4.25.0/plugins'))
    await writeFile(join(directory, '4.25.0/plugins/evil-before.conf'), 'SecRuleEngine Off')
    expect(await verifyLock(directory)).toMatchObject({
      changed: ['rules/REQUEST-901-INITIALIZATION.conf'],
      missing: ['rules/lfi-os-files.data'],
      added: ['plugins/evil-before.conf', 'rules/other.data'],
    })
    await expect(loadRuleSources({ rules: 'crs', stateDir: join(directory, '..') })).rejects.toThrow(
      'changed rules/REQUEST-901-INITIALIZATION.conf; missing rules/lfi-os-files.data; added plugins/evil-before.conf, rules/other.data',
    )
  })

  test('takes a link in the place of a file for a change, wherever it leads', async () => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    const file = join(directory, '4.25.0/rules/lfi-os-files.data')
    await rename(file, join(directory, 'aside.data'))
    await symlink(join(directory, 'aside.data'), file)
    expect((await verifyLock(directory))!.changed).toEqual(['rules/lfi-os-files.data'])
  })

  test.each([
    ['a path for a folder', (lock: string) => lock.replace('"folder": "4.25.0"', '"folder": "../../etc"')],
    [
      'a current version that it does not list',
      (lock: string) => lock.replace('"current": "4.25.0"', '"current": "4.26.0"'),
    ],
    ['a key more', (lock: string) => lock.replace('"lock": 1', '"lock": 1, "extra": true')],
    ['another form', (lock: string) => lock.replace('"lock": 1', '"lock": 2')],
  ])('with %s is not read', async (_name, change) => {
    await install(undefined, from(await onDisk('4.25.0')), supply())
    const file = join(directory, 'waf.lock.json')
    const before = await readFile(file, 'utf8')
    expect(change(before)).not.toBe(before)
    await writeFile(file, change(before))
    await expect(inForce()).rejects.toThrow('is no lock file')
  })
})

describe('a power cut', () => {
  const script = new URL('../../test/fixtures/install-until-killed.ts', import.meta.url).pathname

  test('at any moment of an install leaves the old rules in force, or the new ones, whole', async () => {
    const keyFile = join(directory, '..', 'key.asc')
    await writeFile(keyFile, key.publicKey)
    const old = await onDisk('4.25.0')
    const next = await onDisk('4.26.0')
    const seen = new Set<string>()
    for (let stop = 1; ; stop++) {
      await rm(directory, { recursive: true, force: true })
      await install(undefined, from(old), supply())
      const words = [script, directory, next, keyFile, String(stop)]
      const finished = await new Promise<boolean>((resolve) => {
        execFile(process.execPath, words, (error) => resolve(error === null))
      })
      const version = (await inForce())!
      seen.add(version)
      if (finished) break
      // The next one goes through, and nothing is left lying about.
      await install(undefined, from(next), supply())
      expect(await inForce()).toBe('4.26.0')
      const folders = (await readdir(directory)).filter((name) => name.startsWith('.'))
      expect(folders).toEqual([])
    }
    expect([...seen].sort()).toEqual(['4.25.0', '4.26.0'])
  }, 60_000)
})
