import { X509Certificate } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type CryptoKey, exportJWK, importJWK, type JWK } from 'jose'
import type { Clock } from '../../base/clock.ts'
import { ConfigError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { TlsSettings } from '../../config/settings.ts'
import { AcmeClient, AcmeError, type ChallengeResponder, type ChallengeType } from './acme-client.ts'
import { type Identity, readIdentity, readPem } from './certificates.ts'
import { alpnChallengeFile, hashOf, httpChallengeFile } from './challenges.ts'
import { readFileIfAny, withLockIfFree, writeFileWhole } from './files.ts'

export type AcmeSettings = NonNullable<TlsSettings['acme']>

/** Keeps a certificate from an ACME server (RFC 8555) fresh, in a file that the listener watches. */
export interface AcmeKeeper {
  /** Key and chain in one file, so that one rename replaces both. */
  readonly file: string
  stop(): void
}

export interface AcmeOptions {
  readonly settings: AcmeSettings
  readonly stateDir: string
  readonly now: Clock
  readonly log: Logger
}

/** What outlives a restart, so that a program which starts again and again does not use up the server's limits. */
interface AcmeState {
  readonly failures: number
  /** Not before then, in milliseconds since the epoch. */
  readonly nextTryAt: number
  readonly reason?: string
}

const minuteMs = 60_000
const retryMsMin = 5 * minuteMs
const retryMsMax = 24 * 60 * minuteMs
// Looked at often, since clocks jump and other processes may have done the work.
const lookMsMax = 30 * minuteMs

/** Where the certificate for these settings lies: one place for each server and set of names. */
export function acmeFile({ settings, stateDir }: Pick<AcmeOptions, 'settings' | 'stateDir'>): string {
  return join(folderOf(settings, stateDir), 'certificate.pem')
}

function folderOf(settings: AcmeSettings, stateDir: string): string {
  const names = settings.domains.map((domain) => domain.toLowerCase()).sort()
  return join(stateDir, 'acme', hashOf([settings.directory, ...names].join(' ')))
}

/** The certificate obtained last, `undefined` when there is none that can be used. */
export async function readAcmeIdentity(file: string): Promise<Identity | undefined> {
  const pem = await readFileIfAny(file)
  if (pem === undefined) return undefined
  const certificateAt = pem.indexOf('-----BEGIN CERTIFICATE-----')
  return readIdentity(pem.slice(certificateAt), pem.slice(0, certificateAt), file)
}

/** Refuses what could never succeed, before anybody is asked. */
export function checkAcmeSettings({ domains, directory }: AcmeSettings): void {
  const wildcard = domains.find((domain) => domain.includes('*'))
  if (wildcard !== undefined) {
    throw new ConfigError('P1078', `tls.acme cannot obtain ${wildcard}: wildcards need a DNS challenge`, {
      hint: 'name the hosts one by one, or bring a certificate of your own',
    })
  }
  const odd = domains.find(
    (domain) => !/^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i.test(domain),
  )
  if (odd !== undefined) throw new ConfigError('P1078', `tls.acme: ${JSON.stringify(odd)} is no host name`)
  if (!directory.startsWith('https://')) throw new ConfigError('P1078', 'tls.acme.directory must be an https URL')
}

/** Obtains the certificate when there is none, and again before it ends, until stopped. */
export function keepCertificate(options: AcmeOptions): AcmeKeeper {
  const keeper = new Keeper(options)
  keeper.start()
  return keeper
}

class Keeper implements AcmeKeeper {
  readonly file: string
  readonly #options: AcmeOptions
  readonly #folder: string
  readonly #abort = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor(options: AcmeOptions) {
    this.#options = options
    this.#folder = folderOf(options.settings, options.stateDir)
    this.file = acmeFile(options)
  }

  start(): void {
    void this.#look()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#abort.abort(new Error('stopped'))
  }

  async #look(): Promise<void> {
    let waitMs = lookMsMax
    try {
      waitMs = await this.#waitMs()
      if (waitMs <= 0) {
        // One process of this machine at a time; the others find the file it leaves.
        await withLockIfFree(join(this.#folder, 'lock'), async () => {
          if ((await this.#waitMs()) <= 0) await this.#obtain()
        })
        waitMs = Math.max(1_000, await this.#waitMs())
      }
    } catch (error) {
      this.#options.log.error('the state of ACME cannot be read or written', { reason: messageOf(error) })
      waitMs = minuteMs
    }
    if (this.#abort.signal.aborted) return
    this.#timer = setTimeout(() => void this.#look(), Math.min(waitMs, lookMsMax)).unref()
  }

  /** How long until something is to be done; 0 or less: now. */
  async #waitMs(): Promise<number> {
    const now = this.#options.now()
    const { nextTryAt } = await this.#readState()
    const certificate = await this.#current()
    const due = certificate === undefined ? 0 : renewAt(certificate, this.#options.settings.renewBefore)
    return Math.max(due, nextTryAt) - now
  }

  async #current(): Promise<X509Certificate | undefined> {
    try {
      const identity = await readAcmeIdentity(this.file)
      return identity === undefined ? undefined : new X509Certificate(identity.certificate)
    } catch {
      return undefined
    }
  }

  async #readState(): Promise<AcmeState> {
    const text = await readFileIfAny(join(this.#folder, 'state.json'))
    try {
      if (text !== undefined) return JSON.parse(text) as AcmeState
    } catch {
      // Broken by hand: as if there had been no try.
    }
    return { failures: 0, nextTryAt: 0 }
  }

  async #obtain(): Promise<void> {
    const { settings, log, now } = this.#options
    const { domains, directory } = settings
    const before = await this.#readState()
    const failures = before.failures + 1
    // Written before the try: a process that dies in it must not come back at once and try again.
    await this.#writeState({ failures, nextTryAt: now() + backoffMs(failures) })
    log.info('obtaining a certificate', { domains, directory })
    try {
      // The other way next time: port 80 or 443 may not be reachable from outside.
      const prefer: readonly ChallengeType[] =
        failures % 2 === 1 ? ['tls-alpn-01', 'http-01'] : ['http-01', 'tls-alpn-01']
      const { pem, chain } = await this.#request(prefer)
      // Read before it is written: what we cannot use must not replace what we can.
      const { expiresAt } = readIdentity(chain, pem, 'the certificate from the ACME server')
      await writeFileWhole(this.file, pem + chain, 0o600)
      // A clock that is wrong makes every certificate due as soon as it comes: not more than one an hour even then.
      await this.#writeState({ failures: 0, nextTryAt: now() + 60 * minuteMs })
      log.info('obtained a certificate', { domains, until: new Date(expiresAt).toISOString() })
    } catch (error) {
      if (this.#abort.signal.aborted) {
        // Ended by us, so it does not count as a failure.
        await this.#writeState({ ...before, nextTryAt: now() + minuteMs })
        return
      }
      const asked = error instanceof AcmeError ? (error.retryAfterMs ?? 0) : 0
      const limited = error instanceof AcmeError && error.type === 'rateLimited' ? 60 * minuteMs : 0
      const nextTryAt = now() + Math.max(backoffMs(failures), asked, limited)
      const reason = messageOf(error)
      await this.#writeState({ failures, nextTryAt, reason })
      log.error('no certificate was obtained', { domains, reason, nextTry: new Date(nextTryAt).toISOString() })
    }
  }

  async #request(prefer: readonly ChallengeType[]): Promise<{ readonly pem: string; readonly chain: string }> {
    const { settings } = this.#options
    const { account, save } = await this.#account()
    const client = new AcmeClient({
      directory: settings.directory,
      ca: settings.ca === undefined ? undefined : await readPem(settings.ca, 'authority of the ACME server'),
      email: settings.email,
      account,
      signal: this.#abort.signal,
    })
    try {
      await save(await client.register())
      const x509 = await import('./x509.ts')
      const keys = await x509.generateKey()
      const csr = await x509.certificateRequest(settings.domains, keys)
      const chain = await client.obtain(settings.domains, prefer, this.#responder(), csr)
      return { pem: await x509.privateKeyPem(keys.privateKey), chain }
    } catch (error) {
      // An account that the server has forgotten is made anew next time.
      if (error instanceof AcmeError && error.type === 'accountDoesNotExist') await save(undefined)
      throw error
    } finally {
      await client.close()
    }
  }

  /** One account for each server and address, whatever the names. */
  async #account() {
    const { settings, stateDir } = this.#options
    const file = join(stateDir, 'acme', `account-${hashOf(`${settings.directory} ${settings.email ?? ''}`)}.json`)
    const text = await readFileIfAny(file)
    let kept = text === undefined ? undefined : (JSON.parse(text) as { key: JWK; url?: string })
    if (kept === undefined) {
      const { generateKey } = await import('./x509.ts')
      kept = { key: await exportJWK((await generateKey()).privateKey) }
      await writeFileWhole(file, JSON.stringify(kept), 0o600)
    }
    const { key } = kept
    return {
      account: { key: (await importJWK(key, 'ES256', { extractable: true })) as CryptoKey, url: kept.url },
      async save(url: string | undefined) {
        if (url !== kept.url) await writeFileWhole(file, JSON.stringify({ key, url }), 0o600)
      },
    }
  }

  /** Puts the answers where any process of this machine finds them: see `redirect.ts` and `front.ts`. */
  #responder(): ChallengeResponder {
    const { stateDir } = this.#options
    return {
      async show({ type, domain, token, keyAuthorization }) {
        const file = type === 'http-01' ? httpChallengeFile(stateDir, token) : alpnChallengeFile(stateDir, domain)
        if (type === 'http-01') await writeFileWhole(file, keyAuthorization, 0o600)
        else {
          const { challengeCertificate } = await import('./x509.ts')
          await writeFileWhole(file, await challengeCertificate(domain, keyAuthorization), 0o600)
        }
        return { done: () => rm(file, { force: true }) }
      },
    }
  }

  #writeState(state: AcmeState): Promise<void> {
    return writeFileWhole(join(this.#folder, 'state.json'), JSON.stringify(state), 0o600)
  }
}

/**
 * When to renew: `renewBefore` the end, but not before two thirds of the certificate's life, which may be short; spread
 * by the serial number, so that replicas and certificates do not all come at once.
 */
export function renewAt(certificate: X509Certificate, renewBeforeMs: number): number {
  const from = Date.parse(certificate.validFrom)
  const to = Date.parse(certificate.validTo)
  const before = Math.min(renewBeforeMs, (to - from) / 3)
  const spread = Number.parseInt(hashOf(certificate.serialNumber).slice(0, 8), 16) / 2 ** 32
  return to - before - before * 0.1 * spread
}

/** Five minutes, doubled with each failure, up to a day: four tries in the first hour, where Let's Encrypt allows five. */
export function backoffMs(failures: number): number {
  return Math.min(retryMsMax, retryMsMin * 2 ** Math.max(0, failures - 1))
}
