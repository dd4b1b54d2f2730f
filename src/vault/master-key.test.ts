import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { type MasterKey, masterKeyFrom, openKeyRing } from './index.ts'

const log = silentLogger
const plain = Buffer.from(Array.from({ length: 32 }, (_, i) => i))
const base64 = Buffer.alloc(32, 1).toString('base64')

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'master-key-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function fileOf(text: string, mode = 0o600): string {
  const file = join(dir, 'own.key')
  writeFileSync(file, text, { mode })
  chmodSync(file, mode)
  return file
}

async function wrapsAndUnwraps(key: MasterKey): Promise<void> {
  const wrapped = await key.wrap(plain)
  expect(Buffer.from(wrapped).includes(plain)).toBe(false)
  expect(Buffer.from(await key.unwrap(wrapped))).toEqual(plain)
}

describe('a master key', () => {
  test.each([
    ['base64', base64],
    ['base64 without padding, in the alphabet of URLs', Buffer.alloc(32, 255).toString('base64url')],
    ['hexadecimal, with a line break', `${'ab'.repeat(32)}\n`],
  ])('is 32 bytes in %s, from the configuration or from a file', async (_name, text) => {
    await wrapsAndUnwraps(await masterKeyFrom({ sealWith: text }, dir))
    await wrapsAndUnwraps(await masterKeyFrom({ sealWith: { file: fileOf(text) } }, dir))
  })

  test.each([
    ['too short', Buffer.alloc(31, 1).toString('base64')],
    ['too long', Buffer.alloc(33, 1).toString('base64')],
    ['a password', 'correct horse battery staple'],
    ['nothing', ''],
  ])('is refused when it is %s, and never repeated', async (_name, text) => {
    for (const sealWith of [text, { file: fileOf(text) }]) {
      const error = await masterKeyFrom({ sealWith }, dir).catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ name: 'ConfigError', code: 'P1051' })
      if (text !== '') expect(JSON.stringify([error, String(error)])).not.toContain(text)
    }
  })

  test.each([
    [0o600, true],
    [0o400, true],
    [0o640, true],
    [0o660, false],
    [0o644, false],
    [0o606, false],
  ])('in a file of mode %o: taken is %s', async (mode, taken) => {
    const made = masterKeyFrom({ sealWith: { file: fileOf(base64, mode) } }, dir)
    if (taken) await wrapsAndUnwraps(await made)
    else await expect(made).rejects.toMatchObject({ code: 'P1051', hint: `chmod 600 ${join(dir, 'own.key')}` })
  })

  test('is made for the embedded store when it is first needed, once, for its owner only', async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => masterKeyFrom(undefined, dir)))
    expect(existsSync(join(dir, 'master.key'))).toBe(false)
    const wrapped = await Promise.all(keys.map((key) => key.wrap(plain)))
    expect(statSync(join(dir, 'master.key')).mode & 0o777).toBe(0o600)
    expect(readdirSync(dir)).toEqual(['master.key'])
    for (const one of wrapped) expect(Buffer.from(await keys[0]!.unwrap(one))).toEqual(plain)
  })

  test('is not made for a store that several machines share', async () => {
    await expect(masterKeyFrom(undefined, dir, { embeddedStore: false })).rejects.toMatchObject({ code: 'P1050' })
    expect(readdirSync(dir)).toEqual([])
  })

  describe('of a vault', () => {
    let store: Store
    beforeEach(async () => {
      store = await openStore('sqlite::memory:', { log })
    })
    afterEach(() => store.close())

    test('is not made anew when its file is gone: that would lose what was sealed', async () => {
      const ring = await openKeyRing({ store, master: await masterKeyFrom(undefined, dir), now: Date.now, log })
      await ring.seal('a', plain, '')
      ring.close()
      rmSync(join(dir, 'master.key'))
      const before = await store.list('', { limit: 100 })
      await expect(
        openKeyRing({ store, master: await masterKeyFrom(undefined, dir), now: Date.now, log }),
      ).rejects.toMatchObject({ code: 'P1052' })
      expect(existsSync(join(dir, 'master.key'))).toBe(false)
      expect(await store.list('', { limit: 100 })).toEqual(before)
    })

    test('may be a program that gives back other bytes than it was given: then nothing is made', async () => {
      const liar = join(dir, 'liar.mjs')
      writeFileSync(liar, `process.stdin.on('data', () => {}).on('end', () => console.log('${base64}'))`)
      const master = await masterKeyFrom({ sealWith: { command: [process.execPath, liar] } }, dir)
      await expect(openKeyRing({ store, master, now: Date.now, log })).rejects.toMatchObject({ code: 'P1052' })
      expect(await store.list('', { limit: 100 })).toEqual([])
    })
  })
})

describe('a master key behind a command', () => {
  /** Wraps by turning the bytes around; notes what it was started with. */
  function program(body: string): string[] {
    const file = join(dir, 'kms.mjs')
    writeFileSync(
      file,
      `import { readFileSync, writeFileSync } from 'node:fs'
       const input = readFileSync(0, 'latin1')
       writeFileSync(${JSON.stringify(join(dir, 'seen.json'))}, JSON.stringify({ argv: process.argv.slice(2), input }))
       const [operation, data] = input.split('\\n')
       ${body}`,
    )
    return [process.execPath, file, '--key', 'alias/portcullis']
  }
  const turn = `console.log(Buffer.from(data, 'base64').reverse().toString('base64'))`
  const key = (body: string, timeout = 10_000) => masterKeyFrom({ sealWith: { command: program(body), timeout } }, dir)

  test('wraps and unwraps over pipes: nothing secret is in its arguments', async () => {
    const master = await key(turn)
    await wrapsAndUnwraps(master)
    const seen = JSON.parse(readFileSync(join(dir, 'seen.json'), 'utf8')) as { argv: string[]; input: string }
    expect(seen.argv).toEqual(['--key', 'alias/portcullis'])
    expect(seen.input).toMatch(/^unwrap\n[A-Za-z0-9+/]+=*\n$/)
  })

  test.each([
    ['ends with an error', 'console.log(data); process.exit(3)', 'ended with exit code 3'],
    ['writes no base64', 'console.log("<html>")', 'did not write one line of base64'],
    ['writes nothing', '', 'did not write one line of base64'],
    ['writes without end', `for (;;) process.stdout.write('A'.repeat(65536))`, 'wrote more than 16384 bytes'],
  ])('is told apart when it %s, without repeating what it said', async (_name, body, why) => {
    const error = await (await key(body)).wrap(plain).catch((thrown: unknown) => thrown)
    expect(String(error)).toContain(why)
    expect(String(error)).not.toContain(plain.toString('base64'))
  })

  test('is not waited for without end', async () => {
    const started = performance.now()
    await expect((await key('setInterval(() => {}, 1e6)', 500)).wrap(plain)).rejects.toThrow('within 500 ms')
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  test('is told when there is no such program', async () => {
    const master = await masterKeyFrom({ sealWith: { command: ['/nonexistent/kms'] } }, dir)
    await expect(master.wrap(plain)).rejects.toThrow('/nonexistent/kms (wrap) was not found')
  })
})
