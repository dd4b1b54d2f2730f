import type { Socket } from 'node:net'
import { createSecureContext, createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls'
import type { Clock } from '../../base/clock.ts'
import { ConfigError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { isLoopback } from '../../config/checks.ts'
import type { ConnectionLimits, ListenSettings, TlsSettings } from '../../config/settings.ts'
import type { AcmeKeeper, AcmeSettings } from './acme.ts'
import {
  ContextBook,
  contextOptions,
  filesOf,
  type Identity,
  marksOf,
  readTlsMaterial,
  type TlsMaterial,
  watchFiles,
} from './certificates.ts'
import { alpnChallengeFile } from './challenges.ts'
import { developmentCertificate } from './development.ts'
import { readFileIfAny } from './files.ts'

const acmeProtocol = 'acme-tls/1'

/** The TLS side of a listener: takes accepted sockets through the handshake, with whatever certificates hold now. */
export interface TlsFront {
  readonly authorityFile: string | undefined
  /** The certificates shown to clients now. */
  readonly certificates: readonly CertificateInUse[]
  accept(socket: Socket, first: Buffer, secured: (stream: TLSSocket) => void, failed: () => void): void
  update(entry: ListenSettings, limits?: ConnectionLimits): Promise<void>
  /** Tells that the port is open, so that an ACME server can be asked to look. */
  begin(): Promise<void>
  close(): void
}

/** A certificate that is shown to clients, for those who watch when it ends. */
export type CertificateInUse = Pick<Identity, 'names' | 'expiresAt' | 'source'>

export interface TlsFrontOptions {
  readonly limits: ConnectionLimits
  readonly log: Logger
  readonly stateDir: string
  readonly now: Clock
}

/** Reads the certificates of a listener and watches them. Throws `ConfigError` when there is none to show. */
export async function openTlsFront(entry: ListenSettings, options: TlsFrontOptions): Promise<TlsFront> {
  const front = new Front(options)
  await front.update(entry)
  return front
}

class Front implements TlsFront {
  #options: TlsFrontOptions
  #entry: ListenSettings | undefined
  #server: Server | undefined
  #identities: readonly Identity[] = []
  #authorityFile: string | undefined
  #stopWatching: () => void = () => {}
  #begun = false
  #keeper: AcmeKeeper | undefined
  #kept: AcmeSettings | undefined
  /** Handshakes under way, by the client's address and port, which are its own while the connection stands. */
  readonly #handshakes = new Map<string, { secured: (stream: TLSSocket) => void; failed: () => void }>()

  constructor(options: TlsFrontOptions) {
    this.#options = options
  }

  get authorityFile(): string | undefined {
    return this.#authorityFile
  }

  get certificates(): readonly CertificateInUse[] {
    return this.#identities
  }

  accept(socket: Socket, first: Buffer, secured: (stream: TLSSocket) => void, failed: () => void): void {
    // The protocol that an ACME server offers stands in the clear in its ClientHello (RFC 8737, 3).
    if (this.#keeper !== undefined && first.includes(acmeProtocol)) {
      this.#answerChallenge(socket)
      return
    }
    const key = keyOf(socket)
    this.#handshakes.set(key, { secured, failed })
    socket.once('close', () => this.#handshakes.delete(key))
    this.#server!.emit('connection', socket)
  }

  async update(entry: ListenSettings, limits = this.#options.limits): Promise<void> {
    const settings = settingsOf(entry)
    const files = await this.#filesOf(settings)
    // Looked at before they are read: what changes in between is seen as a change.
    const marks = await marksOf(files)
    const built = await this.#build(entry, limits)
    // From here nothing can fail: new handshakes see the new server object, open connections keep their own.
    this.#take(built)
    this.#entry = entry
    this.#options = { ...this.#options, limits }
    this.#stopWatching()
    this.#stopWatching = watchFiles(files, marks, () => void this.#reload(entry))
    if (this.#begun) await this.begin()
  }

  async begin(): Promise<void> {
    this.#begun = true
    const { stateDir, now, log } = this.#options
    const wanted = settingsOf(this.#entry!)?.acme
    if (JSON.stringify(wanted) === JSON.stringify(this.#kept)) return
    this.#keeper?.stop()
    this.#kept = wanted
    this.#keeper = undefined
    if (wanted === undefined) return
    const { keepCertificate } = await import('./acme.ts')
    this.#keeper = keepCertificate({ settings: wanted, stateDir, now, log })
  }

  close(): void {
    this.#stopWatching()
    this.#keeper?.stop()
  }

  async #filesOf(settings: TlsSettings | undefined): Promise<string[]> {
    if (settings === undefined) return []
    const files = filesOf(settings)
    if (settings.acme !== undefined) {
      const { acmeFile } = await import('./acme.ts')
      files.push(acmeFile({ settings: settings.acme, stateDir: this.#options.stateDir }))
    }
    return files
  }

  #answerChallenge(socket: Socket): void {
    const { stateDir, limits } = this.#options
    const server = createServer({
      ALPNProtocols: [acmeProtocol],
      handshakeTimeout: limits.headTimeout,
      SNICallback: (name, done) => {
        void readFileIfAny(alpnChallengeFile(stateDir, name)).then(
          (pem) =>
            pem === undefined
              ? done(new Error('no challenge'))
              : done(null, createSecureContext({ cert: pem, key: pem })),
          (error) => done(error),
        )
      },
    })
    // The handshake is the whole answer; no data may follow it.
    server.on('secureConnection', (stream: TLSSocket) => stream.end())
    server.on('tlsClientError', (_error, stream: TLSSocket) => stream.destroy())
    server.emit('connection', socket)
  }

  async #reload(entry: ListenSettings): Promise<void> {
    try {
      const built = await this.#build(entry)
      // The configuration may have changed meanwhile.
      if (this.#entry !== entry) return
      this.#take(built)
      const serialNumbers = this.#identities.map((one) => one.serialNumber)
      this.#options.log.info('certificates replaced', { serialNumbers })
    } catch (error) {
      this.#options.log.error('the new certificates cannot be used; the old ones stay', { reason: messageOf(error) })
    }
  }

  #take({ server, identities, authorityFile }: Built): void {
    this.#server = server
    this.#identities = identities
    this.#authorityFile = authorityFile
  }

  async #build(entry: ListenSettings, limits = this.#options.limits): Promise<Built> {
    const { now, log } = this.#options
    const settings = settingsOf(entry)
    const { material, authorityFile } =
      settings === undefined
        ? await this.#development()
        : { material: await readTlsMaterial(settings), authorityFile: undefined }
    const identities = [...material.identities, ...(await obtainedIdentities(settings?.acme, this.#options.stateDir))]
    if (identities.length === 0 && settings?.acme === undefined) {
      throw new ConfigError('P1084', `no certificate for port ${entry.port}`, {
        hint: 'give tls.certificate and tls.key, or tls.acme, or tls: development',
      })
    }
    const expired = identities.filter(({ expiresAt }) => expiresAt <= now())
    const fresh = this.#identities.length > 0 && this.#identities.every(({ expiresAt }) => expiresAt > now())
    if (expired.length > 0 && fresh) throw new ConfigError('P1088', `${expired[0]!.source} has expired`)
    for (const { source } of expired) log.error('a certificate has expired; clients will refuse it', { source })

    const shared = contextOptions(material, settings?.min ?? '1.2')
    checkAuthorities(shared)
    const book = new ContextBook(identities, shared)
    const server = createServer({
      ...shared,
      // Until ACME brings the first one there is no certificate to show, and handshakes fail.
      ...(identities.length === 0 ? {} : { cert: identities[0]!.certificate, key: identities[0]!.key }),
      SNICallback: (name, done) => done(null, book.find(name)),
      ALPNProtocols: entry.http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
      handshakeTimeout: limits.headTimeout,
      // A client without a certificate, or with a revoked one, is answered 401 by the rules of the operation it asks
      // for; `require` refuses it at the door.
      requestCert: material.clientCa.length > 0,
      rejectUnauthorized: material.clientCa.length > 0 && settings?.clientCertificate === 'require',
    })
    server.on('secureConnection', (stream: TLSSocket) => {
      const handshake = this.#endHandshake(stream)
      if (handshake === undefined) stream.destroy()
      else handshake.secured(stream)
    })
    server.on('tlsClientError', (error: NodeJS.ErrnoException, stream: TLSSocket) => {
      log.debug('TLS handshake failed', { code: error.code })
      this.#endHandshake(stream)?.failed()
      stream.destroy()
    })
    return { server, identities, authorityFile }
  }

  async #development(): Promise<{ readonly material: TlsMaterial; readonly authorityFile: string }> {
    const { identity, authorityFile } = await developmentCertificate(this.#options)
    return { material: { identities: [identity], clientCa: [], clientCrl: [] }, authorityFile }
  }

  #endHandshake(stream: TLSSocket) {
    const key = keyOf(stream)
    const handshake = this.#handshakes.get(key)
    this.#handshakes.delete(key)
    return handshake
  }
}

/** What was read for an entry, not in force yet. */
interface Built {
  readonly server: Server
  readonly identities: readonly Identity[]
  readonly authorityFile: string | undefined
}

/** The certificate that an ACME server gave for these settings, once there is one. */
export async function obtainedIdentities(settings: AcmeSettings | undefined, stateDir: string): Promise<Identity[]> {
  if (settings === undefined) return []
  const { acmeFile, checkAcmeSettings, readAcmeIdentity } = await import('./acme.ts')
  checkAcmeSettings(settings)
  const identity = await readAcmeIdentity(acmeFile({ settings, stateDir }))
  return identity === undefined ? [] : [identity]
}

/** Certificates and keys were read before; what else OpenSSL can complain of are authorities and lists. */
function checkAuthorities(shared: SecureContextOptions): void {
  try {
    createSecureContext(shared)
  } catch (error) {
    throw new ConfigError('P1089', `clientCa or clientCrl cannot be used: ${messageOf(error)}`, { cause: error })
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`
}

/** What `tls` says; `undefined` for a development certificate, which is the default on loopback only. */
function settingsOf(entry: ListenSettings): TlsSettings | undefined {
  const { tls } = entry
  if (tls === 'development') return undefined
  if (tls === undefined || tls === 'off') {
    if (isLoopback(entry.host)) return undefined
    return { min: '1.2', clientCertificate: 'request' }
  }
  return tls
}
