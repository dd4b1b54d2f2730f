import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509'
import { type Authority, ecdsaP256, generateKey, privateKeyPem, serialNumber } from '../../src/gate/tls/x509.ts'

/** A certificate made for a test. */
export interface TestCertificate {
  readonly certificate: string
  readonly key: string
  readonly serialNumber: string
}

const dayMs = 86_400_000

/** An authority that may vouch for every name. */
export async function testAuthority(name = 'Test authority'): Promise<Authority & { readonly pem: string }> {
  const keys = await generateKey()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + 365 * dayMs),
    keys,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate, key: keys.privateKey, pem: certificate.toString('pem') }
}

/** A certificate of that authority, for servers and clients alike. */
export async function testCertificate(
  authority: Authority,
  options: {
    readonly names?: readonly string[]
    readonly subject?: string
    readonly from?: number
    readonly to?: number
  } = {},
): Promise<TestCertificate> {
  const keys = await generateKey()
  const names = options.names ?? ['localhost']
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: options.subject ?? `CN=${names[0]}`,
    issuer: authority.certificate.subject,
    notBefore: new Date(options.from ?? Date.now() - dayMs),
    notAfter: new Date(options.to ?? Date.now() + 30 * dayMs),
    publicKey: keys.publicKey,
    signingKey: authority.key,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']),
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
      await AuthorityKeyIdentifierExtension.create(authority.certificate),
    ],
  })
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: await privateKeyPem(keys.privateKey),
    serialNumber: certificate.serialNumber.toUpperCase(),
  }
}

/** A revocation list of that authority, as PEM. */
export async function testCrl(authority: Authority, revoked: readonly string[]): Promise<string> {
  const crl = await X509CrlGenerator.create({
    issuer: authority.certificate.subject,
    thisUpdate: new Date(Date.now() - dayMs),
    nextUpdate: new Date(Date.now() + dayMs),
    signingAlgorithm: ecdsaP256,
    signingKey: authority.key,
    entries: revoked.map((serial) => ({ serialNumber: serial, revocationDate: new Date(Date.now() - 1_000) })),
    extensions: [await AuthorityKeyIdentifierExtension.create(authority.certificate)],
  })
  // The library writes `BEGIN CRL`, which nobody reads (RFC 7468, 9).
  return `${crl.toString('pem').replaceAll(/(BEGIN|END) CRL/g, '$1 X509 CRL')}\n`
}

export { X509Certificate }
