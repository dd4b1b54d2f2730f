import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfigErrors } from '../base/errors.ts'
import { folder, guards, load, refusal } from './fixture.ts'
import { type Config, loadConfig } from './load.ts'
import { configShape } from './schema.ts'
import { alternatives, child, keysOf } from './shapes.ts'

const small = 'version: 1\napis:\n  shop:\n    openapi: ./openapi.yaml\n    upstream: http://localhost:3000\n'

describe('a configuration of six lines', () => {
  test('is enough, and everything else has its secure default', async () => {
    const { settings, directory } = await load({ 'portcullis.yaml': small })
    expect(settings.listen).toEqual([
      { port: 8443, host: '127.0.0.1', tls: 'development', behindTlsTerminator: false, http2: true },
    ])
    expect(settings.apis.shop).toMatchObject({
      openapi: join(directory, 'openapi.yaml'),
      unsecured: 'refuse',
      upstream: { targets: [{ url: 'http://localhost:3000', weight: 1 }] },
      validate: { mode: 'enforce', maxBody: 1_048_576 },
      limits: {},
    })
  })

  test('reads the same as JSON', async () => {
    const yaml = await load({ 'portcullis.yaml': small })
    const json = await load({
      'portcullis.json': JSON.stringify({
        version: 1,
        apis: { shop: { openapi: './openapi.yaml', upstream: 'http://localhost:3000' } },
      }),
    })
    const neutral = (config: typeof yaml) => JSON.stringify(config.settings).replaceAll(config.directory, '.')
    expect(neutral(json)).toBe(neutral(yaml))
  })

  test('keeps its state beside itself, not in the working directory', async () => {
    const { settings, directory } = await load({ 'portcullis.yaml': small })
    expect(settings.store.url).toBe(`sqlite:${join(directory, '.portcullis/state.db')}`)
  })
})

/** What is wrong, and to the letter what the terminal shows of it. */
const refusals: readonly (readonly [title: string, yaml: string, shown: string])[] = [
  [
    'a key that nobody reads, with the one that was meant',
    `${small}    limits:\n      default:\n        rate: 100/min\n        bursts: 20\n`,
    `portcullis.yaml:9:9  unknown key "bursts" in limits.default           P1007
    8 |         rate: 100/min
    9 |         bursts: 20
      |         ^^^^^^ did you mean "burst"?   docs: portcullis explain P1007`,
  ],
  [
    'a key one level too deep, with the level where it belongs',
    `${small}    trustedProxies: [10.0.0.0/8]\n`,
    `portcullis.yaml:6:5  unknown key "trustedProxies" in apis.shop        P1007
    5 |     upstream: http://localhost:3000
    6 |     trustedProxies: [10.0.0.0/8]
      |     ^^^^^^^^^^^^^^ "trustedProxies" belongs at the top   docs: portcullis explain P1007`,
  ],
  [
    'a key one level too high, with the level where it belongs',
    `${small}headerBytes: 8KB\n`,
    `portcullis.yaml:6:1  unknown key "headerBytes" at the top             P1007
    5 |     upstream: http://localhost:3000
    6 | headerBytes: 8KB
      | ^^^^^^^^^^^ "headerBytes" belongs in connection   docs: portcullis explain P1007`,
  ],
  [
    'a key of the whole product that this version does not have, without pretending',
    `${small}    waf: { mode: enforce }\n`,
    `portcullis.yaml:6:5  unknown key "waf" in apis.shop                   P1007
    5 |     upstream: http://localhost:3000
    6 |     waf: { mode: enforce }
      |     ^^^ not in this version, which would protect nothing by it: take it out   docs: portcullis explain P1007`,
  ],
  [
    'a store that is none, and says where Redis belongs',
    `${small}store: { url: "redis://cache:6379" }\n`,
    `portcullis.yaml:6:15  store.url names no store that is known          P1040
    5 |     upstream: http://localhost:3000
    6 | store: { url: "redis://cache:6379" }
      |               ^^^^^^^^^^^^^^^^^^^^ Redis counts: counters: { url: … }; keys and users are kept by sqlite:FILE or postgres://…   docs: portcullis explain P1040`,
  ],
  [
    'counters that are none',
    `${small}counters: { url: memcached }\n`,
    `portcullis.yaml:6:18  counters.url names no counters that are known   P1041
    5 |     upstream: http://localhost:3000
    6 | counters: { url: memcached }
      |                  ^^^^^^^^^ memory, or redis://user:password@host:6379/0   docs: portcullis explain P1041`,
  ],
  [
    'a key that stands twice',
    `${small}workers: 1\nworkers: 2\n`,
    `portcullis.yaml:7:1  this key stands twice                            P1005
    6 | workers: 1
    7 | workers: 2
      | ^^^^^^^ docs: portcullis explain P1005`,
  ],
  [
    'a missing key',
    'version: 1\napis:\n  shop:\n    upstream: http://localhost:3000\n',
    `portcullis.yaml:3:3  missing key "openapi" in apis.shop               P1006
    2 | apis:
    3 |   shop:
      |   ^^^^ The OpenAPI document: a file, 2.0 to 3.2, YAML or JSON.   docs: portcullis explain P1006`,
  ],
  [
    'a missing version',
    'apis:\n  shop: { openapi: ./o.yaml, upstream: http://localhost:3000 }\n',
    `portcullis.yaml:1:1  missing key "version" at the top                 P1006
    1 | apis:
      | ^ version: 1   docs: portcullis explain P1006`,
  ],
  [
    'another version',
    small.replace('version: 1', 'version: 2'),
    `portcullis.yaml:1:10  this program reads version 1, found 2           P1016
    1 | version: 2
      |          ^ version: 1   docs: portcullis explain P1016`,
  ],
  [
    'a value of another kind',
    `${small}workers: two\n`,
    `portcullis.yaml:6:10  workers: expected a number, found "two"         P1008
    5 |     upstream: http://localhost:3000
    6 | workers: two
      |          ^^^ Processes that share the listeners.   docs: portcullis explain P1008`,
  ],
  [
    'a key with nothing behind it',
    `${small}workers:\n`,
    `portcullis.yaml:6:1  workers: expected a number, found nothing        P1008
    5 |     upstream: http://localhost:3000
    6 | workers:
      | ^^^^^^^ Processes that share the listeners.   docs: portcullis explain P1008`,
  ],
  [
    'a list where a map belongs',
    `${small}connection: [1]\n`,
    `portcullis.yaml:6:1  connection: expected a map, found a list         P1008
    5 |     upstream: http://localhost:3000
    6 | connection: [1]
      | ^^^^^^^^^^ Bounds on what one connection may do. The defaults hold for the internet.   docs: portcullis explain P1008`,
  ],
  [
    'a number past its limit',
    `${small}workers: 257\n`,
    `portcullis.yaml:6:10  workers: expected at most 256, found 257        P1009
    5 |     upstream: http://localhost:3000
    6 | workers: 257
      |          ^^^ Processes that share the listeners.   docs: portcullis explain P1009`,
  ],
  [
    'a word that is not among those allowed, with the one that was meant',
    `${small}    validate: { mode: enforced }\n`,
    `portcullis.yaml:6:23  validate.mode: expected "off", "observe" or "enforce", found "enforced"  P1009
    5 |     upstream: http://localhost:3000
    6 |     validate: { mode: enforced }
      |                       ^^^^^^^^ did you mean "enforce"?   docs: portcullis explain P1009`,
  ],
  [
    'a duration in a unit that does not exist',
    `${small}drain: 5 minutes\n`,
    `portcullis.yaml:6:8  drain: expected a duration such as 250ms, 30s, 15m, 2h or 30d  P1009
    5 |     upstream: http://localhost:3000
    6 | drain: 5 minutes
      |        ^^^^^^^^^ How long a stop waits for requests in flight.   docs: portcullis explain P1009`,
  ],
  [
    'an upstream without a scheme',
    small.replace('http://localhost:3000', 'localhost:3000'),
    `portcullis.yaml:5:15  upstream: expected a URL such as https://10.0.0.7:8443, found "localhost:3000"  P1009
    4 |     openapi: ./openapi.yaml
    5 |     upstream: localhost:3000
      |               ^^^^^^^^^^^^^^ Where the requests go: a URL such as http://localhost:3000, several of them, or the long form.   docs: portcullis explain P1009`,
  ],
  [
    'none of several forms',
    `${small}listen:\n  - { port: 8443, tls: of }\n`,
    `portcullis.yaml:7:24  listen[0].tls: expected "off", "development" or a map, found "of"  P1009
    6 | listen:
    7 |   - { port: 8443, tls: of }
      |                        ^^ did you mean "off"?   docs: portcullis explain P1009`,
  ],
  [
    'plain HTTP on a network',
    `${small}listen:\n  - { port: 8080, tls: off }\n`,
    `portcullis.yaml:7:24  listen[0] would speak plain HTTP on 0.0.0.0     P1020
    6 | listen:
    7 |   - { port: 8080, tls: off }
      |                        ^^^ credentials would be readable on the way; host: 127.0.0.1, or behindTlsTerminator: true   docs: portcullis explain P1020`,
  ],
  [
    'a listener that says nothing of TLS',
    `${small}listen:\n  - { port: 8443 }\n`,
    `portcullis.yaml:7:5  listen[0] does not say how it speaks TLS         P1021
    6 | listen:
    7 |   - { port: 8443 }
      |     ^^^^^^^^^^^^^^ tls: { certificate: ./cert.pem, key: ./key.pem }, or acme, development, or redirect: https   docs: portcullis explain P1021`,
  ],
  [
    'a certificate without its key',
    `${small}listen:\n  - { port: 8443, tls: { certificate: ./cert.pem } }\n`,
    `portcullis.yaml:7:39  listen[0] has a certificate without its key     P1022
    6 | listen:
    7 |   - { port: 8443, tls: { certificate: ./cert.pem } }
      |                                       ^^^^^^^^^^ add "key"   docs: portcullis explain P1022`,
  ],
  [
    'client certificates that nobody vouches for',
    `${small}listen:\n  - { port: 1, tls: { certificate: c, key: k, clientCertificate: require } }\n`,
    `portcullis.yaml:7:66  listen[0] requires client certificates and trusts no authority  P1022
    6 | listen:
    7 |   - { port: 1, tls: { certificate: c, key: k, clientCertificate: require } }
      |                                                                  ^^^^^^^ clientCa: ./clients-ca.pem   docs: portcullis explain P1022`,
  ],
  [
    'two listeners on one port',
    `${small}listen:\n  - { port: 80, redirect: https }\n  - { port: 80, redirect: https }\n`,
    `portcullis.yaml:8:13  listen[0] and listen[1] want the same port 80   P1023
    7 |   - { port: 80, redirect: https }
    8 |   - { port: 80, redirect: https }
      |             ^^ docs: portcullis explain P1023`,
  ],
  [
    'an API without an upstream',
    'version: 1\napis:\n  shop:\n    openapi: ./openapi.yaml\n',
    `portcullis.yaml:3:3  missing key "upstream" in apis.shop              P1024
    2 | apis:
    3 |   shop:
      |   ^^^^ upstream: http://localhost:3000   docs: portcullis explain P1024`,
  ],
  [
    'an address range that is none',
    `${small}trustedProxies: [10.0.0.0/33]\n`,
    `portcullis.yaml:6:18  trustedProxies[0]: expected an IP range such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32, found "10.0.0.0/33"  P1030
    5 |     upstream: http://localhost:3000
    6 | trustedProxies: [10.0.0.0/33]
      |                  ^^^^^^^^^^^ docs: portcullis explain P1030`,
  ],
  [
    'no API at all',
    'version: 1\napis: {}\n',
    `portcullis.yaml:2:1  no API is configured                             P1026
    1 | version: 1
    2 | apis: {}
      | ^^^^ shop: { openapi: ./openapi.yaml, upstream: http://localhost:3000 }   docs: portcullis explain P1026`,
  ],
  [
    'an API whose name cannot be a label',
    'version: 1\napis:\n  "my shop": { openapi: ./o.yaml, upstream: http://localhost:3000 }\n',
    `portcullis.yaml:3:3  the key "my shop": expected text that matches /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/  P1009
    2 | apis:
    3 |   "my shop": { openapi: ./o.yaml, upstream: http://localhost:3000 }
      |   ^^^^^^^^^ docs: portcullis explain P1009`,
  ],
  [
    'an empty file',
    '\n',
    `portcullis.yaml:1:1  a configuration is a map of keys, and this file is empty  P1004
    1 | 
      | ^ it begins with "version: 1"; \`portcullis init\` writes one   docs: portcullis explain P1004`,
  ],
  [
    'YAML that is none',
    'version: 1\napis: [\n',
    `portcullis.yaml:3:1  flow sequence in block collection must be sufficiently indented and end with a ]  P1002
    2 | apis: [
    3 | 
      | ^ docs: portcullis explain P1002`,
  ],
  [
    'a placeholder without quotes in a flow map',
    `${small}store: { url: \${STORE_URL} }\n`,
    `portcullis.yaml:6:16  unexpected flow-map-start at node end           P1002
    5 |     upstream: http://localhost:3000
    6 | store: { url: \${STORE_URL} }
      |                ^ put quotes around "\${…}"   docs: portcullis explain P1002`,
  ],
  [
    'a placeholder that makes no sense',
    `${small}store: { url: "\${STORE URL}" }\n`,
    `portcullis.yaml:6:15  this placeholder cannot be understood           P1011
    5 |     upstream: http://localhost:3000
    6 | store: { url: "\${STORE URL}" }
      |               ^^^^^^^^^^^^^^ write \${NAME}, \${NAME:-default} or \${file:./path}; $\${ stands for \${ itself   docs: portcullis explain P1011`,
  ],
]

describe('refuses', () => {
  test.each(refusals)('%s', async (_title, yaml, shown) => {
    expect(await refusal({ 'portcullis.yaml': yaml })).toBe(shown)
  })

  test('everything that is wrong at once, in the order of the file', async () => {
    const yaml = `version: 1
workers: 0
drain: soon
store: { url: "\${NO_SUCH}" }
listen:
  - { port: 8080, tls: off }
apis:
  shop:
    openapi: ./openapi.yaml
    upstraem: http://localhost:3000
    limits: { a: { rate: many }, b: { burst: 0 } }
`
    const text = await refusal({ 'portcullis.yaml': yaml })
    const heads = text.split('\n').filter((line) => line.startsWith('portcullis.yaml:'))
    expect(heads.map((line) => /^\S+:(\d+):\d+ .* (P\d+)$/.exec(line)!.slice(1, 3).join(' '))).toEqual([
      '2 P1009',
      '3 P1009',
      '4 P1010',
      '6 P1020',
      '10 P1007',
      '11 P1009',
      '11 P1009',
    ])
  })

  test('a file that is not there, without a frame', async () => {
    const directory = await folder()
    await expect(loadConfig({ file: join(directory, 'none.yaml'), env: {}, guards })).rejects.toMatchObject({
      errors: [{ code: 'P1001', message: expect.stringContaining('there is no such file') }],
    })
  })

  test.each([
    [
      'a bomb of aliases',
      `a: &a [${'x,'.repeat(9)}x]\n${[...'bcdefgh'].map((n, i) => `${n}: &${n} [${Array(10).fill(`*${'abcdefgh'[i]}`).join(',')}]`).join('\n')}`,
    ],
    ['an alias of itself', 'a: &a { b: *a }'],
    ['nesting without end', `a: ${'['.repeat(100)}${']'.repeat(100)}`],
    ['a key that would change what objects inherit', '__proto__: { workers: 3 }'],
    ['a tag that asks for something else', 'a: !!js/function "x"'],
    ['two documents in one file', 'version: 1\n---\nversion: 1'],
  ])('%s', async (_title, yaml) => {
    const started = performance.now()
    await expect(load({ 'portcullis.yaml': yaml })).rejects.toBeInstanceOf(ConfigErrors)
    expect(performance.now() - started).toBeLessThan(2_000)
  })
})

describe('listeners', () => {
  const listening = (entry: string) => ({ 'portcullis.yaml': `${small}listen: [${entry}]\n` })

  test.each([
    '{ port: 8080, host: 127.0.0.1, tls: off }',
    '{ port: 8080, host: "::1", tls: off }',
    '{ port: 8080, host: localhost, tls: off }',
    '{ port: 8080, tls: off, behindTlsTerminator: true }',
    '{ port: 80, redirect: https }',
    '{ port: 443, tls: { certificate: ./c.pem, key: ./k.pem } }',
    '{ port: 443, tls: { acme: { domains: [api.example.com] } } }',
  ])('may be %s', async (entry) => {
    const { warnings } = await load(listening(entry))
    expect(warnings).toEqual([])
  })

  test.each([
    '{ port: 8080, host: 0.0.0.0, tls: off }',
    '{ port: 8080, host: "::", tls: off }',
    '{ port: 8080, host: 128.0.0.1, tls: off }',
    '{ port: 8080, host: 127.0.0.1.example.com, tls: off }',
    '{ port: 443, tls: {} }',
    '{ port: 443, tls: { certificate: ./c.pem, key: ./k.pem, acme: { domains: [a.example] } } }',
    '{ port: 80, redirect: https, tls: development }',
    '{ port: 65536, redirect: https }',
    '{ port: 443, tls: { certificate: ./c.pem, key: ./k.pem, clientCrl: ./crl.pem } }',
  ])('may not be %s', async (entry) => {
    await expect(load(listening(entry))).rejects.toBeInstanceOf(ConfigErrors)
  })

  test('say nothing of TLS only in development, which then makes a certificate', async () => {
    await expect(load(listening('{ port: 8443, host: 127.0.0.1 }'))).rejects.toMatchObject({
      errors: [{ code: 'P1021' }],
    })
    const { settings } = await load(listening('{ port: 8443, host: 127.0.0.1 }'), { dev: true })
    expect(settings.listen[0]!.tls).toBe('development')
  })

  test('with a development certificate on a network are told of', async () => {
    const { warnings } = await load(listening('{ port: 8443, tls: development }'))
    expect(warnings.map(({ message }) => message)).toEqual(['listen[0] shows a development certificate on 0.0.0.0'])
  })
})

describe('placeholders', () => {
  const withStore = `${small}store: { url: "\${STORE_URL}" }\n`

  test('take the environment first, then .env, then the file that NAME_FILE names, then the default', async () => {
    const url = async (files: Record<string, string>, env: Record<string, string>, yaml = withStore) =>
      (await load({ 'portcullis.yaml': yaml, secret: 'sqlite:from-file\n', ...files }, { env })).settings.store.url
    const dotEnv = { '.env': 'STORE_URL="sqlite::memory:"\n' }
    expect(await url(dotEnv, { STORE_URL: 'postgres://env/db' })).toBe('postgres://env/db')
    expect(await url(dotEnv, { STORE_URL_FILE: './secret' })).toBe('sqlite::memory:')
    expect(await url({}, { STORE_URL_FILE: './secret' })).toMatch(/^sqlite:\/.*\/from-file$/)
    expect(await url({ '.env': 'STORE_URL_FILE=./secret' }, {})).toMatch(/\/from-file$/)
    expect(await url({}, {}, withStore.replace('STORE_URL', 'STORE_URL:-postgres://x/y'))).toBe('postgres://x/y')
    expect(await url({}, {}, withStore.replace('STORE_URL', 'file:./secret'))).toMatch(/\/from-file$/)
  })

  test('stand within a text, several at once, and $${ stands for itself', async () => {
    const yaml = `${small}    validate: { deny: ["\${A}-\${B:-b}-$\${C}"] }\n`
    const { settings } = await load({ 'portcullis.yaml': yaml }, { env: { A: 'a' } })
    expect(settings.apis.shop!.validate).toMatchObject({ deny: ['a-b-${C}'] })
  })

  test('become a number where only a number fits, and stay text where text fits', async () => {
    const yaml = `${small}workers: \${N}\nlisten: [{ port: "\${PORT}", redirect: https, http2: "\${H2}" }]\n`.replace(
      'upstream:',
      'validate: { secretKey: "${PIN}" }\n    upstream:',
    )
    const { settings } = await load(
      { 'portcullis.yaml': yaml },
      { env: { N: '3', PORT: '8080', H2: 'false', PIN: '12345678' } },
    )
    expect(settings.workers).toBe(3)
    expect(settings.listen[0]).toMatchObject({ port: 8080, http2: false })
    expect(settings.apis.shop!.validate).toMatchObject({ secretKey: '12345678' })
  })

  test.each([
    ['that are not set', {}, 'the variable STORE_URL is not set', 'set it, write it to .env'],
    [
      'that are set but empty',
      { STORE_URL: '' },
      'the variable STORE_URL is set but empty',
      'allow it with ${STORE_URL:-}',
    ],
    ['that are misspelt', { STORE_URI: 'x' }, 'the variable STORE_URL is not set', 'did you mean "STORE_URI"?'],
    ['whose file is not there', { STORE_URL_FILE: '/no/such' }, 'cannot read /no/such: there is no such file', ''],
  ])('%s are refused at their place', async (_title, env, message, hint) => {
    const text = await refusal({ 'portcullis.yaml': withStore }, { env: env as unknown as Record<string, string> })
    expect(text).toContain(`portcullis.yaml:6:15  ${message}`)
    expect(text).toContain(hint)
    expect(text.match(/P10\d\d$/gm)).toHaveLength(1 + 1)
  })

  test('of the same name may be empty where the text says so', async () => {
    const yaml = `${small}    validate: { deny: ["\${A:-}"] }\n`
    const { settings } = await load({ 'portcullis.yaml': yaml }, { env: { A: '' } })
    expect(settings.apis.shop!.validate).toMatchObject({ deny: [''] })
  })

  test('never show their values in what is refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.stringMatching(/^[a-z0-9"'\\:/@{}#%-]{12,40}$/),
        fc.constantFrom('workers', 'drain', 'store', 'trusted', 'upstream', 'secretKey', 'shout', 'mode', 'tls'),
        async (secret, where) => {
          const directory = await folder({
            'portcullis.yaml': `version: 1
workers: ${where === 'workers' ? '"${S}"' : 1}
drain: ${where === 'drain' ? '"${S}"' : '30s'}
trustedProxies: [${where === 'trusted' ? '"${S}"' : ''}]
listen: [{ port: 1, host: 127.0.0.1, tls: ${where === 'tls' ? '"${S}"' : 'off'} }]
apis:
  shop:
    openapi: ./o.yaml
    upstream: ${where === 'upstream' ? '"ftp://user:${S}@host"' : 'http://localhost:3000'}
    validate: { wait: x, secretKey: ${where === 'secretKey' ? '"${S}"' : 'x'}, mode: ${where === 'mode' ? '"${S}"' : 'off'} }
`,
          })
          const error = await loadConfig({ file: join(directory, 'portcullis.yaml'), env: { S: secret }, guards }).then(
            () => undefined,
            (thrown: ConfigErrors) => thrown,
          )
          expect(error).toBeInstanceOf(ConfigErrors)
          const { framed } = await import('./frame.ts')
          const text =
            framed(error) + JSON.stringify(error!.errors.map(({ message, hint, stack }) => [message, hint, stack]))
          expect(text).not.toContain(secret)
          expect(text).not.toContain(JSON.stringify(secret).slice(1, -1))
        },
      ),
      { numRuns: 60 },
    )
  })

  test("are put back in a guard's own message, and in messages of later stages", async () => {
    const yaml = `${small}    validate: { shout: "\${SHOUT}" }\n`
    expect(await refusal({ 'portcullis.yaml': yaml }, { env: { SHOUT: 'loud' } })).toContain('${SHOUT} is too ${SHOUT}')
    const url = 'postgres://gate:p%40ssword@db/gate'
    const { redact } = await load({ 'portcullis.yaml': withStore }, { env: { STORE_URL: url } })
    expect(redact(`cannot connect to ${url}`)).toBe('cannot connect to ${STORE_URL}')
    expect(redact('password p@ssword refused')).toBe('password ${STORE_URL} refused')
  })

  test('of a secret in a file leave it out of the frame', async () => {
    const files = { 'portcullis.yaml': `${small}workers: "\${file:./pin}"\n`, pin: 'hunter22\n' }
    const text = await refusal(files)
    expect(text).toContain('workers: expected a number, found "${file:./pin}"')
    expect(text).not.toContain('hunter22')
  })
})

describe('extends', () => {
  test('lays maps upon maps and replaces everything else; the later one wins', async () => {
    const { settings, files, directory } = await load({
      'portcullis.yaml': `version: 1
extends: [./a.yaml, ./b.yaml]
apis: { shop: { validate: { mode: observe } } }
`,
      'a.yaml': `workers: 2
trustedProxies: [10.0.0.0/8, 192.168.0.0/16]
apis: { shop: { openapi: ./openapi.yaml, upstream: http://a:1, validate: { mode: off, maxBody: 2KB } } }
`,
      'b.yaml': 'trustedProxies: [172.16.0.0/12]\nworkers: 3\n',
    })
    expect(settings.workers).toBe(3)
    expect(settings.trustedProxies).toEqual(['172.16.0.0/12'])
    expect(settings.apis.shop!.validate).toMatchObject({ mode: 'observe', maxBody: 2048 })
    for (const name of ['portcullis.yaml', 'a.yaml', 'b.yaml', '.env', 'openapi.yaml']) {
      expect(files).toContain(join(directory, name))
    }
  })

  test('reads paths and secrets from the folder of the file that wrote them', async () => {
    const directory = await folder({ 'portcullis.yaml': 'version: 1\nextends: ./base/base.yaml\n' })
    await mkdir(join(directory, 'base'))
    await writeFile(join(directory, 'base/pin'), 'secret-pin')
    await writeFile(
      join(directory, 'base/base.yaml'),
      `apis:
  shop:
    openapi: openapi.yaml
    overlays: [../over.yaml]
    upstream: { targets: [{ url: https://a:1 }], tls: { ca: ca.pem } }
    validate: { secretKey: "\${file:./pin}", deny: ["list:./deny.txt", "./x", "plain"], schema: /abs.json }
`,
    )
    const { settings, files } = await loadConfig({ file: join(directory, 'portcullis.yaml'), env: {}, guards })
    const base = join(directory, 'base')
    expect(settings.apis.shop).toMatchObject({
      openapi: join(base, 'openapi.yaml'),
      overlays: [join(directory, 'over.yaml')],
      upstream: { tls: { ca: join(base, 'ca.pem') } },
      validate: {
        secretKey: 'secret-pin',
        deny: [`list:${join(base, 'deny.txt')}`, join(base, 'x'), 'plain'],
        schema: '/abs.json',
      },
    })
    expect(files).toEqual(expect.arrayContaining([join(base, 'pin'), join(base, 'deny.txt'), join(base, 'ca.pem')]))
  })

  test('names the file of an error that stands in a lower layer', async () => {
    const text = await refusal({
      'portcullis.yaml': `extends: ./a.yaml\n${small}`,
      'a.yaml': 'connection:\n  headerByte: 8KB\n',
    })
    expect(text).toContain('a.yaml:2:3  unknown key "headerByte" in connection')
    expect(text).toContain('did you mean "headerBytes"?')
  })

  test('knows the profiles that come with the program', async () => {
    const { settings } = await load({ 'portcullis.yaml': `extends: portcullis/profiles/strict\n${small}` })
    expect(settings.connection.headerBytes).toBe(8_192)
    expect(await refusal({ 'portcullis.yaml': `extends: portcullis/profiles/strikt\n${small}` })).toContain(
      'did you mean "portcullis/profiles/strict"?',
    )
  })

  test.each([
    ['itself', { 'portcullis.yaml': `extends: ./portcullis.yaml\n${small}` }, 'P1014'],
    ['a circle', { 'portcullis.yaml': `extends: ./a.yaml\n${small}`, 'a.yaml': 'extends: ./portcullis.yaml' }, 'P1014'],
    ['what is not there', { 'portcullis.yaml': `extends: ./a.yaml\n${small}` }, 'P1013'],
  ])('refuses %s', async (_title, files, code) => {
    const text = await refusal(files)
    expect(text).toMatch(new RegExp(`${code}$`, 'm'))
    expect(text).toMatch(/^\S+:1:10 {2}/)
  })

  test('may meet the same file on two ways', async () => {
    const { settings } = await load({
      'portcullis.yaml': `extends: [./a.yaml, ./b.yaml]\n${small}`,
      'a.yaml': 'extends: ./c.yaml',
      'b.yaml': 'extends: ./c.yaml',
      'c.yaml': 'workers: 4',
    })
    expect(settings.workers).toBe(4)
  })
})

describe('a configuration module', () => {
  const body = "version: 1, apis: { shop: { openapi: './openapi.yaml', upstream: 'http://localhost:3000' } }"

  test('in TypeScript is checked as a file is, and extends one', async () => {
    const directory = await folder({
      'portcullis.config.ts': `import { defineConfig } from 'portcullis'
const workers: number = 2
export default defineConfig({ extends: './base.yaml', ${body}, workers })
`,
      'base.yaml': 'drain: 5s\n',
    })
    const [{ settings }] = await inNode(join(directory, 'portcullis.config.ts'))
    expect(settings).toMatchObject({ workers: 2, drain: 5_000 })
    expect(settings.apis.shop!.openapi).toBe(join(directory, 'openapi.yaml'))
  })

  test('is read anew on every load, with what it imports', async () => {
    const directory = await folder({
      'portcullis.config.mjs': `import { workers } from './workers.mjs'\nexport default { ${body}, workers }\n`,
      'workers.mjs': 'export const workers = 2\n',
    })
    const workers = join(directory, 'workers.mjs')
    const change = `writeFileSync(${JSON.stringify(workers)}, 'export const workers = 5')`
    const [first, second] = await inNode(join(directory, 'portcullis.config.mjs'), change)
    expect([first.settings.workers, second!.settings.workers]).toEqual([2, 5])
    expect(second!.files).toContain(workers)
  })

  test.each([
    [
      'an unknown key',
      `export default { ${body}, wrokers: 1 }`,
      /unknown key "wrokers" at the top +P1007\n +did you mean "workers"/,
    ],
    ['no default export', `export const config = { ${body} }`, /P1004/],
    ['an error of its own', "throw new Error('no luck')", /cannot load this module: no luck +P1017/],
    ['a syntax that is none', 'export default {', /P1017/],
  ])('with %s is refused', async (_title, text, shown) => {
    expect(await refusal({ 'portcullis.config.mjs': text })).toMatch(shown)
  })
})

/** Loads a module, and again after a change, in a process of its own: the test runner puts its own loader before node's. */
async function inNode(
  file: string,
  change = '',
): Promise<[Pick<Config, 'settings' | 'files'>, Pick<Config, 'settings' | 'files'>?]> {
  const script = `
    import { writeFileSync } from 'node:fs'
    import { loadConfig } from ${JSON.stringify(new URL('./load.ts', import.meta.url).href)}
    const load = () => loadConfig({ file: ${JSON.stringify(file)}, env: {}, guards: [] })
    const configs = [await load()]
    ${change}
    if (${change !== ''}) configs.push(await load())
    process.stdout.write(JSON.stringify(configs))
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  return JSON.parse(stdout)
}

describe('what a load gives', () => {
  test('a folder for what the gate makes, and the store in it unless it has a place of its own', async () => {
    const beside = await load({ 'portcullis.yaml': `${small}stateDir: ./var\n` })
    expect(beside.settings.stateDir).toBe(join(beside.directory, 'var'))
    expect(beside.settings.store.url).toBe(`sqlite:${join(beside.directory, 'var/state.db')}`)
    const { settings } = await load({
      'portcullis.yaml': `${small}stateDir: /var/lib/x\nstore: { url: "postgres://db/x" }\n`,
    })
    expect(settings).toMatchObject({ stateDir: '/var/lib/x', store: { url: 'postgres://db/x' } })
    const own = await load({ 'portcullis.yaml': `${small}stateDir: /var/lib/x\nstore: { url: "sqlite:./y.db" }\n` })
    expect(own.settings.store.url).toBe(`sqlite:${join(own.directory, 'y.db')}`)
  })

  const yaml = `${small}    auth: [main]\nissuers:\n  main: { issuer: https://id.example.com, audience: shop }\n`

  test('names the place of a value, and of what stands nearest to a missing one', async () => {
    const { placeOf, file } = await load({ 'portcullis.yaml': yaml })
    expect(placeOf(['apis', 'shop', 'upstream'])).toEqual({ file, line: 5, column: 15, length: 21 })
    expect(placeOf(['apis', 'shop', 'auth', 0])).toMatchObject({ line: 6, column: 12 })
    expect(placeOf(['apis', 'shop', 'none', 'such'])).toMatchObject({ line: 3, column: 3, length: 4 })
  })

  test('keeps the values as written, before defaults', async () => {
    const { raw } = await load({ 'portcullis.yaml': yaml })
    expect(raw(['apis', 'shop', 'auth'])).toEqual(['main'])
    expect(raw(['apis', 'shop', 'limits'])).toBeUndefined()
    expect(raw(['no', 'such', 'path'])).toBeUndefined()
  })

  test('gives a guard what it reads from the top', async () => {
    const { rootOf } = await load({ 'portcullis.yaml': yaml })
    expect(rootOf('auth')).toEqual({ issuers: { main: { issuer: 'https://id.example.com', audience: 'shop' } } })
    expect(rootOf('limits')).toBeUndefined()
  })

  test('takes what a command line says over the file', async () => {
    const { settings } = await load({ 'portcullis.yaml': yaml }, { overrides: { workers: 7 } })
    expect(settings.workers).toBe(7)
    expect(settings.apis.shop!.upstream!.targets).toHaveLength(1)
  })

  test('gives the TLS of a version to its upstream', async () => {
    const version = (text: string) => `version: 1\napis: { shop: { openapi: o.yaml, versions: { v1: ${text} } } }\n`
    const { settings } = await load({
      'portcullis.yaml': version('{ upstream: "https://a:1", tls: { serverName: b } }'),
    })
    expect(settings.apis.shop!.versions!.v1!.upstream!.tls).toEqual({ serverName: 'b' })
    const text = await refusal({ 'portcullis.yaml': version('{ tls: { serverName: b } }') })
    expect(text).toContain('versions.v1.tls: says how its upstream speaks TLS, and names no upstream')
  })
})

/** Every place in the schema where a map with fixed keys may stand, as a path with a value that leads there. */
function places(): readonly { readonly path: readonly string[]; readonly keys: readonly string[] }[] {
  const found: { path: readonly string[]; keys: readonly string[] }[] = []
  const walk = (path: readonly string[], schemas: Parameters<typeof alternatives>[0]) => {
    if (path.length > 6) return
    const keys = keysOf(schemas)
    if (keys.length > 0 && !alternatives(schemas).some(isOpen)) found.push({ path, keys })
    for (const key of keys) walk([...path, key], child(schemas, key))
    const kinds = alternatives(schemas).map((schema) => schema._zod.def.type)
    if (kinds.includes('record')) walk([...path, 'shop'], child(schemas, 'shop'))
    if (kinds.includes('array')) walk([...path, '0'], child(schemas, 0))
  }
  walk([], [configShape(guards)])
  return found
}

/** A map that may hold what this program does not know, such as a JSON Web Key (RFC 7517, 4). */
function isOpen(schema: ReturnType<typeof alternatives>[number]): boolean {
  const { catchall } = schema._zod.def as { readonly catchall?: typeof schema }
  return catchall?._zod.def.type === 'unknown'
}

describe('keys', () => {
  const all = places()

  test('are walked everywhere', () => {
    expect(all.length).toBeGreaterThan(20)
    expect(all.map(({ path }) => path.join('.'))).toEqual(
      expect.arrayContaining([
        '',
        'listen.0',
        'listen.0.tls.acme',
        'apis.shop',
        'apis.shop.upstream.retries',
        'issuers.shop',
      ]),
    )
  })

  test('known to the schema are never refused as unknown, and one letter off always is, with the right one', async () => {
    const directory = await folder()
    const mutation = fc.constantFrom('drop', 'double', 'swap', 'replace')
    const choice = fc
      .constantFrom(...all)
      .chain((place) => fc.tuple(fc.constant(place), fc.constantFrom(...place.keys)))
    await fc.assert(
      fc.asyncProperty(choice, mutation, fc.nat(), async ([{ path, keys }, key], how, seed) => {
        const wrong = mutate(key, how, seed % key.length)
        fc.pre(!keys.includes(wrong) && wrong !== '')
        const unknown = async (written: string) => {
          const value = path.reduceRight<unknown>((inner, step) => (step === '0' ? [inner] : { [step]: inner }), {
            [written]: null,
          })
          const file = join(directory, 'portcullis.yaml')
          const error = await loadConfig({ file, value, env: {}, guards }).catch((thrown: ConfigErrors) => thrown)
          const errors = error instanceof ConfigErrors ? error.errors : []
          return errors.find(({ code, message }) => code === 'P1007' && message.includes(JSON.stringify(written)))
        }
        expect(await unknown(key)).toBeUndefined()
        const complaint = await unknown(wrong)
        expect(complaint).toBeDefined()
        // Two keys may be equally near; then either is right.
        const meant = /did you mean "(.+)"\?/.exec(complaint!.hint ?? '')?.[1]
        expect(keys).toContain(meant)
        const { editDistance } = await import('../base/suggest.ts')
        expect(editDistance(wrong.toLowerCase(), meant!.toLowerCase())).toBeLessThanOrEqual(
          editDistance(wrong.toLowerCase(), key.toLowerCase()),
        )
      }),
      { numRuns: 300 },
    )
  })
})

function mutate(key: string, how: string, at: number): string {
  if (how === 'drop') return key.slice(0, at) + key.slice(at + 1)
  if (how === 'double') return key.slice(0, at) + key.charAt(at) + key.slice(at)
  if (how === 'replace') return `${key.slice(0, at)}q${key.slice(at + 1)}`
  return key.slice(0, at) + key.charAt(at + 1) + key.charAt(at) + key.slice(at + 2)
}
