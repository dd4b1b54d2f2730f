import { createHash, randomBytes } from 'node:crypto'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import 'reflect-metadata'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { calculateJwkThumbprint, flattenedVerify, importJWK, type JWK } from 'jose'
import { ecdsaP256, serialNumber } from '../../src/gate/tls/x509.ts'
import { testAuthority, testCertificate } from './pki.ts'

/**
 * A small ACME authority (RFC 8555) that does what a real one does: it checks every signature, nonce and URL, looks for
 * the challenges itself by http-01 and tls-alpn-01, and signs what was asked for.
 */
export interface TestAcme {
  readonly directory: string
  /** PEM of the authority behind its own https. */
  readonly ca: string
  /** PEM of the authority that signs what it issues. */
  readonly issuer: string
  /** Where it looks for the names, whatever they are. */
  readonly look: { http: number; tls: number }
  /** What happened, in order: `newAccount`, `newOrder`, `tls-alpn-01 shop.test valid`, `certificate` … */
  readonly events: string[]
  /** How long certificates live. */
  lifeMs: number
  /** Answers this many of the next requests with `badNonce`. */
  badNonces: number
  /** Refuses new orders as `rateLimited`, with this Retry-After in seconds. */
  rateLimited: number | undefined
  /** Challenges offered. */
  offers: string[]
  stop(): Promise<void>
}

interface Account {
  readonly jwk: JWK
  readonly thumbprint: string
}

interface Order {
  readonly account: string
  readonly domains: readonly string[]
  readonly authorizations: readonly string[]
  status: string
  certificate?: string
}

interface Authorization {
  readonly account: string
  readonly domain: string
  readonly token: string
  status: string
  error?: { type: string; detail: string }
  tried?: string
}

class Problem extends Error {
  readonly type: string
  readonly status: number
  readonly headers: Record<string, string>

  constructor(type: string, detail: string, status = 400, headers: Record<string, string> = {}) {
    super(detail)
    this.type = type
    this.status = status
    this.headers = headers
  }
}

export async function startAcme(): Promise<TestAcme> {
  const own = await testAuthority('ACME https')
  const issuing = await testAuthority('ACME issuer')
  const pair = await testCertificate(own, { names: ['localhost'] })
  const nonces = new Set<string>()
  const accounts = new Map<string, Account>()
  const orders = new Map<string, Order>()
  const authorizations = new Map<string, Authorization>()
  const certificates = new Map<string, string>()
  const server = createServer({ cert: pair.certificate, key: pair.key }, (request, reply) => {
    void answer(request, reply).catch((error) => {
      const problem = error instanceof Problem ? error : new Problem('serverInternal', String(error), 500)
      send(
        reply,
        problem.status,
        { type: `urn:ietf:params:acme:error:${problem.type}`, detail: problem.message },
        problem.headers,
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `https://localhost:${(server.address() as AddressInfo).port}`

  const acme: TestAcme = {
    directory: `${base}/directory`,
    ca: own.pem,
    issuer: issuing.pem,
    look: { http: 0, tls: 0 },
    events: [],
    lifeMs: 90 * 86_400_000,
    badNonces: 0,
    rateLimited: undefined,
    offers: ['http-01', 'tls-alpn-01', 'dns-01'],
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }

  function send(reply: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void {
    const nonce = randomBytes(16).toString('base64url')
    nonces.add(nonce)
    const isText = typeof value === 'string'
    reply.writeHead(status, {
      'replay-nonce': nonce,
      'content-type': isText ? 'application/pem-certificate-chain' : 'application/json',
      ...headers,
    })
    reply.end(isText ? value : JSON.stringify(value))
  }

  async function answer(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const url = `${base}${request.url}`
    if (request.url === '/directory') {
      return send(reply, 200, {
        newNonce: `${base}/nonce`,
        newAccount: `${base}/account`,
        newOrder: `${base}/order`,
      })
    }
    if (request.url === '/nonce') return send(reply, 200, {})
    const { payload, account, jwk } = await verify(request, url)
    const [, kind, id] = request.url!.split('/')
    if (kind === 'account' && id === undefined) {
      const thumbprint = await calculateJwkThumbprint(jwk!)
      const known = [...accounts].find(([, one]) => one.thumbprint === thumbprint)?.[0]
      const location = known ?? `${base}/account/${randomBytes(8).toString('hex')}`
      accounts.set(location, { jwk: jwk!, thumbprint })
      acme.events.push('newAccount')
      return send(reply, known === undefined ? 201 : 200, { status: 'valid' }, { location })
    }
    if (account === undefined) throw new Problem('accountDoesNotExist', 'a known account must sign', 403)
    if (kind === 'order' && id === undefined) return newOrder(reply, account, payload as never)
    if (kind === 'order') return send(reply, 200, orderOf(url, account))
    if (kind === 'authorization') return send(reply, 200, authorizationOf(id!, account))
    if (kind === 'challenge') return challenge(reply, id!, request.url!.split('/')[3]!, account)
    if (kind === 'finalize') return finalize(reply, `${base}/order/${id}`, account, payload as never)
    if (kind === 'certificate') return send(reply, 200, certificates.get(url)!)
    throw new Problem('malformed', 'no such resource', 404)
  }

  /** RFC 8555, 6.2: ES256, a fresh nonce, the URL asked for, and either a key or an account. */
  async function verify(request: IncomingMessage, url: string) {
    if (request.headers['content-type'] !== 'application/jose+json') throw new Problem('malformed', 'content type', 415)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const jws = JSON.parse(Buffer.concat(chunks).toString())
    const header = JSON.parse(Buffer.from(jws.protected, 'base64url').toString()) as {
      alg: string
      nonce: string
      url: string
      jwk?: JWK
      kid?: string
    }
    if (!nonces.delete(header.nonce)) throw new Problem('badNonce', 'unknown nonce')
    if (acme.badNonces > 0) {
      acme.badNonces--
      throw new Problem('badNonce', 'stale nonce')
    }
    if (header.url !== url || header.alg !== 'ES256') throw new Problem('unauthorized', 'url or alg', 401)
    if ((header.jwk === undefined) === (header.kid === undefined)) throw new Problem('malformed', 'jwk or kid')
    if (header.jwk !== undefined && 'd' in header.jwk) throw new Problem('malformed', 'a private key was sent')
    const jwk = header.jwk ?? accounts.get(header.kid!)?.jwk
    if (jwk === undefined) throw new Problem('accountDoesNotExist', 'unknown account')
    const verified = await flattenedVerify(jws, await importJWK(jwk, 'ES256'))
    const text = Buffer.from(verified.payload).toString()
    return { payload: text === '' ? undefined : JSON.parse(text), account: header.kid, jwk: header.jwk }
  }

  function newOrder(reply: ServerResponse, account: string, payload: { identifiers: { value: string }[] }): void {
    if (acme.rateLimited !== undefined) {
      acme.events.push('rateLimited')
      throw new Problem('rateLimited', 'too many orders', 429, { 'retry-after': String(acme.rateLimited) })
    }
    const domains = payload.identifiers.map(({ value }) => value)
    acme.events.push('newOrder')
    const ids = domains.map((domain) => {
      const id = randomBytes(8).toString('hex')
      authorizations.set(id, { account, domain, token: randomBytes(24).toString('base64url'), status: 'pending' })
      return id
    })
    const url = `${base}/order/${randomBytes(8).toString('hex')}`
    orders.set(url, { account, domains, authorizations: ids, status: 'pending' })
    send(reply, 201, orderOf(url, account), { location: url })
  }

  function orderOf(url: string, account: string) {
    const order = orders.get(url)
    if (order === undefined || order.account !== account) throw new Problem('unauthorized', 'not yours', 403)
    const states = order.authorizations.map((id) => authorizations.get(id)!.status)
    if (order.status === 'pending' && states.every((status) => status === 'valid')) order.status = 'ready'
    if (order.status === 'pending' && states.includes('invalid')) order.status = 'invalid'
    return {
      status: order.status,
      identifiers: order.domains.map((value) => ({ type: 'dns', value })),
      authorizations: order.authorizations.map((id) => `${base}/authorization/${id}`),
      finalize: url.replace('/order/', '/finalize/'),
      ...(order.certificate === undefined ? {} : { certificate: order.certificate }),
    }
  }

  function authorizationOf(id: string, account: string) {
    const one = authorizations.get(id)
    if (one === undefined || one.account !== account) throw new Problem('unauthorized', 'not yours', 403)
    return {
      status: one.status,
      identifier: { type: 'dns', value: one.domain },
      challenges: acme.offers.map((type) => ({
        type,
        url: `${base}/challenge/${id}/${type}`,
        token: one.token,
        status: one.tried === type ? one.status : 'pending',
        ...(one.tried === type && one.error !== undefined ? { error: one.error } : {}),
      })),
    }
  }

  function challenge(reply: ServerResponse, id: string, type: string, account: string): void {
    const one = authorizations.get(id)
    if (one === undefined || one.account !== account) throw new Problem('unauthorized', 'not yours', 403)
    one.tried = type
    const expected = `${one.token}.${accounts.get(account)!.thumbprint}`
    const validate = type === 'http-01' ? validateHttp : validateAlpn
    void validate(one.domain, one.token, expected).then(
      () => settle('valid'),
      (error: Error) => settle('invalid', error),
    )
    function settle(status: string, error?: Error): void {
      one!.status = status
      if (error !== undefined) one!.error = { type: 'urn:ietf:params:acme:error:unauthorized', detail: error.message }
      acme.events.push(`${type} ${one!.domain} ${status}`)
    }
    send(reply, 200, { type, status: 'processing', url: `${base}/challenge/${id}/${type}`, token: one.token })
  }

  function validateHttp(domain: string, token: string, expected: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const path = `/.well-known/acme-challenge/${token}`
      const asked = httpRequest(
        { port: acme.look.http, host: '127.0.0.1', path, headers: { host: domain } },
        (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
          response.on('end', () => {
            if (response.statusCode === 200 && text.trim() === expected) resolve()
            else reject(new Error(`http-01 found ${response.statusCode}`))
          })
        },
      )
      asked.once('error', reject)
      asked.end()
    })
  }

  /** RFC 8737, 3: the protocol is agreed on, and the certificate names the domain and the key authorization's digest. */
  async function validateAlpn(domain: string, _token: string, expected: string): Promise<void> {
    const socket = await new Promise<TLSSocket>((resolve, reject) => {
      const one = connect(
        {
          port: acme.look.tls,
          host: '127.0.0.1',
          servername: domain,
          ALPNProtocols: ['acme-tls/1'],
          rejectUnauthorized: false,
        },
        () => resolve(one),
      )
      one.once('error', reject)
    })
    const certificate = new X509Certificate(socket.getPeerCertificate().raw)
    const agreed = socket.alpnProtocol
    socket.destroy()
    const names = namesIn(certificate)
    const extension = certificate.getExtension('1.3.6.1.5.5.7.1.31')
    const digest = createHash('sha256').update(expected).digest()
    if (agreed !== 'acme-tls/1') throw new Error('acme-tls/1 was not agreed on')
    if (names.join() !== domain) throw new Error('the certificate names something else')
    if (extension?.critical !== true) throw new Error('no critical acmeIdentifier')
    if (!Buffer.from(extension.value).equals(Buffer.concat([Buffer.from([4, 32]), digest])))
      throw new Error('wrong digest')
  }

  async function finalize(
    reply: ServerResponse,
    url: string,
    account: string,
    payload: { csr: string },
  ): Promise<void> {
    const order = orders.get(url)!
    if (orderOf(url, account).status !== 'ready') throw new Problem('orderNotReady', 'not ready', 403)
    const csr = new Pkcs10CertificateRequest(Buffer.from(payload.csr, 'base64url'))
    if (!(await csr.verify())) throw new Problem('badCSR', 'bad signature')
    const names = namesIn(csr)
    if ([...names].sort().join() !== [...order.domains].sort().join()) throw new Problem('badCSR', 'other names')
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: '',
      issuer: issuing.certificate.subject,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + acme.lifeMs),
      publicKey: csr.publicKey,
      signingKey: issuing.key,
      signingAlgorithm: ecdsaP256,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
        new SubjectAlternativeNameExtension(
          order.domains.map((value) => ({ type: 'dns' as const, value })),
          true,
        ),
      ],
    })
    order.status = 'processing'
    order.certificate = url.replace('/order/', '/certificate/')
    certificates.set(order.certificate, `${certificate.toString('pem')}\n${issuing.pem}\n`)
    acme.events.push('certificate')
    // As real ones do: the certificate is ready a moment later.
    setTimeout(() => {
      order.status = 'valid'
    }, 50)
    send(reply, 200, orderOf(url, account), { 'retry-after': '0' })
  }

  return acme
}

function namesIn(holder: X509Certificate | Pkcs10CertificateRequest): string[] {
  const extension = holder.extensions.find(({ type }) => type === '2.5.29.17')
  if (extension === undefined) return []
  return new SubjectAlternativeNameExtension(extension.rawData).names.toJSON().map(({ value }) => String(value))
}
