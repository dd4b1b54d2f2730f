import { X509Certificate } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { type Identity, readIdentity } from './certificates.ts'
import { readFileIfAny, withLock, writeFileWhole } from './files.ts'

const dayMs = 86_400_000
const authorityDays = 730
// Browsers accept no more than 398 days; a short life costs nothing here, since it is renewed at start.
const certificateDays = 90
const renewDays = 15

/** A development certificate, and the file of the authority to trust for it. */
export interface DevelopmentCertificate {
  readonly identity: Identity
  readonly authorityFile: string
}

/**
 * A certificate for this machine from an authority of its own, kept under `<stateDir>/tls` and used again while it
 * lasts, so that a browser or `curl --cacert` has to be told only once.
 */
export async function developmentCertificate(options: {
  readonly stateDir: string
  readonly now: Clock
}): Promise<DevelopmentCertificate> {
  const directory = join(options.stateDir, 'tls')
  const files = {
    authority: join(directory, 'development-ca.pem'),
    authorityKey: join(directory, 'development-ca.key'),
    certificate: join(directory, 'development.pem'),
    key: join(directory, 'development.key'),
  }
  const now = options.now()
  const kept = await readKept(files, now)
  if (kept !== undefined) return { identity: kept, authorityFile: files.authority }
  return withLock(join(directory, 'development.lock'), async () => {
    // Another process may have made it while this one waited.
    const identity = (await readKept(files, now)) ?? (await make(files, now))
    return { identity, authorityFile: files.authority }
  })
}

type Files = Readonly<Record<'authority' | 'authorityKey' | 'certificate' | 'key', string>>

async function readKept(files: Files, now: number): Promise<Identity | undefined> {
  const [authority, certificate, key] = await Promise.all([
    readFileIfAny(files.authority),
    readFileIfAny(files.certificate),
    readFileIfAny(files.key),
  ])
  if (authority === undefined || certificate === undefined || key === undefined) return undefined
  try {
    const identity = readIdentity(certificate, key, files.certificate)
    const issuer = new X509Certificate(authority)
    const vouched = new X509Certificate(certificate).verify(issuer.publicKey)
    const lasts = identity.expiresAt - now > renewDays * dayMs && Date.parse(issuer.validTo) > identity.expiresAt
    return vouched && lasts && names().dns.every((name) => identity.names.includes(name)) ? identity : undefined
  } catch {
    // Not ours, or broken: a new one is made over it.
    return undefined
  }
}

async function make(files: Files, now: number): Promise<Identity> {
  const x509 = await import('./x509.ts')
  // Clocks of containers and their hosts differ a little.
  const from = new Date(now - 3_600_000)
  let authority = await readAuthority(files, now)
  if (authority === undefined) {
    authority = await x509.makeAuthority(names(), from, new Date(now + authorityDays * dayMs))
    await writeFileWhole(files.authorityKey, await x509.privateKeyPem(authority.key), 0o600)
    await writeFileWhole(files.authority, `${authority.certificate.toString('pem')}\n`, 0o644)
  }
  const issued = await x509.issueServerCertificate(authority, names(), from, new Date(now + certificateDays * dayMs))
  const chain = `${issued.certificate}\n${authority.certificate.toString('pem')}\n`
  await writeFileWhole(files.key, issued.key, 0o600)
  await writeFileWhole(files.certificate, chain, 0o644)
  return readIdentity(chain, issued.key, files.certificate)
}

async function readAuthority(files: Files, now: number) {
  const [pem, key] = await Promise.all([readFileIfAny(files.authority), readFileIfAny(files.authorityKey)])
  if (pem === undefined || key === undefined) return undefined
  try {
    const node = new X509Certificate(pem)
    const permits = node.subject.includes('Portcullis development authority')
    if (!permits || Date.parse(node.validTo) - now < (certificateDays + renewDays) * dayMs) return undefined
    const x509 = await import('./x509.ts')
    const { X509Certificate: Certificate } = await import('@peculiar/x509')
    const certificate = new Certificate(pem)
    // An authority made on a machine of another name may not vouch for this one.
    const constraints = Buffer.from(certificate.getExtension('2.5.29.30')?.value ?? new ArrayBuffer(0))
    if (!names().dns.every((name) => constraints.includes(name))) return undefined
    return { certificate, key: await x509.importPrivateKey(key) }
  } catch {
    return undefined
  }
}

function names(): { readonly dns: readonly string[]; readonly ip: readonly string[] } {
  const own = hostname().toLowerCase()
  const usable = /^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/.test(own) && own !== 'localhost'
  return { dns: usable ? ['localhost', own] : ['localhost'], ip: ['127.0.0.1', '::1'] }
}
