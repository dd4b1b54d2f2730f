import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommand, smallDocument, spawnGate, until } from '../kit/gate.ts'
import { testAuthority, testCertificate } from '../kit/pki.ts'
import { startUpstream } from '../kit/upstream.ts'

const env = { ...process.env, NO_COLOR: '1' }
const run = (words: readonly string[], cwd?: string, more: NodeJS.ProcessEnv = {}) =>
  runCommand(words, { ...env, ...more }, cwd)

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'portcullis-cli-'))
  await writeFile(join(directory, 'openapi.json'), JSON.stringify(smallDocument, null, 2))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** A folder with these files, and the small document as openapi.json. */
async function folder(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const made = await mkdtemp(join(directory, 'case-'))
  await copyFile(join(directory, 'openapi.json'), join(made, 'openapi.json'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(made, name), text)
  return made
}

const small = `version: 1
apis:
  shop:
    openapi: ./openapi.json
    upstream: http://127.0.0.1:9
`

describe('the command line', () => {
  test('without words tells what there is and ends with 2', async () => {
    const { code, stdout, stderr } = await run([])
    expect(code).toBe(2)
    expect(stdout).toBe('')
    for (const command of ['dev', 'start', 'init', 'check', 'explain', 'key', 'user', 'doctor', 'schema']) {
      expect(stderr).toMatch(new RegExp(`^  ${command} `, 'm'))
    }
  })

  test('says where to begin when there is no configuration', async () => {
    const { code, stderr } = await run(['check'], await mkdtemp(join(directory, 'empty-')))
    expect(code).toBe(2)
    expect(stderr).toContain('portcullis init')
    expect(stderr).toContain('portcullis dev ./openapi.yaml')
  })

  test('prints its version', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect((await run(['--version'])).stdout.trim()).toBe(version)
  })

  test('says which Node it needs on one that is too old', async () => {
    // The version is faked before the program is loaded, which is all that an old Node would differ in here.
    const fake = "data:text/javascript,Object.defineProperty(process.versions, 'node', { value: '20.19.0' })"
    const result = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
      const bin = new URL('../../bin/portcullis.js', import.meta.url).pathname
      execFile(process.execPath, ['--import', fake, bin, 'start'], (error, _stdout, stderr) =>
        resolve({ code: error?.code, stderr }),
      )
    })
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('Portcullis needs Node.js 22.18 or later')
  })
})

describe('check', () => {
  test('holds for a good configuration and tells what it read', async () => {
    const cwd = await folder({ 'portcullis.yaml': small })
    const { code, stdout } = await run(['check'], cwd)
    expect(stdout).toContain('shop: Small 1.0.0, OpenAPI 3.1.0, 4 operations')
    expect(stdout).toContain('open to everyone: GET /health')
    expect(stdout).toContain('portcullis.yaml holds.')
    expect(code).toBe(0)
    const json = await run(['check', '--json'], cwd)
    expect(JSON.parse(json.stdout)).toMatchObject({
      ok: true,
      file: 'portcullis.yaml',
      documents: [{ api: 'shop', operations: 4, public: ['GET /health'], silent: [] }],
    })
  })

  test('warns of rules whose match selects no operation, and holds', async () => {
    const rules = `    authorize: { acl: [{ match: 'tag:oders', allow: ['*'] }] }
    limits: { typo: { match: 'op:nosuchop', rate: 1/min } }
`
    const cwd = await folder({ 'portcullis.yaml': `${small.trimEnd()}\n${rules}` })
    const { code, stderr } = await run(['check'], cwd)
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/warning P1413: .*authorize\.acl\[0\] matches no operation/),
    ])
    expect(stderr).toMatch(/warning P1413: .*limits\.typo matches no operation/)
  })

  test('shows the frame of an unknown key and ends with 2', async () => {
    const cwd = await folder({ 'portcullis.yaml': small.replace('upstream', 'upstraem') })
    const { code, stdout, stderr } = await run(['check'], cwd)
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain(`portcullis.yaml:5:5  unknown key "upstraem" in apis.shop              P1007
    4 |     openapi: ./openapi.json
    5 |     upstraem: http://127.0.0.1:9
      |     ^^^^^^^^ did you mean "upstream"?   docs: portcullis explain P1007`)
    const json = await run(['check', '--json'], cwd)
    expect(JSON.parse(json.stdout)).toMatchObject({
      errors: [{ code: 'P1007', line: 5, column: 5, hint: 'did you mean "upstream"?' }],
    })
  })

  test('N10: refuses a document with an operation that does not say who may call it, at its place', async () => {
    const { security: _, ...silent } = smallDocument
    const cwd = await folder({ 'portcullis.yaml': small, 'openapi.json': JSON.stringify(silent, null, 2) })
    const { code, stderr } = await run(['check'], cwd)
    expect(code).toBe(1)
    expect(stderr).toMatch(/openapi\.json:\d+:\d+ {2}.*(GET \/orders|listOrders)/)
    const document = await run(['check', './openapi.json'], cwd)
    expect(document.code).toBe(1)
    expect(document.stderr).toContain('GET /orders does not say who may call it')
  })

  test('refuses an unknown key of x-portcullis at its place in the document, and a wrong value in an Overlay', async () => {
    const lines = JSON.stringify(smallDocument, null, 2).replace(
      '"operationId": "listOrders",',
      '"operationId": "listOrders",\n        "x-portcullis": { "limts": {}, "validate": { "request": "enforced" } },',
    )
    const cwd = await folder({ 'portcullis.yaml': small, 'openapi.json': lines })
    const { code, stderr } = await run(['check'], cwd)
    expect(code).toBe(1)
    expect(stderr).toMatch(/openapi\.json:\d+:27 {2}unknown key "limts" in x-portcullis +P1007/)
    expect(stderr).toContain('"x-portcullis": { "limts": {},')
    expect(stderr).toContain('did you mean "limits"?')
    expect(stderr).toContain('did you mean "enforce"?')

    const overlay = `overlay: 1.1.0
info: { title: Rules, version: 1.0.0 }
actions:
  - target: $.paths['/orders'].get
    update:
      x-portcullis:
        limits:
          default: { rtae: 5/min }
`
    const over = await folder({
      'portcullis.yaml': `${small}    overlays: [./rules.overlay.yaml]\n`,
      'rules.overlay.yaml': overlay,
    })
    const overlaid = await run(['check'], over)
    expect(overlaid.stderr).toContain('rules.overlay.yaml:8:22  unknown key "rtae" in limits.default')
    expect(overlaid.stderr).toContain('did you mean "rate"?')
    expect(overlaid.code).toBe(1)
  })

  test('takes a document alone', async () => {
    const { code, stdout } = await run(['check', './openapi.json'], await folder())
    expect(stdout).toContain('openapi.json holds.')
    expect(code).toBe(0)

    // And tells it from a configuration in any form.
    const body = "{ version: 1, apis: { shop: { openapi: './openapi.json', upstream: 'http://localhost:3000' } } }"
    const cwd = await folder({
      'gate.config.ts': `import { defineConfig } from 'portcullis'\nexport default defineConfig(${body})\n`,
      'gate.json': '{"version":1,"apis":{"shop":{"openapi":"./openapi.json","upstream":"http://localhost:3000"}}}',
      'gate.yaml': body,
    })
    for (const name of ['gate.config.ts', 'gate.json', 'gate.yaml']) {
      expect((await run(['check', `./${name}`], cwd)).stdout).toContain(`${name} holds.`)
    }
  })

  test('finds a document that cannot be read, with 1, and one that is not there where it is named', async () => {
    const cwd = await folder({ 'portcullis.yaml': small, 'openapi.json': '{ "openapi": "3.1.0", ' })
    expect((await run(['check'], cwd)).code).toBe(1)
    await rm(join(cwd, 'openapi.json'))
    const { code, stderr } = await run(['check'], cwd)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^portcullis\.yaml:4:14 {2}.*cannot be read/)
  })
})

describe('init', () => {
  test('writes a file that check accepts, and never over one that is there', async () => {
    const cwd = await folder()
    const words = ['init', '--openapi', './openapi.json', '--upstream', 'http://localhost:3000', '--name', 'shop']
    const { code, stdout } = await run(words, cwd)
    expect(stdout).toContain('portcullis.yaml is written.')
    expect(code).toBe(0)
    expect(await readFile(join(cwd, 'portcullis.yaml'), 'utf8')).toMatch(
      /^# yaml-language-server: \$schema=\.\/node_modules/,
    )
    expect((await run(['check'], cwd)).code).toBe(0)
    const again = await run(words, cwd)
    expect(again.code).toBe(2)
    expect(again.stderr).toContain('--force replaces it')
  })

  test('without a terminal says which words it needs', async () => {
    const { code, stderr } = await run(['init'], await folder())
    expect(code).toBe(2)
    expect(stderr).toContain('portcullis init --openapi ./openapi.yaml --upstream http://localhost:3000')
  })

  test('writes nothing that would be refused', async () => {
    const cwd = await folder()
    const { code } = await run(['init', '--openapi', './openapi.json', '--upstream', 'localhost:3000'], cwd)
    expect(code).toBe(2)
    expect(existsSync(join(cwd, 'portcullis.yaml'))).toBe(false)
  })
})

describe('key and user', () => {
  test('N1: a key is made, listed without its secret, rotated and revoked', async () => {
    const cwd = await folder({ 'portcullis.yaml': small })
    const words = [
      'key',
      'create',
      'partner',
      '--scope',
      'orders:read',
      '--scope',
      'a,b',
      '--role',
      'viewer',
      '--expires',
      '90d',
    ]
    const made = await run([...words, '--cidr', '203.0.113.0/24', '--json'], cwd)
    expect(made.code).toBe(0)
    const created = JSON.parse(made.stdout) as { id: string; key: string; expiresAt: string }
    expect(created).toMatchObject({ name: 'partner', scopes: ['orders:read', 'a', 'b'], roles: ['viewer'] })
    expect(Date.parse(created.expiresAt) - Date.now()).toBeGreaterThan(89 * 86_400_000)

    const listed = await run(['key', 'list'], cwd)
    expect(listed.stdout).toContain(created.id)
    expect(listed.stdout).not.toContain(created.key)

    const rotated = JSON.parse((await run(['key', 'rotate', created.id, '--grace', '1h', '--json'], cwd)).stdout)
    expect(rotated).toMatchObject({ id: created.id, previousUntil: expect.any(String) })
    expect(rotated.key).not.toBe(created.key)

    expect((await run(['key', 'revoke', created.id], cwd)).code).toBe(0)
    expect(JSON.parse((await run(['key', 'list', '--json'], cwd)).stdout)).toMatchObject([
      { id: created.id, revokedAt: expect.any(String) },
    ])
    expect((await run(['key', 'rotate', created.id], cwd)).code).toBe(1)
    expect((await run(['key', 'revoke', 'nosuchkey123'], cwd)).code).toBe(1)
    expect((await run(['key', 'create', 'x', '--cidr', '10.0.0.0/33'], cwd)).code).toBe(2)
  })

  test('a key goes alone to standard output, so that a script can take it', async () => {
    const cwd = await folder({ 'portcullis.yaml': small })
    const { stdout, stderr } = await run(['key', 'create', 'ci'], cwd)
    expect(stdout).toMatch(/^pck_[0-9A-Za-z_]+\n$/)
    expect(stderr).not.toContain(stdout.trim())
  })

  test('N2: a user is added with a password from standard input, listed and removed', async () => {
    const cwd = await folder({ 'portcullis.yaml': small })
    const bin = new URL('../../bin/portcullis.js', import.meta.url).pathname
    const added = await new Promise<number>((resolve) => {
      const child = execFile(
        process.execPath,
        [bin, 'user', 'add', 'anna', '--role', 'editor', '--password-stdin'],
        { cwd, env },
        (error) => resolve(error === null ? 0 : Number(error.code)),
      )
      child.stdin!.end('correct horse battery\n')
    })
    expect(added).toBe(0)
    const list = await run(['user', 'list', '--json'], cwd)
    expect(JSON.parse(list.stdout)).toMatchObject([{ name: 'anna', roles: ['editor'] }])
    expect(list.stdout).not.toContain('horse')
    expect((await run(['user', 'remove', 'anna'], cwd)).code).toBe(0)
    expect((await run(['user', 'remove', 'anna'], cwd)).code).toBe(1)
  })
})

describe('explain', () => {
  test('prints what stands before an operation, by template, path or id', async () => {
    const cwd = await folder({ 'portcullis.yaml': small })
    const ways = [['GET', '/orders/{id}'], ['get', '/orders/7'], ['getOrder'], ['/orders/7']]
    for (const { code, stdout } of await Promise.all(ways.map((words) => run(['explain', ...words], cwd)))) {
      expect(code).toBe(0)
      expect(stdout).toContain('GET /orders/{id}  (getOrder, shop)')
      expect(stdout).toMatch(/callers +key \(proved by apiKey\)/)
      expect(stdout).toMatch(/1 head +.*auth.*→.*security/)
    }
    const [facts] = JSON.parse((await run(['explain', 'POST', '/orders', '--json'], cwd)).stdout) as [
      Record<string, unknown>,
    ]
    expect(facts).toMatchObject({ operation: 'createOrder', requestBody: 'read first', security: { public: false } })
  })

  test('says of a path or method that is not listed what is near', async () => {
    const cwd = await folder({ 'portcullis.yaml': small })
    const method = await run(['explain', 'DELETE', '/orders/7'], cwd)
    expect(method.code).toBe(1)
    expect(method.stderr).toContain('The path has GET.')
    expect((await run(['explain', 'GET', '/order'], cwd)).stderr).toContain('Did you mean /orders?')
    expect((await run(['explain', 'getOder'], cwd)).stderr).toContain('Did you mean getOrder?')
  })

  test('prints the page of an error code', async () => {
    const { code, stdout } = await run(['explain', 'p1007'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^P1007 {2}A key is unknown/)
  })
})

describe('doctor', () => {
  test('tells what works and what is broken, and ends with 1', async () => {
    const upstream = await startUpstream((_request, reply) => reply.end('{}'))
    try {
      const cwd = await folder({ 'portcullis.yaml': small.replace('http://127.0.0.1:9', upstream.url) })
      const well = await run(['doctor'], cwd)
      expect(well.stdout).toContain('Nothing is broken.')
      expect(well.code).toBe(0)
      await writeFile(
        join(cwd, 'portcullis.yaml'),
        `${small}counters: { url: "redis://127.0.0.1:9/0" }\nissuers:\n  main: { issuer: "http://127.0.0.1:9", audience: shop }\n`,
      )
      const ill = await run(['doctor', '--json'], cwd)
      expect(ill.code).toBe(1)
      const { findings } = JSON.parse(ill.stdout) as { findings: { what: string; state: string }[] }
      const bad = findings.filter(({ state }) => state === 'bad').map(({ what }) => what)
      expect(bad).toEqual(expect.arrayContaining(['issuer main', 'counters (redis)', 'upstream of shop']))
      expect(findings.find(({ what }) => what === 'store (sqlite)')).toMatchObject({ state: 'ok' })
    } finally {
      await upstream.stop()
    }
  })

  test('T3: reads certificates as a listener does: one that ends soon, one that does not fit its key', async () => {
    const authority = await testAuthority()
    const [soon, other] = [
      await testCertificate(authority, { to: Date.now() + 5 * 86_400_000 }),
      await testCertificate(authority),
    ]
    const pair = (name: string) => `tls: { certificate: ./${name}.pem, key: ./soon.key }`
    const listen = `listen: [{ port: 8443, ${pair('soon')} }, { port: 9443, ${pair('other')} }]\n`
    const cwd = await folder({
      'portcullis.yaml': `${small}${listen}`,
      'soon.pem': soon.certificate,
      'soon.key': soon.key,
      'other.pem': other.certificate,
    })
    const { findings } = JSON.parse((await run(['doctor', '--json'], cwd)).stdout) as {
      findings: { what: string; state: string; detail: string }[]
    }
    expect(findings.filter(({ what }) => what.startsWith('certificate'))).toEqual([
      {
        what: 'certificate on port 8443',
        state: 'warn',
        detail: expect.stringMatching(/^localhost, ends .*\(4 days\)$/),
      },
      { what: 'certificate on port 9443', state: 'bad', detail: expect.stringContaining('does not belong') },
    ])
  })
})

describe('dev', () => {
  test('S1: prints a key and a curl line that passes, with HTTPS and right headers, and ends on a signal', async () => {
    const upstream = await startUpstream((_request, reply) => reply.end('[]'))
    const cwd = await folder()
    await mkdir(cwd, { recursive: true })
    const bin = new URL('../../bin/portcullis.js', import.meta.url).pathname
    const child = execFile(
      process.execPath,
      [bin, 'dev', './openapi.json', '--upstream', upstream.url, '--port', '0'],
      { cwd, env },
    )
    let stderr = ''
    child.stderr!.on('data', (piece: string) => {
      stderr += piece
    })
    try {
      const curl = await until(() => /^ {2}(curl .*)$/m.exec(stderr)?.[1], 'the curl line')
      expect(curl).toMatch(
        /^curl --cacert \.portcullis\/tls\/development-ca\.pem -H 'X-API-Key: pck_\w+' https:\/\/localhost:\d+\/orders$/,
      )
      const answered = await new Promise<string>((resolve, reject) => {
        execFile('sh', ['-c', `${curl} -sS -w ' %{http_code}'`], { cwd }, (error, stdout) =>
          error ? reject(error) : resolve(stdout),
        )
      })
      expect(answered).toBe('[] 200')

      const url = /https:\/\/localhost:\d+/.exec(curl)![0]
      const headers = await run(['check', 'headers', `${url}/orders`], cwd)
      expect(headers.stdout).toContain('(GET')
      expect(headers.stdout).not.toContain('FAIL')
      expect(headers.code).toBe(0)
      const plain = await run(['check', 'headers', upstream.url, '--json'], cwd)
      expect(plain.code).toBe(1)
      expect(JSON.parse(plain.stdout)).toMatchObject({ ok: false, status: 200 })

      const body = await run(['key', 'list', '--json'], cwd)
      expect(JSON.parse(body.stdout)).toMatchObject([{ name: 'dev' }])
      const without = curl.replace(/-H '[^']*' /, '')
      const refused = await new Promise<string>((resolve) => {
        execFile('sh', ['-c', `${without} -sS -o /dev/null -w '%{http_code}'`], { cwd }, (_error, stdout) =>
          resolve(stdout),
        )
      })
      expect(refused).toBe('401')
    } finally {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      expect(await ended, stderr).toBe(0)
      await upstream.stop()
    }
  })
})

describe('start', () => {
  test('takes a changed file over without a dropped request, keeps the old one when the new one is bad, and says so', async () => {
    const upstream = await startUpstream((_request, reply) => reply.end('{}'))
    const gate = await spawnGate({ upstream: upstream.url, api: { limits: { mode: 'off' } } })
    const file = join(gate.dir, 'portcullis.yaml')
    try {
      const status = async (path: string) => (await fetch(`${gate.url}${path}`)).status
      let calling = true
      expect(await status('/health')).toBe(200)
      expect(await status('/extra')).toBe(404)

      const statuses = new Set<number>()
      const caller = (async () => {
        while (calling) statuses.add(await status('/health').catch(() => 0))
      })()

      const document = structuredClone(smallDocument) as unknown as { paths: Record<string, unknown> }
      document.paths['/extra'] = {
        get: { operationId: 'extra', security: [], responses: { 200: { description: 'New.' } } },
      }
      await writeFile(join(gate.dir, 'openapi.json'), JSON.stringify(document))
      await until(async () => (await status('/extra')) === 200, 'the new document')

      const good = await readFile(file, 'utf8')
      await writeFile(file, good.replace('"apis"', '"apsi"'))
      await until(
        () => gate.stderr().includes('The new configuration is refused; the old one stays in force.'),
        'the refusal',
      )
      expect(gate.stderr()).toContain('P1007')
      expect(await status('/extra')).toBe(200)

      await writeFile(file, good)
      gate.child.kill('SIGHUP')
      await until(
        () => /The new configuration is in force.*SIGHUP|SIGHUP.*in force/.test(gate.stderr()),
        'the reload by signal',
      )
      calling = false
      await caller
      expect([...statuses]).toEqual([200])

      const refusal = await fetch(`${gate.url}/orders`)
      const { instance } = (await refusal.json()) as { instance: string }
      const explained = await gate.command('explain', instance)
      expect(explained.stdout).toContain('GET /orders')
      expect(explained.stdout).toContain('refused by  security.credential-missing')
      expect(explained.stdout).toMatch(/^ {2}to mend +\S/m)
      expect(explained.code).toBe(0)
      expect((await gate.command('explain', 'req_00000000000000000000000000', '--json')).code).toBe(1)
    } finally {
      expect(await gate.stop()).toBe(0)
      await gate.remove()
      await upstream.stop()
    }
  })
})
