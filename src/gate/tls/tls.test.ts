import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type TestCertificate, testAuthority, testCertificate, testCrl } from '../../../test/kit/pki.ts'
import { type RawClient, rawClient, until } from '../../../test/kit/raw.ts'
import { startWire, type TestWire } from '../../../test/kit/wire.ts'
import type { ListenSettings, TlsSettings } from '../../config/settings.ts'
import { developmentCertificate } from './development.ts'

type Authority = Awaited<ReturnType<typeof testAuthority>>

let dir: string
let authority: Authority
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'portcullis-tls-'))
  authority = await testAuthority()
})
afterAll(() => rm(dir, { recursive: true, force: true }))

let wire: TestWire | undefined
const clients: RawClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await wire?.stop()
  wire = undefined
})

let files = 0
async function put(text: string): Promise<string> {
  const file = join(dir, `${files++}.pem`)
  await writeFile(file, text)
  return file
}

async function pairFiles(pair: TestCertificate): Promise<{ certificate: string; key: string }> {
  return { certificate: await put(pair.certificate), key: await put(pair.key) }
}

const settings = (more: Partial<TlsSettings>): TlsSettings => ({ min: '1.2', clientCertificate: 'request', ...more })
const entryOf = (tls: Partial<TlsSettings>, more: Partial<ListenSettings> = {}): ListenSettings => ({
  port: 0,
  host: '127.0.0.1',
  behindTlsTerminator: false,
  http2: true,
  tls: settings(tls),
  ...more,
})

async function serve(tls: Partial<TlsSettings> | 'development', more: Partial<ListenSettings> = {}): Promise<TestWire> {
  wire = await startWire({ entry: tls === 'development' ? { tls, ...more } : entryOf(tls, more), stateDir: dir })
  return wire
}

/** Shakes hands, and tells what was seen; throws what TLS says. */
async function shake(
  options: ConnectionOptions = {},
): Promise<{ serial: string; protocol: string; alpn: string | false }> {
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    const one = connect(
      { port: wire!.port, host: '127.0.0.1', ca: authority.pem, servername: 'localhost', ...options },
      () => resolve(one),
    )
    one.once('error', reject)
  })
  const seen = {
    serial: socket.getPeerCertificate().serialNumber,
    protocol: socket.getProtocol()!,
    alpn: socket.alpnProtocol ?? false,
  }
  socket.destroy()
  return seen
}

const get = 'GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n'
async function client(options: ConnectionOptions = {}): Promise<RawClient> {
  const one = await rawClient(wire!.port, options)
  clients.push(one)
  return one
}

describe('T1: TLS on every listener', () => {
  test('TLS 1.0 and 1.1 are refused, 1.2 and 1.3 are spoken', async () => {
    await serve('development')
    for (const version of ['TLSv1', 'TLSv1.1'] as const) {
      const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0', rejectUnauthorized: false }
      await expect(shake(old)).rejects.toThrow(/protocol version|unsupported protocol/i)
    }
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const seen = await shake({ minVersion: version, maxVersion: version, rejectUnauthorized: false })
      expect(seen.protocol).toBe(version)
    }
    expect(wire!.refused.map(({ code }) => code)).toEqual(['protocol.tls-handshake', 'protocol.tls-handshake'])
  })

  test('min: 1.3 refuses 1.2', async () => {
    await serve({ ...(await pairFiles(await testCertificate(authority))), min: '1.3' })
    await expect(shake({ maxVersion: 'TLSv1.2' })).rejects.toThrow()
    expect((await shake()).protocol).toBe('TLSv1.3')
  })

  test('a cipher suite without forward secrecy or authenticated encryption is refused', async () => {
    await serve('development')
    for (const ciphers of ['AES128-SHA', 'ECDHE-ECDSA-AES128-SHA', 'AES128-GCM-SHA256']) {
      await expect(shake({ maxVersion: 'TLSv1.2', ciphers, rejectUnauthorized: false })).rejects.toThrow()
    }
  })

  test('HTTP/2 is offered, unless it is switched off', async () => {
    const both = { ALPNProtocols: ['h2', 'http/1.1'], rejectUnauthorized: false }
    await serve('development')
    expect((await shake(both)).alpn).toBe('h2')
    expect((await shake({ ...both, ALPNProtocols: ['http/1.1'] })).alpn).toBe('http/1.1')
    await wire!.stop()
    await serve('development', { http2: false })
    expect((await shake(both)).alpn).toBe('http/1.1')
  })

  test('plain HTTP on a TLS port is redirected, or refused where it carries a credential; nothing arrives', async () => {
    await serve('development')
    const plain = async (more: string, target = '/a?b=c') => {
      const one = await rawClient(wire!.port)
      clients.push(one)
      return one.send(`GET ${target} HTTP/1.1\r\nHost: localhost:${wire!.port}\r\n${more}\r\n`).whole()
    }
    expect(await plain('')).toMatch(
      new RegExp(`^HTTP/1\\.1 308 .*location: https://localhost:${wire!.port}/a\\?b=c\r\n`, 's'),
    )
    const refusal = /^HTTP\/1\.1 403 .*"code":"protocol\.tls-required"/s
    expect(await plain('Authorization: Bearer abc\r\n')).toMatch(refusal)
    expect(await plain('X-API-Key: abc\r\n')).toMatch(refusal)
    expect(await plain('Cookie: session=abc\r\n')).toMatch(refusal)
    expect(await plain('', '/a?access_token=abc')).toMatch(refusal)
    expect(await plain('', '/a?Api-Key=abc')).toMatch(refusal)
    expect(await plain('Connection: Upgrade\r\nUpgrade: websocket\r\n')).toMatch(refusal)
    expect(wire!.arrivals).toEqual([])
    expect(await (await client()).send(get).status()).toBe(200)
  })

  test('bytes that are neither TLS nor HTTP are cut', async () => {
    await serve('development')
    const noise = await rawClient(wire!.port)
    clients.push(noise)
    noise.send(Buffer.from([0x80, 0x2e, 0x01, 0x00]))
    expect(await noise.whole()).toBe('')
    expect(wire!.refused).toMatchObject([{ status: 0, code: 'protocol.tls-handshake' }])
  })

  test('a handshake that is begun and left is cut at the head timeout', async () => {
    wire = await startWire({ entry: { tls: 'development' }, stateDir: dir, limits: { headTimeout: 200 } })
    const left = await rawClient(wire.port)
    clients.push(left)
    left.send(Buffer.from([0x16, 0x03, 0x01]))
    await until(() => left.closed(), 'the cut', 3_000)
  })

  test('redirect: https answers 308 to the https port, and 403 to credentials', async () => {
    wire = await startWire({ entry: { redirect: 'https' }, httpsPort: 8443 })
    const ask = async (request: string) => (await rawClient(wire!.port)).send(request).whole()
    expect(await ask('GET /a HTTP/1.1\r\nHost: Shop.test:80\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 308 .*location: https:\/\/shop\.test:8443\/a\r\n/s,
    )
    expect(await ask('GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\n\r\n')).toMatch(/^HTTP\/1\.1 403 /)
    expect(await ask('GET /a HTTP/1.1\r\nHost: a/@evil.test\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 .*protocol\.host/s)
    expect(wire.arrivals).toEqual([])
  })

  test.each([
    ['tls: off on a public address', { tls: 'off', host: '0.0.0.0' } as const, 'P1085'],
    ['no certificate on a public address', { tls: undefined, host: '0.0.0.0' } as const, 'P1084'],
  ])('%s is refused', async (_what, entry, code) => {
    await expect(startWire({ entry: entry as Partial<ListenSettings> })).rejects.toMatchObject({ code })
  })

  test('tls: off on a public address is served behind a TLS terminator, whose requests count as encrypted', async () => {
    wire = await startWire({ entry: { tls: 'off', host: '0.0.0.0', behindTlsTerminator: true } })
    expect(await (await rawClient(wire.port)).send(get).status()).toBe(200)
    expect(wire.arrivals[0]!.peer.encrypted).toBe(true)
  })
})

describe('T3: the right certificate, replaced while running', () => {
  test('the name asked for chooses: exact names, then wildcards of one label, then the first', async () => {
    const pairs = {
      first: await testCertificate(authority, { names: ['first.test'] }),
      api: await testCertificate(authority, { names: ['api.shop.test'] }),
      wild: await testCertificate(authority, { names: ['*.shop.test', 'shop.test'] }),
    }
    await serve({ certificates: await Promise.all(Object.values(pairs).map(pairFiles)) })
    const serialFor = async (servername: string) => (await shake({ servername, rejectUnauthorized: false })).serial
    expect(await serialFor('api.shop.test')).toBe(pairs.api.serialNumber)
    expect(await serialFor('API.shop.test')).toBe(pairs.api.serialNumber)
    expect(await serialFor('www.shop.test')).toBe(pairs.wild.serialNumber)
    expect(await serialFor('shop.test')).toBe(pairs.wild.serialNumber)
    expect(await serialFor('a.b.shop.test')).toBe(pairs.first.serialNumber)
    expect(await serialFor('other.test')).toBe(pairs.first.serialNumber)
  })

  test('new files: a new handshake shows the new serial within 5 s, an open connection survives', async () => {
    const [old, fresh] = [await testCertificate(authority), await testCertificate(authority)]
    const paths = await pairFiles(old)
    await serve(paths)
    const open = (await client()).send(get)
    expect(await open.status()).toBe(200)
    expect((await shake()).serial).toBe(old.serialNumber)
    await writeFile(paths.key, fresh.key)
    await writeFile(paths.certificate, fresh.certificate)
    const end = Date.now() + 5_000
    while ((await shake()).serial !== fresh.serialNumber) expect(Date.now()).toBeLessThan(end)
    open.send(get)
    await until(() => open.statuses().length === 2, 'an answer on the old connection')
  })

  test('a new certificate without its key keeps the old pair, and says so', async () => {
    const [old, fresh] = [await testCertificate(authority), await testCertificate(authority)]
    const paths = await pairFiles(old)
    await serve(paths)
    await writeFile(paths.certificate, fresh.certificate)
    await until(() => wire!.messages.some((message) => message.includes('the old ones stay')), 'the complaint')
    expect((await shake()).serial).toBe(old.serialNumber)
    await writeFile(paths.key, fresh.key)
    await until(() => wire!.messages.includes('certificates replaced'), 'the change')
    expect((await shake()).serial).toBe(fresh.serialNumber)
  })

  test('a reload of the configuration swaps certificates at once; a bad one changes nothing', async () => {
    const [old, fresh] = [await testCertificate(authority), await testCertificate(authority)]
    await serve({ certificate: old.certificate, key: old.key })
    await wire!.listener.update(entryOf({ certificate: fresh.certificate, key: fresh.key }))
    expect((await shake()).serial).toBe(fresh.serialNumber)
    const bad = [
      entryOf({ certificate: old.certificate, key: fresh.key }),
      entryOf({ certificate: old.certificate }),
      entryOf({ certificate: join(dir, 'missing.pem'), key: fresh.key }),
      entryOf({ certificate: 'no PEM', key: fresh.key }),
    ]
    for (const entry of bad) await expect(wire!.listener.update(entry)).rejects.toMatchObject({ name: 'ConfigError' })
    expect((await shake()).serial).toBe(fresh.serialNumber)
  })

  test('an expired certificate does not replace a good one', async () => {
    const [old, expired] = [
      await testCertificate(authority),
      await testCertificate(authority, { from: Date.now() - 2_000_000, to: Date.now() - 1_000_000 }),
    ]
    await serve({ certificate: old.certificate, key: old.key })
    const entry = entryOf({ certificate: expired.certificate, key: expired.key })
    await expect(wire!.listener.update(entry)).rejects.toMatchObject({ code: 'P1088' })
    expect((await shake()).serial).toBe(old.serialNumber)
  })

  test('no message holds a key', async () => {
    const [old, fresh] = [await testCertificate(authority), await testCertificate(authority)]
    await serve({ certificate: old.certificate, key: old.key })
    const error = await wire!.listener.update(entryOf({ certificate: old.certificate, key: fresh.key })).catch((e) => e)
    const secret = fresh.key.split('\n')[1]!
    expect(JSON.stringify([error.message, error.hint, String(error.cause), wire!.messages])).not.toContain(secret)
  })
})

describe('the development certificate', () => {
  test('is made once, used again, and renewed near its end under the same authority', async () => {
    const stateDir = await mkdtemp(join(dir, 'state-'))
    let now = Date.now()
    const make = () => developmentCertificate({ stateDir, now: () => now })
    const first = await make()
    expect(first.identity.names).toContain('localhost')
    expect((await make()).identity.serialNumber).toBe(first.identity.serialNumber)
    const trusted = await readFile(first.authorityFile, 'utf8')
    now += 80 * 86_400_000
    const renewed = await make()
    expect(renewed.identity.serialNumber).not.toBe(first.identity.serialNumber)
    expect(await readFile(renewed.authorityFile, 'utf8')).toBe(trusted)
  })

  test('is the same for several processes that start at once', async () => {
    const stateDir = await mkdtemp(join(dir, 'state-'))
    const all = await Promise.all(Array.from({ length: 4 }, () => developmentCertificate({ stateDir, now: Date.now })))
    expect(new Set(all.map(({ identity }) => identity.serialNumber)).size).toBe(1)
  })

  test('keeps its keys from other users', async () => {
    const stateDir = await mkdtemp(join(dir, 'state-'))
    await developmentCertificate({ stateDir, now: Date.now })
    for (const file of ['development.key', 'development-ca.key']) {
      expect((await stat(join(stateDir, 'tls', file))).mode & 0o777).toBe(0o600)
    }
  })

  test('is verified by a client that trusts the authority, by name and by address', async () => {
    await serve('development')
    const ca = await readFile(wire!.listener.authorityFile!, 'utf8')
    expect((await shake({ ca })).protocol).toBe('TLSv1.3')
    expect((await shake({ ca, servername: '', host: '127.0.0.1' })).protocol).toBe('TLSv1.3')
  })

  test('is of an authority that can vouch for nothing else', async () => {
    const stateDir = await mkdtemp(join(dir, 'state-'))
    const { authorityFile } = await developmentCertificate({ stateDir, now: Date.now })
    const { X509Certificate } = await import('../../../test/kit/pki.ts')
    const { importPrivateKey } = await import('./x509.ts')
    const pem = await readFile(authorityFile, 'utf8')
    const key = await importPrivateKey(await readFile(join(stateDir, 'tls', 'development-ca.key'), 'utf8'))
    const stolen = await testCertificate({ certificate: new X509Certificate(pem), key }, { names: ['bank.test'] })
    await serve({ certificate: stolen.certificate, key: stolen.key })
    await expect(shake({ ca: pem, servername: 'bank.test' })).rejects.toThrow(/permitted subtree/)
  })
})

describe('T4: client certificates', () => {
  const arrived = () => wire!.arrivals.at(-1)!.peer.certificate
  const call = async (pair?: TestCertificate) => {
    const one = await client(pair === undefined ? {} : { cert: pair.certificate, key: pair.key })
    expect(await one.send(get).status()).toBe(200)
    return arrived()
  }

  test("a verified certificate is the peer's; none, a foreign and an expired one are not", async () => {
    const server = await testCertificate(authority)
    const clientAuthority = await testAuthority('Clients')
    await serve({ certificate: server.certificate, key: server.key, clientCa: clientAuthority.pem })
    const partner = await testCertificate(clientAuthority, { subject: 'CN=partner,O=Shop', names: ['partner.test'] })
    expect(await call(partner)).toMatchObject({
      subject: { CN: 'partner', O: 'Shop' },
      subjectaltname: 'DNS:partner.test',
      serialNumber: partner.serialNumber,
    })
    expect(await call()).toBeUndefined()
    expect(await call(await testCertificate(authority, { subject: 'CN=partner' }))).toBeUndefined()
    const expired = { from: Date.now() - 2_000_000, to: Date.now() - 1_000_000 }
    expect(await call(await testCertificate(clientAuthority, expired))).toBeUndefined()
  })

  test("a revoked certificate is nobody's; a new revocation list holds for the next handshake", async () => {
    const server = await testCertificate(authority)
    const [good, bad] = [await testCertificate(authority), await testCertificate(authority)]
    const crl = await put(await testCrl(authority, [bad.serialNumber]))
    await serve({ certificate: server.certificate, key: server.key, clientCa: authority.pem, clientCrl: crl })
    expect(await call(bad)).toBeUndefined()
    expect(await call(good)).toMatchObject({ serialNumber: good.serialNumber })
    await writeFile(crl, await testCrl(authority, [bad.serialNumber, good.serialNumber]))
    await until(() => wire!.messages.includes('certificates replaced'), 'the new list')
    expect(await call(good)).toBeUndefined()
  })

  test('a resumed session is not believed under a new revocation list', async () => {
    const server = await testCertificate(authority)
    const partner = await testCertificate(authority)
    const crl = await put(await testCrl(authority, []))
    await serve({ certificate: server.certificate, key: server.key, clientCa: authority.pem, clientCrl: crl })
    const options = { cert: partner.certificate, key: partner.key, maxVersion: 'TLSv1.2' as const }
    const first = await client(options)
    await first.send(get).status()
    expect(arrived()).toBeDefined()
    const session = (first.socket as TLSSocket).getSession()!
    const again = await client({ ...options, session })
    await again.send(get).status()
    expect((again.socket as TLSSocket).isSessionReused()).toBe(true)
    expect(arrived()).toMatchObject({ serialNumber: partner.serialNumber })
    await writeFile(crl, await testCrl(authority, [partner.serialNumber]))
    await until(() => wire!.messages.includes('certificates replaced'), 'the new list')
    const late = await client({ ...options, session })
    await late.send(get).status()
    expect(arrived()).toBeUndefined()
  })

  test('require refuses the handshake without a certificate of the authorities', async () => {
    const server = await testCertificate(authority)
    await serve({
      certificate: server.certificate,
      key: server.key,
      clientCa: authority.pem,
      clientCertificate: 'require',
    })
    const without = await client()
    await until(() => without.closed(), 'the refusal')
    expect(without.text()).toBe('')
    const partner = await testCertificate(authority)
    expect(await call(partner)).toMatchObject({ serialNumber: partner.serialNumber })
  })

  test('without authorities no certificate is asked for', async () => {
    const server = await testCertificate(authority)
    await serve({ certificate: server.certificate, key: server.key })
    expect(await call(await testCertificate(authority))).toBeUndefined()
  })
})
