import type { PeerCertificate } from 'node:tls'
import { object, z } from '../../config/language.ts'
import type { Peer } from '../../gate/peer.ts'
import type { Principal } from '../../gate/principal.ts'
import type { Denial } from '../../gate/verdict.ts'
import { because, certificateChallenge, unauthorized } from './challenge.ts'
import type { Reader } from './contract.ts'

const serial = z
  .string()
  .regex(/^[0-9a-fA-F]{1,2}(:?[0-9a-fA-F]{2})*$/, 'expected a serial number in hexadecimal, such as 0A:1B:2C')
  .transform(plainSerial)

export const mtlsShape = object({
  subject: z
    .enum(['subject', 'commonName', 'uri', 'dns', 'email', 'fingerprint'])
    .default('subject')
    .describe(
      "What names the caller: the certificate's whole subject (`CN=alice,O=Acme`, RFC 4514), its common name, the first alternative name of a kind, or its SHA-256 fingerprint.",
    ),
  revoked: z
    .array(serial)
    .max(100_000)
    .default([])
    .describe('Serial numbers that are refused here, besides those in the revocation lists of the listener.'),
}).describe('How client certificates are read.')

export type MtlsOptions = z.output<typeof mtlsShape>

/** A certificate's caller, worked out once for each connection. */
interface Holder {
  readonly judged: Principal | Denial
  readonly expiresMs: number
}

/** Reads the client certificate that TLS has verified against the listener's authorities. */
export function mtlsReader(options: MtlsOptions, realm: string): Reader {
  const challenge = certificateChallenge(realm)
  const revokedSerials = new Set(options.revoked)
  const revoked = unauthorized('auth.certificate-revoked', 'The client certificate was revoked.', challenge)
  const expired = unauthorized('auth.certificate-expired', 'The client certificate has expired.', challenge)
  const unnamed = unauthorized(
    'auth.certificate-unnamed',
    'The client certificate does not hold the name that is needed here.',
    challenge,
  )
  const holders = new WeakMap<Peer, Holder>()

  function hold(certificate: PeerCertificate): Holder {
    const expiresMs = Date.parse(certificate.valid_to)
    const serialNumber = plainSerial(certificate.serialNumber)
    if (revokedSerials.has(serialNumber)) return { judged: because(revoked, { serialNumber }), expiresMs }
    const names = alternativeNames(certificate.subjectaltname)
    const subject = nameOf(certificate, names, options.subject)
    if (subject === undefined) return { judged: because(unnamed, { needed: options.subject }), expiresMs }
    const principal: Principal = {
      subject,
      kind: 'mtls',
      via: 'mtls',
      application: firstOf(certificate.subject.CN),
      scopes: new Set(),
      roles: new Set(),
      claims: {
        subject: distinguishedName(certificate.subject),
        issuer: distinguishedName(certificate.issuer),
        names: names.map(([kind, name]) => `${kind}:${name}`),
        serialNumber,
        fingerprint256: certificate.fingerprint256,
      },
    }
    return { judged: principal, expiresMs }
  }

  return {
    place: 'tls',
    read({ peer, receivedAt }) {
      const { certificate } = peer
      if (certificate === undefined) return undefined
      let holder = holders.get(peer)
      if (holder === undefined) {
        holder = hold(certificate)
        holders.set(peer, holder)
      }
      // TLS has checked this when the connection began, which may be long ago. An unreadable date is an expired one.
      return receivedAt < holder.expiresMs ? holder.judged : expired
    },
  }
}

function nameOf(
  certificate: PeerCertificate,
  names: readonly (readonly [string, string])[],
  kind: MtlsOptions['subject'],
): string | undefined {
  const named = (label: string) => names.find(([found]) => found === label)?.[1]
  switch (kind) {
    case 'subject':
      return distinguishedName(certificate.subject) || undefined
    case 'commonName':
      return firstOf(certificate.subject.CN)
    case 'uri':
      return named('URI')
    case 'dns':
      return named('DNS')
    case 'email':
      return named('email')
    case 'fingerprint':
      return certificate.fingerprint256
  }
}

function firstOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0]
}

/** RFC 4514: the most specific part first, special characters escaped, so that one name cannot pose as another. */
function distinguishedName(parts: object): string {
  return (Object.entries(parts) as [string, string | string[]][])
    .flatMap(([type, value]) => (Array.isArray(value) ? value : [value]).map((one) => `${type}=${escapeName(one)}`))
    .reverse()
    .join(',')
}

function escapeName(value: string): string {
  return value
    .replace(/[",+;<>\\=]/g, '\\$&')
    .replace(/\0/g, '\\00')
    .replace(/^[ #]/, '\\$&')
    .replace(/ $/, '\\ ')
}

/**
 * Kinds and names of `DNS:a.example, URI:spiffe://…`. Node quotes a name that holds a comma or a quote as a JSON text,
 * so that it cannot pose as several (CVE-2021-44532).
 */
export function alternativeNames(text: string | undefined): readonly (readonly [string, string])[] {
  const names: [string, string][] = []
  const pattern = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y
  let match = pattern.exec(text ?? '')
  while (match !== null) {
    const [, kind, name] = match as unknown as [string, string, string]
    names.push([kind, name.startsWith('"') ? (JSON.parse(name) as string) : name])
    match = pattern.lastIndex >= (text ?? '').length ? null : pattern.exec(text ?? '')
  }
  return names
}

function plainSerial(text: string): string {
  return text
    .replaceAll(':', '')
    .toUpperCase()
    .replace(/^0+(?=.)/, '')
}
