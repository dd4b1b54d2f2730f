import type { Socket } from 'node:net'
import { createSecureContext, createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls'
import type { Clock } from '../../base/clock.ts'
import { ConfigError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { ConnectionLimits, ListenSettings, TlsSettings } from '../../config/settings.ts'
import {
  ContextBook,
  contextOptions,
  filesOf,
  type Identity,
  readTlsMaterial,
  type TlsMaterial,
  watchFiles,
} from './certificates.ts'
import { developmentCertificate } from './development.ts'

/** The TLS side of a listener: takes accepted sockets through the handshake, with whatever certificates hold now. */
export interface TlsFront {
  readonly authorityFile: string | undefined
  accept(socket: Socket, first: Buffer, secured: (stream: TLSSocket) => void, failed: () => void): void
  update(entry: ListenSettings): Promise<void>
  close(): void
}

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
  readonly #options: TlsFrontOptions
  #entry: ListenSettings | undefined
  #server: Server | undefined
  #identities: readonly Identity[] = []
  #authorityFile: string | undefined
  #stopWatching: () => void = () => {}
  /** Handshakes under way, by the client's address and port, which are its own while the connection stands. */
  readonly #handshakes = new Map<string, { secured: (stream: TLSSocket) => void; failed: () => void }>()

  constructor(options: TlsFrontOptions) {
    this.#options = options
  }

  get authorityFile(): string | undefined {
    return this.#authorityFile
  }

  accept(socket: Socket, _first: Buffer, secured: (stream: TLSSocket) => void, failed: () => void): void {
    const key = keyOf(socket)
    this.#handshakes.set(key, { secured, failed })
    socket.once('close', () => this.#handshakes.delete(key))
    this.#server!.emit('connection', socket)
  }

  async update(entry: ListenSettings): Promise<void> {
    const server = await this.#build(entry)
    // From here nothing can fail: new handshakes see the new server object, open connections keep their own.
    this.#server = server
    this.#entry = entry
    this.#watch(entry)
  }

  close(): void {
    this.#stopWatching()
  }

  #watch(entry: ListenSettings): void {
    this.#stopWatching()
    const settings = settingsOf(entry)
    if (settings === undefined) return
    this.#stopWatching = watchFiles(filesOf(settings), () => void this.#reload())
  }

  async #reload(): Promise<void> {
    try {
      this.#server = await this.#build(this.#entry!)
      this.#options.log.info('certificates replaced', {
        serialNumbers: this.#identities.map((one) => one.serialNumber),
      })
    } catch (error) {
      this.#options.log.error('the new certificates cannot be used; the old ones stay', { reason: messageOf(error) })
    }
  }

  async #build(entry: ListenSettings): Promise<Server> {
    const { now, log, limits } = this.#options
    const settings = settingsOf(entry)
    const material = settings === undefined ? await this.#development() : await readTlsMaterial(settings)
    const { identities } = material
    if (identities.length === 0) {
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
      cert: identities[0]!.certificate,
      key: identities[0]!.key,
      SNICallback: (name, done) => done(null, book.find(name)),
      ALPNProtocols: entry.http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
      handshakeTimeout: limits.headTimeout,
      // A client without a certificate, or with a revoked one, is answered 401 by the rules of the operation it asks
      // for; `require` refuses it at the door.
      requestCert: material.clientCa.length > 0,
      rejectUnauthorized: material.clientCa.length > 0 && settings?.clientCertificate === 'require',
    })
    server.on('secureConnection', (stream: TLSSocket) => {
      const handshake = this.#take(stream)
      if (handshake === undefined) stream.destroy()
      else handshake.secured(stream)
    })
    server.on('tlsClientError', (error: NodeJS.ErrnoException, stream: TLSSocket) => {
      log.debug('TLS handshake failed', { code: error.code })
      this.#take(stream)?.failed()
      stream.destroy()
    })
    this.#identities = identities
    return server
  }

  #take(stream: TLSSocket) {
    const key = keyOf(stream)
    const handshake = this.#handshakes.get(key)
    this.#handshakes.delete(key)
    return handshake
  }

  async #development(): Promise<TlsMaterial> {
    const { identity, authorityFile } = await developmentCertificate(this.#options)
    this.#authorityFile = authorityFile
    return { identities: [identity], clientCa: [], clientCrl: [] }
  }
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
    if (/^(localhost|::1|127\.[\d.]+)$/.test(entry.host)) return undefined
    return { min: '1.2', clientCertificate: 'request' }
  }
  return tls
}
