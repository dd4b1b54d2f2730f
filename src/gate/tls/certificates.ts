import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { ConfigError, messageOf } from '../../base/errors.ts'
import type { TlsSettings } from '../../config/settings.ts'

/** Everything TLS needs, read and checked: certificates with their keys, authorities, revocation lists. */
export interface TlsMaterial {
  readonly identities: readonly Identity[]
  readonly clientCa: readonly string[]
  readonly clientCrl: readonly string[]
}

/** A certificate chain with the key that belongs to it. */
export interface Identity {
  readonly certificate: string
  readonly key: string
  /** Names it is shown for, in lower case; `*.example.com` stands for one label. */
  readonly names: readonly string[]
  readonly beginsAt: number
  readonly expiresAt: number
  readonly serialNumber: string
  /** For messages: the file, or what stands for it. */
  readonly source: string
}

/** A PEM text as it stands, or the file of that name. */
export async function readPem(fileOrText: string, what: string): Promise<string> {
  if (fileOrText.includes('-----BEGIN ')) return fileOrText
  try {
    return await readFile(fileOrText, 'utf8')
  } catch (error) {
    throw new ConfigError('P1080', `cannot read the ${what}: ${messageOf(error)}`, { cause: error })
  }
}

/** Reads a certificate and its key. Throws `ConfigError` when they are not a pair. */
export function readIdentity(certificate: string, key: string, source: string, names?: readonly string[]): Identity {
  let leaf: X509Certificate
  try {
    leaf = new X509Certificate(certificate)
  } catch (error) {
    throw new ConfigError('P1081', `${source} is not a certificate in PEM form`, { cause: error })
  }
  let fits: boolean
  try {
    fits = leaf.checkPrivateKey(createPrivateKey(key))
  } catch (error) {
    throw new ConfigError('P1082', `the private key of ${source} cannot be read`, {
      cause: error,
      hint: 'an unencrypted key in PEM form is expected',
    })
  }
  if (!fits) throw new ConfigError('P1082', `the private key does not belong to the certificate ${source}`)
  return {
    certificate,
    key,
    names: (names ?? namesOf(leaf)).map((name) => name.toLowerCase()),
    beginsAt: Date.parse(leaf.validFrom),
    expiresAt: Date.parse(leaf.validTo),
    serialNumber: leaf.serialNumber,
    source,
  }
}

function namesOf(certificate: X509Certificate): string[] {
  const names: string[] = []
  for (const part of (certificate.subjectAltName ?? '').split(', ')) {
    if (part.startsWith('DNS:')) names.push(part.slice(4))
  }
  return names
}

/** Reads what a listener's `tls` names, files and texts alike. Throws `ConfigError`. */
export async function readTlsMaterial(settings: TlsSettings): Promise<TlsMaterial> {
  const pairs: { certificate: string; key: string; names?: readonly string[] | undefined }[] = []
  if (settings.certificate !== undefined || settings.key !== undefined) {
    if (settings.certificate === undefined || settings.key === undefined) {
      throw new ConfigError('P1083', 'tls needs both "certificate" and "key"')
    }
    pairs.push({ certificate: settings.certificate, key: settings.key })
  }
  pairs.push(...(settings.certificates ?? []))
  const identities: Identity[] = []
  for (const { certificate, key, names } of pairs) {
    const source = certificate.includes('-----BEGIN ') ? 'the certificate in the configuration' : certificate
    identities.push(
      readIdentity(await readPem(certificate, 'certificate'), await readPem(key, 'private key'), source, names),
    )
  }
  return {
    identities,
    clientCa: await readPems(settings.clientCa, 'authority for client certificates'),
    clientCrl: await readPems(settings.clientCrl, 'revocation list'),
  }
}

async function readPems(settings: string | readonly string[] | undefined, what: string): Promise<string[]> {
  const list = typeof settings === 'string' ? [settings] : (settings ?? [])
  return Promise.all(list.map((one) => readPem(one, what)))
}

/** The files behind a listener's `tls`, to be watched. */
export function filesOf(settings: TlsSettings): string[] {
  const list = [
    settings.certificate,
    settings.key,
    ...(settings.certificates ?? []).flatMap(({ certificate, key }) => [certificate, key]),
    ...[settings.clientCa ?? []].flat(),
    ...[settings.clientCrl ?? []].flat(),
  ]
  return list.filter((one) => one !== undefined).filter((one) => !one.includes('-----BEGIN '))
}

// TLS 1.3's own three, and of TLS 1.2 only suites with forward secrecy and authenticated encryption (RFC 9325, 4.2).
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** What every secure context of a listener shares. */
export function contextOptions(material: TlsMaterial, min: '1.2' | '1.3'): SecureContextOptions {
  return {
    minVersion: min === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers,
    // A client that renegotiates costs us a handshake each time, and RFC 9325, 3.5 has no use for it.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...(material.clientCa.length === 0 ? {} : { ca: [...material.clientCa] }),
    ...(material.clientCrl.length === 0 ? {} : { crl: [...material.clientCrl] }),
  }
}

/** Secure contexts by the name a client asks for: exact names first, then wildcards of one label (RFC 9525, 6.3). */
export class ContextBook {
  readonly #exact = new Map<string, SecureContext>()
  readonly #wildcard = new Map<string, SecureContext>()

  constructor(identities: readonly Identity[], shared: SecureContextOptions) {
    for (const { certificate, key, names } of identities) {
      const context = createSecureContext({ ...shared, cert: certificate, key })
      for (const name of names) {
        const book = name.startsWith('*.') ? this.#wildcard : this.#exact
        const at = name.startsWith('*.') ? name.slice(2) : name
        // The first certificate for a name counts, as the list stands.
        if (!book.has(at)) book.set(at, context)
      }
    }
  }

  /** The context for a name; `undefined` means the listener's first certificate. */
  find(name: string): SecureContext | undefined {
    const lower = name.toLowerCase()
    const exact = this.#exact.get(lower)
    if (exact !== undefined) return exact
    const dot = lower.indexOf('.')
    return dot === -1 ? undefined : this.#wildcard.get(lower.slice(dot + 1))
  }
}

const watchMs = 1_500
/** Beyond so many files a round takes longer, so that looking costs at most some percent of a core. */
const filesPerSecond = 2_000

/**
 * What files look like by their times and sizes. What replaces files by moving links, as a Kubernetes volume does, is
 * noticed too, and a file that is not there yet may come.
 */
export async function marksOf(files: readonly string[]): Promise<string> {
  const marks: string[] = []
  for (const file of files) marks.push(await markOf(file))
  return marks.join()
}

/** Calls back whenever the files do not look as before; `marks` is how they looked when they were read. */
export function watchFiles(files: readonly string[], marks: string, changed: () => void): () => void {
  if (files.length === 0) return () => {}
  let before = marks
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  const waitMs = Math.max(watchMs, (files.length / filesPerSecond) * 1000)
  const look = async () => {
    const now = await marksOf(files)
    if (stopped) return
    if (before !== now) changed()
    before = now
    timer = setTimeout(() => void look(), waitMs).unref()
  }
  timer = setTimeout(() => void look(), waitMs).unref()
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}

async function markOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file)
    return `${mtimeMs} ${size} ${ino}`
  } catch {
    return '-'
  }
}
