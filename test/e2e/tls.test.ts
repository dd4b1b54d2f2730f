import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort, startGate, type TestGate, until } from '../kit/gate.ts'
import { type TestCertificate, testAuthority, testCertificate } from '../kit/pki.ts'
import { rawClient } from '../kit/raw.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

const development = { port: 0, host: '127.0.0.1', tls: 'development' }

let upstream: TestUpstream
let gate: TestGate | undefined
beforeEach(async () => {
  upstream = await startUpstream()
})
afterEach(async () => {
  await gate?.stop()
  gate = undefined
  await upstream.stop()
})

/** Runs a program with something to read on its standard input; tells all it wrote. */
function run(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(program, args, (_error, stdout, stderr) => resolve(stdout + stderr))
    child.stdin!.on('error', () => {})
    child.stdin!.end(input)
  })
}

function handshake(port: number, ca: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca }, () => resolve(socket))
    socket.once('error', reject)
  })
}

describe('T1: TLS on every listener, plain HTTP refused', () => {
  test('openssl s_client -tls1_1 fails, -tls1_2 and -tls1_3 work', async () => {
    gate = await startGate({ upstream: upstream.url, root: { listen: [development] } })
    const request = 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
    const shake = (version: string) =>
      run(
        'openssl',
        ['s_client', version, '-cipher', 'ALL:@SECLEVEL=0', '-ign_eof', '-connect', `127.0.0.1:${gate!.port}`],
        request,
      )
    expect(await shake('-tls1_1')).toMatch(/alert protocol version|no protocols available/)
    expect(await shake('-tls1_2')).toMatch(/HTTP\/1\.1 200 /)
    expect(await shake('-tls1_3')).toMatch(/HTTP\/1\.1 200 /)
    expect(upstream.hits).toHaveLength(2)
  })

  test("a listener that does not say how it speaks TLS is refused: plain HTTP is nobody's default", async () => {
    const root = { listen: [{ port: 0, host: '127.0.0.1' }] }
    await expect(startGate({ upstream: upstream.url, root })).rejects.toThrow(/does not say how it speaks TLS/)
  })

  test('plain HTTP with a credential gets 403 and the upstream 0 hits, on the TLS port and on the redirect', async () => {
    gate = await startGate({
      upstream: upstream.url,
      root: {
        listen: [development, { port: 0, host: 'localhost', redirect: 'https' }],
      },
    })
    const key = await gate.key()
    for (const { port } of gate.running.addresses) {
      const plain = async (header: string, target = '/orders') =>
        (await rawClient(port)).send(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n${header}\r\n`).whole()
      const refused = await plain(`X-API-Key: ${key}\r\n`)
      expect(refused).toMatch(/^HTTP\/1\.1 403 .*"code":"protocol\.tls-required"/s)
      expect(refused).not.toContain(key)
      expect(await plain('', '/orders?client_secret=x')).toMatch(/^HTTP\/1\.1 403 /)
      expect(await plain('')).toMatch(/^HTTP\/1\.1 308 .*location: https:\/\/localhost/is)
    }
    expect(upstream.hits).toEqual([])
    expect((await gate.fetch('/orders', { headers: { 'x-api-key': key } })).status).toBe(200)
  })

  test('HTTP/2 is answered like HTTP/1.1', async () => {
    gate = await startGate({ upstream: upstream.url, root: { listen: [development] } })
    const session = connectHttp2(`https://localhost:${gate.port}`, { rejectUnauthorized: false })
    const status = await new Promise((resolve, reject) => {
      const stream = session.request({ ':path': '/health' })
      stream
        .once('response', (reply) => resolve(reply[':status']))
        .once('error', reject)
        .resume()
    })
    session.destroy()
    expect(status).toBe(200)
    expect((await gate.lines(1))[0]).toMatchObject({ protocol: 'HTTP/2', status: 200 })
  })
})

test('a gate that cannot open one of its ports opens none', async () => {
  const free = await freePort()
  const taken = Number(new URL(upstream.url).port)
  const root = { listen: [free, taken].map((port) => ({ port, host: '127.0.0.1', tls: 'off' })) }
  await expect(startGate({ upstream: upstream.url, root })).rejects.toThrow(/cannot listen .*EADDRINUSE/)
  await expect(rawClient(free)).rejects.toThrow(/ECONNREFUSED/)
})

describe('T3: certificates replaced while the gate runs', () => {
  const files = (pair: TestCertificate) => ({ 'tls/cert.pem': pair.certificate, 'tls/key.pem': pair.key })
  const listen = [{ port: 0, host: '127.0.0.1', tls: { certificate: './tls/cert.pem', key: './tls/key.pem' } }]

  test('replacing the files shows the new serial in under 5 s, and an open connection survives', async () => {
    const authority = await testAuthority()
    const [old, fresh] = [await testCertificate(authority), await testCertificate(authority)]
    gate = await startGate({ upstream: upstream.url, files: files(old), root: { listen } })
    const open = await handshake(gate.port, authority.pem)
    let text = ''
    open.on('data', (chunk) => (text += chunk))
    const ask = () => open.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const answers = () => text.match(/HTTP\/1\.1 200 /g)?.length ?? 0
    ask()
    await until(() => answers() === 1, 'the first answer')
    expect(open.getPeerCertificate().serialNumber).toBe(old.serialNumber)
    for (const [name, content] of Object.entries(files(fresh))) await writeFile(join(gate.dir, name), content)
    const serial = async () => {
      const socket = await handshake(gate!.port, authority.pem)
      const { serialNumber } = socket.getPeerCertificate()
      socket.destroy()
      return serialNumber
    }
    await until(async () => (await serial()) === fresh.serialNumber, 'the new serial', 5_000)
    ask()
    await until(() => answers() === 2, 'an answer on the old connection')
    open.destroy()
  })

  test('the metrics tell when the certificate that is shown ends, and follow a replacement', async () => {
    const authority = await testAuthority()
    const dayMs = 86_400_000
    // Certificates tell time in seconds.
    const ends = [3, 60].map((days) => Math.floor((Date.now() + days * dayMs) / 1000) * 1000)
    const [old, fresh] = [
      await testCertificate(authority, { to: ends[0]! }),
      await testCertificate(authority, { to: ends[1]!, names: ['api.test'] }),
    ]
    const metrics = `127.0.0.1:${await freePort()}`
    gate = await startGate({ upstream: upstream.url, files: files(old), root: { listen, telemetry: { metrics } } })
    const shown = async () =>
      (await (await fetch(`http://${metrics}/metrics`)).text())
        .split('\n')
        .filter((line) => line.startsWith('portcullis_tls_certificate_expiry_timestamp_seconds{'))
    const name = 'portcullis_tls_certificate_expiry_timestamp_seconds'
    expect(await shown()).toEqual([`${name}{name="localhost"} ${ends[0]! / 1000}`])
    for (const [file, content] of Object.entries(files(fresh))) await writeFile(join(gate.dir, file), content)
    await until(async () => (await shown())[0]?.includes('api.test'), 'the new end', 5_000)
    expect(await shown()).toEqual([`${name}{name="api.test"} ${ends[1]! / 1000}`])
  })

  test('a reload with a certificate that does not fit its key is refused, and the old pair stays', async () => {
    const authority = await testAuthority()
    const [old, other] = [await testCertificate(authority), await testCertificate(authority)]
    gate = await startGate({ upstream: upstream.url, files: files(old), root: { listen } })
    await expect(gate.reload({ files: { ...files(old), 'tls/cert.pem': other.certificate } })).rejects.toThrow(
      /P1082|does not belong/,
    )
    const socket = await handshake(gate.port, authority.pem)
    expect(socket.getPeerCertificate().serialNumber).toBe(old.serialNumber)
    socket.destroy()
  })

  test('when one listener cannot take a reload, none does', async () => {
    const authority = await testAuthority()
    const [old, fresh] = [await testCertificate(authority), await testCertificate(authority, { names: ['other.test'] })]
    const two = (first: string, second: string) => [
      { port: 0, host: '127.0.0.1', tls: { certificate: `./tls/${first}.pem`, key: `./tls/${first}.key` } },
      { port: 0, host: '127.0.0.1', tls: { certificate: `./tls/${second}.pem`, key: './tls/old.key' } },
    ]
    const pairs = {
      'tls/old.pem': old.certificate,
      'tls/old.key': old.key,
      'tls/fresh.pem': fresh.certificate,
      'tls/fresh.key': fresh.key,
    }
    gate = await startGate({ upstream: upstream.url, files: pairs, root: { listen: two('old', 'old') } })
    await expect(gate.reload({ root: { listen: two('fresh', 'fresh') } })).rejects.toThrow(/does not belong/)
    for (const { port } of gate.running.addresses) {
      const socket = await handshake(port, authority.pem)
      expect(socket.getPeerCertificate().serialNumber).toBe(old.serialNumber)
      socket.destroy()
    }
  })

  test('a reload changes limits of connections and who is trusted to name the client', async () => {
    gate = await startGate({ upstream: upstream.url })
    const headers = { 'x-forwarded-for': '203.0.113.9' }
    await gate.fetch('/health', { headers })
    await gate.reload({ root: { trustedProxies: ['127.0.0.0/8'], connection: { headerBytes: '4KB' } } })
    await gate.fetch('/health', { headers })
    expect((await gate.lines(2)).map(({ client }) => client)).toEqual(['127.0.0.1', '203.0.113.9'])
    const large = (await rawClient(gate.port)).send(
      `GET /health HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(5_000)}\r\n\r\n`,
    )
    expect(await large.whole()).toMatch(/^HTTP\/1\.1 431 /)
  })
})
