import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type CrsSite, smallCrs, startCrsSite, tarball } from '../kit/crs-site.ts'
import { runCommand, spawnGate, until } from '../kit/gate.ts'
import { makeOpenpgpKey } from '../kit/openpgp.ts'
import { startUpstream } from '../kit/upstream.ts'

const key = makeOpenpgpKey({ algorithm: 'rsa', bits: 3072 })
const env = { ...process.env, NO_COLOR: '1' }

let root: string
let cwd: string
let site: CrsSite
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'portcullis-waf-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  cwd = await mkdtemp(join(root, 'case-'))
  site = await startCrsSite(key)
  await write({ 'key.asc': key.publicKey })
})
afterEach(() => site.stop())

async function write(files: Readonly<Record<string, string | Buffer>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(cwd, name)), { recursive: true })
    await writeFile(join(cwd, name), content)
  }
}

const waf = (...words: string[]) => runCommand(['waf', ...words], env, cwd)
const supplied = (...words: string[]) => waf(...words, '--mirror', site.url, '--key', 'key.asc')

async function status(...words: string[]) {
  const { code, stdout } = await waf('status', '--json', ...words)
  const { installed } = JSON.parse(stdout) as { installed: Record<string, unknown> | null }
  return { code, status: installed }
}

describe('waf install, update, rollback and status', () => {
  test('follow a line, go back, and tell where the rules are from', async () => {
    await site.release('4.25.0')
    const installed = await supplied('install', '4.25')
    expect(installed.stderr).toContain('OWASP CRS 4.25.0 is in force.')
    expect(installed).toMatchObject({ code: 0, stdout: '' })
    await site.release('4.25.1')
    await site.release('4.26.0')
    const updated = await supplied('update', '--json')
    expect(JSON.parse(updated.stdout)).toMatchObject({ version: '4.25.1', previous: '4.25.0', changed: true })
    expect((await supplied('update')).stderr).toContain('4.25.1 is in force already')
    expect((await status()).status).toMatchObject({
      version: '4.25.1',
      previous: '4.25.0',
      line: '4.25',
      intact: true,
      rules: expect.any(Number),
      warnings: [],
      signature: { key: key.fingerprint },
      source: `${site.url}/v4.25.1/coreruleset-4.25.1-minimal.tar.gz`,
    })
    expect((await waf('rollback')).stderr).toContain('OWASP CRS 4.25.0 is in force.')
    const { code, stdout } = await waf('status')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^in use +there is no configuration here$/m)
    expect(stdout).toMatch(/^version +4\.25\.0 \(follows 4\.25\)$/m)
    expect(stdout).toMatch(/^before +4\.25\.1$/m)
    expect(stdout).toMatch(/^files +5, all as they were verified$/m)
    expect(stdout).toMatch(/^signed +2025-01-01T00:00:00\.000Z with ([0-9A-F]{4} ?){10}$/m)
  })

  test('work from a file, without a network, into the state directory of the configuration', async () => {
    const content = await tarball('4.25.1')
    await write({
      'crs.tar.gz': content,
      'crs.sig': key.sign(content),
      'portcullis.yaml':
        'version: 1\nstateDir: ./var\napis: { a: { openapi: ./openapi.json, upstream: "http://127.0.0.1:1" } }\n',
    })
    const { code, stderr } = await waf('install', '--from', 'crs.tar.gz', '--signature', 'crs.sig', '--key', 'key.asc')
    expect([code, stderr]).toEqual([0, expect.stringContaining('4.25.1 is in force')])
    const lock = JSON.parse(await readFile(join(cwd, 'var/crs/waf.lock.json'), 'utf8')) as { current: string }
    expect(lock.current).toBe('4.25.1')
    expect((await status()).status).toMatchObject({ source: 'crs.tar.gz', intact: true })
  })

  test('wait for each other when several change the rules at once', async () => {
    for (const version of ['4.25.0', '4.26.0', '4.27.0']) await site.release(version)
    const installs = ['4.25.0', '4.26.0', '4.27.0'].map((version) => supplied('install', version))
    expect((await Promise.all(installs)).map(({ code }) => code)).toEqual([0, 0, 0])
    expect((await status()).status).toMatchObject({ intact: true })
  }, 60_000)

  test('leave everything as it was when a release is not believed, and say why', async () => {
    await site.release('4.25.0')
    await supplied('install', '4.25')
    await site.release('4.25.1')
    site.files.set(
      '/v4.25.1/coreruleset-4.25.1-minimal.tar.gz',
      await tarball('4.25.1', smallCrs('4.25.1', { 'rules/evil.conf': '#' })),
    )
    const { code, stderr } = await supplied('update')
    expect(code).toBe(1)
    expect(stderr).toContain('is not believed: the signature does not fit the file')
    expect((await status()).status).toMatchObject({ version: '4.25.0', intact: true })
  })

  test('do not believe the CRS project’s name on another key', async () => {
    await site.release('4.25.0')
    const { code, stderr } = await waf('install', '4.25.0', '--mirror', site.url)
    expect(code).toBe(1)
    expect(stderr).toContain('the CRS project signs with 3600 6F0E 0BA1 6783 2158 8211 38EE ACA1 AB8A 6E72')
    expect((await status()).status).toBe(null)
  })

  test('refuse genuine rules that this gate cannot load, and name the line', async () => {
    const rule = 'SecRule ARGS "@noSuchOperator x" "id:1,phase:2,pass"\n'
    await site.release('4.25.0', await tarball('4.25.0', smallCrs('4.25.0', { 'rules/REQUEST-999-X.conf': rule })))
    const { code, stderr } = await supplied('install', '4.25.0')
    expect(code).toBe(1)
    expect(stderr).toContain('version 4.25.0 is genuine, but cannot be loaded here')
    expect(stderr).toContain('noSuchOperator')
    expect((await status()).status).toBe(null)
  })

  test('tell of every file that was touched since', async () => {
    await site.release('4.25.0')
    await supplied('install', '4.25.0', '--to', 'here')
    await rm(join(cwd, 'here/4.25.0/LICENSE'))
    await write({ 'here/4.25.0/rules/lfi-os-files.data': '', 'here/4.25.0/rules/x.conf': '#' })
    const { code, status: told } = await status('--to', 'here')
    expect(code).toBe(1)
    expect(told).toMatchObject({
      intact: false,
      changed: ['rules/lfi-os-files.data'],
      missing: ['LICENSE'],
      added: ['rules/x.conf'],
    })
    expect((await supplied('install', '4.25.0', '--to', 'here')).code).toBe(0)
    expect((await status('--to', 'here')).status).toMatchObject({ intact: true })
  })
})

describe('a gate that runs the installed rules', () => {
  test('takes an update and a rollback over by itself, keeps its rules when files are touched, and does not start on them', async () => {
    const upstream = await startUpstream((_request, reply) => reply.end('fine'))
    await site.release('4.25.0')
    await site.release(
      '4.26.0',
      await tarball('4.26.0', smallCrs('4.26.0', { 'rules/lfi-os-files.data': '/home/anna\n' })),
    )
    const install = (...words: string[]) => supplied(...words, '--to', '.portcullis/crs')
    expect((await install('install', '4.25.0')).code).toBe(0)
    const search = {
      parameters: [{ name: 'q', in: 'query', schema: { type: 'string' } }],
      responses: { 200: { description: '' } },
    }
    const document = {
      openapi: '3.1.0',
      info: { title: 'x', version: '1' },
      security: [],
      paths: { '/search': { get: search } },
    }
    const gate = await spawnGate(
      { document, upstream: upstream.url, root: { waf: { crs: 'installed' } }, api: { limits: { mode: 'off' } } },
      cwd,
    )
    try {
      const statuses = async () => {
        const replies = ['etc/passwd', '/home/anna'].map((word) =>
          fetch(`${gate.url}/search?q=${encodeURIComponent(word)}`),
        )
        return (await Promise.all(replies)).map(({ status }) => status).join(' ')
      }
      const become = (wanted: string) => until(async () => (await statuses()) === wanted, `the answers ${wanted}`)
      expect(await statuses()).toBe('403 200')
      await install('update', '4')
      await become('200 403')
      await waf('rollback', '--to', '.portcullis/crs')
      await become('403 200')
      await write({ '.portcullis/crs/4.25.0/rules/lfi-os-files.data': 'nothing\n' })
      await until(
        () => /not those that were installed: changed rules\/lfi-os-files\.data/.test(gate.stderr()),
        'the complaint',
      )
      expect(await statuses()).toBe('403 200')
      await gate.stop()
      await expect(gate.again()).rejects.toThrow('changed rules/lfi-os-files.data')
    } finally {
      await gate.stop()
      await upstream.stop()
    }
  }, 60_000)
})

const ftw = `---
meta: { author: us }
rule_id: 930120
tests:
  - test_id: 1
    desc: a path of the system
    stages:
      - input:
          dest_addr: 127.0.0.1
          port: 80
          headers: { Host: localhost, User-Agent: test }
          uri: /?file=/etc/passwd
          version: HTTP/1.1
        output: { log: { expect_ids: [930120] } }
  - test_id: 2
    desc: something else
    stages:
      - input: { headers: { Host: localhost }, uri: "/?file=/home/anna" }
        output: { log: { no_expect_ids: [930120] } }
  - test_id: 3
    desc: what no server takes
    stages:
      - input: { headers: { Host: localhost }, uri: '\\index.html' }
        output: { status: 400 }
`

describe.each([
  ['in process', []],
  ['through a listening gate', ['--http']],
])('waf test %s', (_name, more) => {
  beforeEach(async () => {
    const rules = Object.fromEntries(Object.entries(smallCrs('4.28.0')).map(([name, text]) => [`crs/${name}`, text]))
    await write({ ...rules, 'tests/930120.yaml': ftw })
  })

  test('closes with the count and 0 where all passed', async () => {
    const { code, stdout } = await waf('test', 'tests', '--rules', 'crs', ...more)
    expect(stdout).toBe('3 passed, 0 failed\n')
    expect(code).toBe(0)
  }, 60_000)

  test('lists each failure with what was expected and what was seen, and ends with 1', async () => {
    await write({ 'crs/rules/lfi-os-files.data': '/home/anna\n' })
    const { code, stdout } = await waf('test', 'tests', '--rules', 'crs', ...more)
    expect(stdout).toBe(
      '930120-1  a path of the system  (tests/930120.yaml)\n    expected rule 930120, seen none\n' +
        '930120-2  something else  (tests/930120.yaml)\n    expected no rule 930120, seen 930120\n' +
        '1 passed, 2 failed\n',
    )
    expect(code).toBe(1)
  }, 60_000)

  test('takes what an overrides file expects in place, and one test alone', async () => {
    await write({
      'crs/rules/lfi-os-files.data': '/home/anna\n',
      'overrides.yaml':
        'version: v1\nmeta: { engine: x, platform: y }\ntest_overrides:\n' +
        '  - { rule_id: 930120, test_ids: [1], reason: our list is another, output: { log: { no_expect_ids: [930120] } } }\n' +
        '  - { rule_id: 930120, test_ids: [9], reason: gone, output: { status: 200 } }\n',
    })
    const words = ['--rules', 'crs', '--overrides', 'overrides.yaml', '--only', '930120-1', '--json', ...more]
    const { code, stdout, stderr } = await waf('test', 'tests', ...words)
    expect(JSON.parse(stdout)).toMatchObject({ passed: 1, failed: 0, overrides: 2, failures: [] })
    expect(stderr).toContain('The override of 930120 9 names a test that there is not: gone')
    expect(code).toBe(0)
  }, 60_000)
})

describe('waf explain', () => {
  beforeEach(async () => {
    const rules = Object.fromEntries(Object.entries(smallCrs('4.28.0')).map(([name, text]) => [`crs/${name}`, text]))
    await write({
      ...rules,
      'request.http':
        'POST /files?a=1 HTTP/1.1\nHost: localhost\nContent-Type: application/x-www-form-urlencoded\n\nfile=/etc/passwd&b=2',
    })
  })

  test('tells what matched where, how much was looked at, and what it cost', async () => {
    const { code, stdout } = await waf('explain', 'request.http', '--rules', 'crs')
    expect(stdout).toContain('POST /files?a=1, 20 bytes of body\nOWASP CRS 4.28.0 in crs, ')
    expect(stdout).toMatch(/^PHASE +RULES +REACHED +IMPOSSIBLE +TESTS +MATCHED +µs$/m)
    expect(stdout).toContain('  930120  OS File Access Attempt\n          ARGS:file: ')
    expect(stdout).toContain('The request would be refused with 403 by rule 930120.')
    expect(code).toBe(1)
  })

  test('has all of it as one document', async () => {
    const { stdout } = await waf('explain', 'request.http', '--rules', 'crs', '--all', '--json')
    const found = JSON.parse(stdout) as {
      matches: object[]
      phases: object[]
      tests: { id: number; variable: string }[]
      verdict: object
    }
    expect(found.matches).toMatchObject([
      { id: 930120, variable: expect.stringMatching(/^ARGS(_POST)?:file$/), tags: ['attack-lfi'] },
    ])
    expect(found.verdict).toMatchObject({ ruleId: 930120, status: 403 })
    expect(found.phases).toMatchObject([
      { phase: 1 },
      { phase: 2, matched: 1, microseconds: expect.any(Number) },
      { phase: 5 },
    ])
    expect(found.tests.filter(({ id }) => id === 930120).map(({ variable }) => variable)).toContain('ARGS:a')
  })

  test('lets a harmless request pass with 0, and refuses a file that is no request with 2', async () => {
    await write({ 'harmless.http': 'GET /files?a=1 HTTP/1.1\r\nHost: localhost\r\n\r\n', 'none.http': 'hello' })
    const { code, stdout } = await waf('explain', 'harmless.http', '--rules', 'crs')
    expect([code, stdout]).toEqual([0, expect.stringContaining('Nothing matched.')])
    expect(await waf('explain', 'none.http', '--rules', 'crs')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('is no HTTP request'),
    })
    expect(await waf('explain', 'nowhere.http')).toMatchObject({ code: 2 })
  })
})
