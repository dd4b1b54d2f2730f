import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get as httpsGet } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import { startAcme } from '../kit/acme-server.ts'
import { freePort, startGate, type TestGate, until } from '../kit/gate.ts'
import { testAuthority, testCertificate } from '../kit/pki.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

let gate: TestGate | undefined
let upstream: TestUpstream | undefined
const releases: (() => unknown)[] = []
afterEach(async () => {
  await gate?.stop()
  await upstream?.stop()
  for (const release of releases.splice(0).reverse()) await release()
})

async function serve(ports: { https: number; http: number }, acme: object): Promise<TestGate> {
  upstream = await startUpstream()
  gate = await startGate({
    upstream: upstream.url,
    root: {
      listen: [
        { port: ports.https, host: '127.0.0.1', tls: { acme } },
        { port: ports.http, host: '127.0.0.1', redirect: 'https' },
      ],
    },
  })
  return gate
}

/** A request over TLS that believes the given authority only; the status, or why there is none. */
function ask(port: number, ca: string, servername: string): Promise<number | string> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca, servername }, () => {
      socket.write(`GET /health HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`)
    })
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk) => (text += chunk))
    socket.once('error', (error) => resolve(error.message))
    socket.once('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])))
  })
}

describe('T3: the gate obtains its certificate by ACME', () => {
  test('from a local authority, and answers with it', async () => {
    const acme = await startAcme()
    releases.push(() => acme.stop())
    acme.look.tls = await freePort()
    acme.look.http = await freePort()
    await serve(
      { https: acme.look.tls, http: acme.look.http },
      { domains: ['shop.test'], email: 'ops@shop.test', directory: acme.directory, ca: acme.ca },
    )
    await until(async () => (await ask(acme.look.tls, acme.issuer, 'shop.test')) === 200, 'an answer over TLS')
    expect(acme.events).toContain('certificate')
    expect(upstream!.hits.at(-1)).toMatchObject({ url: '/health' })
  })

  // Let's Encrypt's own test server, as a second opinion that we did not write: `apt-get install pebble`.
  test.skipIf(!hasPebble())('from Pebble, and answers with it', { timeout: 60_000 }, async () => {
    const pebble = await startPebble()
    const { httpPort, tlsPort, directory, ca } = pebble
    await serve({ https: tlsPort, http: httpPort }, { domains: ['shop.test'], directory, ca })
    const issuer = await pebble.issuer()
    await until(
      async () => (await ask(tlsPort, issuer, 'shop.test')) === 200,
      `an answer over TLS: ${JSON.stringify(gate!.messages)}`,
      30_000,
    )
  })
})

function hasPebble(): boolean {
  try {
    execFileSync('pebble-challtestsrv', ['-version'], { stdio: 'ignore' })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

async function startPebble() {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-pebble-'))
  releases.push(() => rm(dir, { recursive: true, force: true }))
  const own = await testAuthority('Pebble https')
  const pair = await testCertificate(own, { names: ['localhost'] })
  const [port, management, httpPort, tlsPort, dns, dnsManagement] = await Promise.all(
    Array.from({ length: 6 }, () => freePort()),
  )
  await writeFile(join(dir, 'cert.pem'), pair.certificate)
  await writeFile(join(dir, 'key.pem'), pair.key)
  const config = {
    pebble: {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: join(dir, 'cert.pem'),
      privateKey: join(dir, 'key.pem'),
      httpPort,
      tlsPort,
    },
  }
  await writeFile(join(dir, 'config.json'), JSON.stringify(config))
  const children: ChildProcess[] = [
    spawn(
      'pebble-challtestsrv',
      [
        '-defaultIPv4',
        '127.0.0.1',
        '-defaultIPv6',
        '',
        '-dns01',
        `127.0.0.1:${dns}`,
        '-management',
        `127.0.0.1:${dnsManagement}`,
        '-http01',
        '',
        '-https01',
        '',
        '-tlsalpn01',
        '',
      ],
      { stdio: 'ignore' },
    ),
    spawn('pebble', ['-config', join(dir, 'config.json'), '-dnsserver', `127.0.0.1:${dns}`], {
      stdio: 'ignore',
      // Refuses one nonce in five, so that retries are tried too.
      env: { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '20' },
    }),
  ]
  releases.push(() => {
    for (const child of children) child.kill()
  })
  const read = (url: string) =>
    new Promise<string | undefined>((resolve) => {
      const asked = httpsGet(url, { ca: own.pem }, (reply) => {
        let text = ''
        reply.setEncoding('utf8').on('data', (chunk) => (text += chunk))
        reply.once('end', () => resolve(text))
      })
      asked.once('error', () => resolve(undefined))
    })
  const directory = `https://localhost:${port}/dir`
  await until(() => read(directory), 'Pebble to start')
  const issuer = async () => (await read(`https://localhost:${management}/roots/0`))!
  return { directory, ca: own.pem, httpPort: httpPort!, tlsPort: tlsPort!, issuer }
}
