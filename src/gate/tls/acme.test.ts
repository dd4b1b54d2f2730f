import { X509Certificate } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startAcme, type TestAcme } from '../../../test/kit/acme-server.ts'
import { testAuthority, testCertificate } from '../../../test/kit/pki.ts'
import { until } from '../../../test/kit/raw.ts'
import { startWire, type TestWire } from '../../../test/kit/wire.ts'
import type { TlsSettings } from '../../config/settings.ts'
import { type AcmeSettings, acmeFile, backoffMs, renewAt } from './acme.ts'

const dayMs = 86_400_000

let stateDir: string
let acme: TestAcme
let wires: TestWire[]
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'portcullis-acme-'))
  acme = await startAcme()
  wires = []
})
afterEach(async () => {
  for (const wire of wires) await wire.stop()
  await acme.stop()
  await rm(stateDir, { recursive: true, force: true })
})

const settings = (domains: string[] = ['shop.test']): AcmeSettings => ({
  domains,
  email: 'ops@shop.test',
  directory: acme.directory,
  ca: acme.ca,
  renewBefore: 30 * dayMs,
})

/** A gate's two listeners: https with ACME, and the redirect beside it. The authority looks at their ports. */
async function serve(domains?: string[], now: () => number = Date.now): Promise<TestWire> {
  const redirect = await startWire({ entry: { redirect: 'https' }, stateDir, now })
  acme.look.http = redirect.port
  const tls: TlsSettings = { min: '1.2', clientCertificate: 'request', acme: settings(domains) }
  // The authority may come before the test knows the port: the port is chosen first.
  const port = await freePort()
  acme.look.tls = port
  const wire = await startWire({ entry: { tls, port }, stateDir, now })
  wires.push(redirect, wire)
  return wire
}

async function freePort(): Promise<number> {
  const wire = await startWire()
  await wire.stop()
  return wire.port
}

/** The serial number that a client sees which trusts the authority only. */
async function shake(wire: TestWire, servername = 'shop.test'): Promise<string> {
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    const one = connect({ port: wire.port, host: '127.0.0.1', servername, ca: acme.issuer }, () => resolve(one))
    one.once('error', reject)
  })
  const { serialNumber } = socket.getPeerCertificate()
  socket.destroy()
  return serialNumber
}

async function obtained(wire: TestWire): Promise<void> {
  await until(() => wire.messages.includes('certificates replaced'), `a certificate: ${wire.messages.join()}`)
}

const state = async () =>
  JSON.parse(await readFile(join(acmeFile({ settings: settings(), stateDir }), '..', 'state.json'), 'utf8'))
const failed = (wire: TestWire) => until(() => wire.messages.includes('no certificate was obtained'), 'the failure')

describe('T3: ACME (RFC 8555) against a local authority', () => {
  test('a certificate is obtained by tls-alpn-01 on the listener itself, and shown within seconds', async () => {
    const wire = await serve(['shop.test', 'www.shop.test'])
    await expect(shake(wire)).rejects.toThrow()
    await obtained(wire)
    expect(acme.events).toEqual([
      'newAccount',
      'newOrder',
      'tls-alpn-01 shop.test valid',
      'tls-alpn-01 www.shop.test valid',
      'certificate',
    ])
    const serial = await shake(wire)
    expect(await shake(wire, 'www.shop.test')).toBe(serial)
  })

  test('a certificate is obtained by http-01 through the redirect listener where the authority offers nothing else', async () => {
    acme.offers = ['http-01']
    const wire = await serve()
    await obtained(wire)
    expect(acme.events).toContain('http-01 shop.test valid')
    await shake(wire)
  })

  test('keys and account are for the owner only, and no answer to a challenge is left', async () => {
    const wire = await serve()
    await obtained(wire)
    const files = (await readdir(stateDir, { recursive: true, withFileTypes: true })).filter((one) => one.isFile())
    expect(files.length).toBeGreaterThanOrEqual(3)
    for (const { parentPath, name } of files) {
      expect((await stat(join(parentPath, name))).mode & 0o077, name).toBe(0)
      expect(parentPath).not.toContain('challenges')
    }
  })

  test('a restart shows the certificate at once and asks for nothing', async () => {
    const first = await serve()
    await obtained(first)
    const serial = await shake(first)
    for (const wire of wires.splice(0)) await wire.stop()
    const events = acme.events.length
    const again = await serve()
    expect(await shake(again)).toBe(serial)
    expect(acme.events).toHaveLength(events)
  })

  test('near its end the certificate is renewed under the same account', async () => {
    let now = Date.now()
    const first = await serve()
    await obtained(first)
    const serial = await shake(first)
    for (const wire of wires.splice(0)) await wire.stop()
    now += 61 * dayMs
    const later = await serve(undefined, () => now)
    expect(await shake(later)).toBe(serial)
    await obtained(later)
    expect(await shake(later)).not.toBe(serial)
    expect(acme.events.filter((event) => event === 'newAccount')).toHaveLength(1)
    expect(acme.events.filter((event) => event === 'certificate')).toHaveLength(2)
  })

  test('a stale nonce is answered with a fresh one', async () => {
    acme.badNonces = 2
    await obtained(await serve())
    expect(acme.events).toContain('certificate')
  })

  test('a failure is written down, so that a restart does not try again at once', async () => {
    acme.offers = ['http-01']
    const first = await serve()
    acme.look.http = 1
    await failed(first)
    const { failures, nextTryAt } = await state()
    expect(failures).toBe(1)
    expect(nextTryAt).toBeGreaterThan(Date.now() + 4 * 60_000)
    for (const wire of wires.splice(0)) await wire.stop()
    const orders = acme.events.filter((event) => event === 'newOrder').length
    const again = await serve()
    await expect(shake(again)).rejects.toThrow()
    expect(acme.events.filter((event) => event === 'newOrder')).toHaveLength(orders)
  })

  test('the next try goes the other way', async () => {
    const closed = await freePort()
    let now = Date.now()
    const first = await serve()
    acme.look.tls = closed
    await failed(first)
    expect(acme.events).toContain('tls-alpn-01 shop.test invalid')
    for (const wire of wires.splice(0)) await wire.stop()
    now += 6 * 60_000
    await obtained(await serve(undefined, () => now))
    expect(acme.events.at(-2)).toBe('http-01 shop.test valid')
  })

  test('what the server says about waiting is kept to', async () => {
    acme.rateLimited = 7_200
    await failed(await serve())
    expect((await state()).nextTryAt).toBeGreaterThan(Date.now() + 7_100_000)
  })

  test('of several processes one asks', async () => {
    acme.offers = ['http-01']
    const wire = await serve()
    const tls: TlsSettings = { min: '1.2', clientCertificate: 'request', acme: settings() }
    const others = await Promise.all([1, 2, 3].map(() => startWire({ entry: { tls }, stateDir })))
    wires.push(...others)
    for (const one of [wire, ...others]) await obtained(one)
    expect(acme.events.filter((event) => event === 'newOrder')).toHaveLength(1)
    expect(new Set(await Promise.all([wire, ...others].map((one) => shake(one)))).size).toBe(1)
  })

  test('a server whose authority is unknown is not spoken to', async () => {
    const redirect = await startWire({ entry: { redirect: 'https' }, stateDir })
    const tls: TlsSettings = {
      min: '1.2',
      clientCertificate: 'request',
      acme: { ...settings(), ca: (await testAuthority()).pem },
    }
    const wire = await startWire({ entry: { tls }, stateDir })
    wires.push(redirect, wire)
    await failed(wire)
    expect(acme.events).toEqual([])
  })

  test.each([
    ['a wildcard', { domains: ['*.shop.test'] }],
    ['an address', { domains: ['shop.test', '[::1]'] }],
    ['a plain directory', { directory: 'http://localhost/directory' }],
  ])('%s is refused at load', async (_what, more) => {
    const tls: TlsSettings = { min: '1.2', clientCertificate: 'request', acme: { ...settings(), ...more } }
    await expect(startWire({ entry: { tls }, stateDir })).rejects.toMatchObject({ code: 'P1078' })
  })

  test('the ordinary listener has no ear for acme-tls/1, and no file outside the challenges is ever read', async () => {
    const wire = await serve()
    await obtained(wire)
    await writeFile(join(stateDir, 'secret-secret-secret'), 'secret')
    const alpn = { port: wire.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['acme-tls/1'] }
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect({ ...alpn, servername: 'shop.test' }, () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    expect(answered).toBe(false)
    for (const path of ['../secret-secret-secret', '..%2fsecret-secret-secret', 'secret-secret-secret']) {
      const reply = await fetch(`http://127.0.0.1:${acme.look.http}/.well-known/acme-challenge/${path}`, {
        redirect: 'manual',
      })
      expect(await reply.text()).not.toContain('secret')
    }
  })
})

describe('when to renew and when to try again', () => {
  const certificateOf = async (lifeDays: number) => {
    const from = Date.now()
    const { certificate } = await testCertificate(await testAuthority(), { from, to: from + lifeDays * dayMs })
    return { certificate: new X509Certificate(certificate), from }
  }

  test.each([
    [90, 30, 57, 60],
    [90, 10, 79, 80],
    [6, 30, 3.8, 4],
  ])(
    'a certificate of %d days with renewBefore of %d days is renewed after %d to %d',
    async (life, before, least, most) => {
      const { certificate, from } = await certificateOf(life)
      const after = (renewAt(certificate, before * dayMs) - from) / dayMs
      expect(after).toBeGreaterThanOrEqual(least - 0.001)
      expect(after).toBeLessThanOrEqual(most + 0.001)
    },
  )

  test('tries come after 5, 10, 20 minutes and so on, at most a day apart', () => {
    expect([1, 2, 3, 4].map((failures) => backoffMs(failures) / 60_000)).toEqual([5, 10, 20, 40])
    expect(backoffMs(50)).toBe(dayMs)
  })
})
