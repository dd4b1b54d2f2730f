// The library resolves its parts through decorators' metadata and wants this first.
import 'reflect-metadata'
import { createHash, webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

/*
 * Certificates made here. The library takes a few hundred milliseconds to load, so only `development.ts` and `acme.ts`
 * import this module, and only when they have something to make.
 */

export const ecdsaP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** A key pair for ECDSA on P-256: small, fast to sign with, accepted everywhere. */
export function generateKey(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ecdsaP256, true, ['sign', 'verify'])
}

/** A private key as PEM (PKCS #8). */
export async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  const lines = der.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`
}

/** Reads back what `privateKeyPem` wrote. */
export function importPrivateKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  return webcrypto.subtle.importKey('pkcs8', der, ecdsaP256, true, ['sign'])
}

/** Names that a certificate stands for. */
export interface Names {
  readonly dns: readonly string[]
  readonly ip: readonly string[]
}

export interface Authority {
  readonly certificate: X509Certificate
  readonly key: webcrypto.CryptoKey
}

/** A root of its own that can vouch for nothing but `names`, so that its key is of no use to a thief elsewhere. */
export async function makeAuthority(names: Names, from: Date, to: Date): Promise<Authority> {
  const keys = await generateKey()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=Portcullis development authority ${Buffer.from(serialNumber().slice(0, 8), 'hex').toString('hex')}`,
    notBefore: from,
    notAfter: to,
    keys,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      nameConstraints(names),
    ],
  })
  return { certificate, key: keys.privateKey }
}

/** A server certificate for `names`, with its key, as PEM. */
export async function issueServerCertificate(
  authority: Authority,
  names: Names,
  from: Date,
  to: Date,
): Promise<{ readonly certificate: string; readonly key: string }> {
  const keys = await generateKey()
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${names.dns[0]}`,
    issuer: authority.certificate.subject,
    notBefore: from,
    notAfter: to,
    publicKey: keys.publicKey,
    signingKey: authority.key,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
      new SubjectAlternativeNameExtension([
        ...names.dns.map((value) => ({ type: 'dns', value }) as const),
        ...names.ip.map((value) => ({ type: 'ip', value }) as const),
      ]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(authority.certificate),
    ],
  })
  return { certificate: certificate.toString('pem'), key: await privateKeyPem(keys.privateKey) }
}

/** A request to sign a certificate for these names (PKCS #10), as RFC 8555, 7.4 wants it. */
export async function certificateRequest(
  domains: readonly string[],
  keys: webcrypto.CryptoKeyPair,
): Promise<Uint8Array> {
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: ecdsaP256,
    extensions: [new SubjectAlternativeNameExtension(domains.map((value) => ({ type: 'dns', value })))],
  })
  return new Uint8Array(request.rawData)
}

/** What is shown to a server that validates by tls-alpn-01 (RFC 8737, 3): key and certificate, PEM. */
export async function challengeCertificate(domain: string, keyAuthorization: string): Promise<string> {
  const keys = await generateKey()
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: 'CN=ACME challenge',
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 3_600_000),
    keys,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new SubjectAlternativeNameExtension([{ type: 'dns', value: domain }]),
      new Extension('1.3.6.1.5.5.7.1.31', true, der(0x04, digest)),
    ],
  })
  return `${await privateKeyPem(keys.privateKey)}${certificate.toString('pem')}\n`
}

/** 128 random bits, positive (RFC 5280, 4.1.2.2). */
export function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16))
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return Buffer.from(bytes).toString('hex')
}

/** NameConstraints (RFC 5280, 4.2.1.10) that permit these names only; the library has no word for it. */
function nameConstraints({ dns, ip }: Names): Extension {
  const subtrees = [
    ...dns.map((name) => der(0x30, der(0x82, Buffer.from(name, 'ascii')))),
    ...ip.map((address) => der(0x30, der(0x87, addressAndMask(address)))),
  ]
  return new Extension('2.5.29.30', true, der(0x30, der(0xa0, Buffer.concat(subtrees))))
}

function addressAndMask(address: string): Buffer {
  if (address === '::1') return Buffer.concat([Buffer.alloc(15), Buffer.from([1]), Buffer.alloc(16, 0xff)])
  return Buffer.concat([Buffer.from(address.split('.').map(Number)), Buffer.alloc(4, 0xff)])
}

/** One element of ASN.1's distinguished encoding: tag, length, content (X.690, 8.1). */
function der(tag: number, content: Uint8Array): Buffer {
  const { length } = content
  const head =
    length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(head), content])
}
