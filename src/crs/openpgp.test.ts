import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { armored, makeOpenpgpKey, packet } from '../../test/kit/openpgp.ts'
import { readPublicKey, SignatureError, spaced, verifyDetached } from './openpgp.ts'

const now = Date.UTC(2026, 0, 1)
const data = Buffer.from('what was released')
const rsa = makeOpenpgpKey({ algorithm: 'rsa', bits: 3072 })
const ed25519 = makeOpenpgpKey({ algorithm: 'ed25519', subkey: 'bound' })

function check(signature: string | Buffer, publicKey: string, over = data, at = now) {
  return verifyDetached(over, Buffer.from(signature), readPublicKey(Buffer.from(publicKey)), at)
}

describe('a detached signature', () => {
  test.each([
    ['RSA', rsa],
    ['Ed25519', ed25519],
  ])('of %s holds over the very bytes that were signed', (_name, key) => {
    for (const hash of [8, 9, 10]) {
      expect(check(key.sign(data, { hash }), key.publicKey)).toEqual({
        fingerprint: key.fingerprint,
        signer: key.fingerprint,
        createdAt: Date.UTC(2025, 0, 1),
      })
    }
  })

  test('by a subkey that both keys vouch for holds', () => {
    const found = check(ed25519.signWithSubkey(data), ed25519.publicKey)
    expect(found.fingerprint).toBe(ed25519.fingerprint)
    expect(found.signer).not.toBe(ed25519.fingerprint)
  })

  test('is read binary as well as armored', () => {
    const binary = Buffer.from(rsa.sign(data).split('\n').slice(2, -3).join(''), 'base64')
    expect(check(binary, rsa.publicKey).fingerprint).toBe(rsa.fingerprint)
  })

  test('does not hold over a single bit more, less or other', () => {
    const signature = rsa.sign(data)
    fc.assert(
      fc.property(fc.nat(data.length * 8 - 1), (bit) => {
        const other = Buffer.from(data)
        other[bit >> 3]! ^= 1 << (bit & 7)
        expect(() => check(signature, rsa.publicKey, other)).toThrow('does not fit the file')
      }),
    )
    expect(() => check(signature, rsa.publicKey, data.subarray(1))).toThrow('does not fit the file')
    expect(() => check(signature, rsa.publicKey, Buffer.concat([data, Buffer.from('\n')]))).toThrow('does not fit')
  })

  const other = makeOpenpgpKey({ algorithm: 'rsa' })
  test.each([
    ['of another key', () => check(other.sign(data), rsa.publicKey), `expected a signature of ${rsa.fingerprint}`],
    [
      'of another key that gives itself out as the right one',
      () => check(other.sign(data, { issuer: rsa.fingerprint }), rsa.publicKey),
      'does not fit the file',
    ],
    ['with SHA-1', () => check(rsa.sign(data, { hash: 2 }), rsa.publicKey), 'does not fit the file'],
    [
      'over a text, whose line ends are loose',
      () => check(rsa.sign(data, { type: 1 }), rsa.publicKey),
      'not one over a file',
    ],
    [
      'that certifies something else',
      () => check(rsa.sign(data, { type: 0x13 }), rsa.publicKey),
      'not one over a file',
    ],
    [
      'with a critical part that is unknown',
      () => check(rsa.sign(data, { unknownCritical: true }), rsa.publicKey),
      'not supported',
    ],
    [
      'from ahead of now',
      () => check(rsa.sign(data, { createdAt: now + 2 * 86_400_000 }), rsa.publicKey),
      'ahead of now',
    ],
    [
      'older than its key',
      () => check(rsa.sign(data, { createdAt: Date.UTC(2023, 0, 1) }), rsa.publicKey),
      'older than the key',
    ],
    ['that has expired', () => check(rsa.sign(data, { expiresAfter: 60 }), rsa.publicKey), 'expired 2025-01-01'],
    ['of nothing but a key', () => check(rsa.publicKey, rsa.publicKey), 'expected a PGP SIGNATURE'],
    [
      'of a page that says 404',
      () => check('<html>not found</html>', rsa.publicKey),
      'there is no "-----BEGIN PGP SIGNATURE-----"',
    ],
    ['that is empty', () => check('', rsa.publicKey), 'there is no'],
    ['that is cut short', () => check(rsa.sign(data).slice(0, 200), rsa.publicKey), 'has no end'],
    ['that is no base64', () => check(rsa.sign(data).replace(/\n\n..../, '\n\n***?'), rsa.publicKey), 'not base64'],
    ['that is enormous', () => check(Buffer.alloc(70_000, 0x88), rsa.publicKey), 'at most 65536 bytes'],
    [
      'hidden in a message',
      () => check(armored('SIGNATURE', packet(8, Buffer.from('x'))), rsa.publicKey),
      'no detached',
    ],
  ])('%s is refused', (_name, act, reason) => {
    expect(act).toThrow(SignatureError)
    expect(act).toThrow(reason)
  })

  test('that was made by accident out of any bytes is refused without a crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 0x80, max: 0xff }), (bytes, first) => {
        const garbage = Buffer.from([first, ...bytes])
        expect(() => check(garbage, rsa.publicKey)).toThrow(SignatureError)
        expect(() => readPublicKey(garbage)).toThrow(SignatureError)
      }),
      { numRuns: 2_000 },
    )
  })

  test('of which any byte was changed holds only where the byte says nothing', () => {
    const bytes = Buffer.from(ed25519.sign(data).split('\n').slice(2, -3).join(''), 'base64')
    let held = 0
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 0x10, 0x80]) {
        const other = Buffer.from(bytes)
        other[at]! ^= bit
        try {
          check(other, ed25519.publicKey)
          held++
        } catch (error) {
          expect(error).toBeInstanceOf(SignatureError)
        }
      }
    }
    // Only who made it (in the part that is not signed, eight bytes and their frame) and the bits that a number's length counts.
    expect(held).toBeLessThanOrEqual(3 * 12)
  })
})

describe('a public key', () => {
  test('tells its fingerprint and the names it vouches for', () => {
    const key = readPublicKey(Buffer.from(rsa.publicKey))
    expect(key).toMatchObject({ fingerprint: rsa.fingerprint, userIds: ['Test <test@example.org>'] })
    expect(spaced(key.fingerprint)).toMatch(/^([0-9A-F]{4} ){9}[0-9A-F]{4}$/)
  })

  test.each([
    ['that is revoked', { revoked: true }, 'is revoked'],
    ['that may only certify', { flags: 0x01 }, 'may not sign'],
    ['that is too short', { algorithm: 'rsa', bits: 1024 }, '1024 bits is not believed'],
  ] as const)('%s is refused', (_name, input, reason) => {
    expect(() => readPublicKey(Buffer.from(makeOpenpgpKey(input).publicKey))).toThrow(reason)
  })

  test.each(['unbound', 'revoked'] as const)('does not let a subkey sign that is %s', (subkey) => {
    const key = makeOpenpgpKey({ subkey })
    expect(check(key.sign(data), key.publicKey).signer).toBe(key.fingerprint)
    expect(() => check(key.signWithSubkey(data), key.publicKey)).toThrow('expected a signature of')
  })

  test('that has expired signs no more', () => {
    const key = makeOpenpgpKey({ createdAt: Date.UTC(2024, 0, 1), expiresAfter: 500 * 86_400 })
    expect(check(key.sign(data), key.publicKey, data, Date.UTC(2025, 1, 1)).fingerprint).toBe(key.fingerprint)
    expect(() => check(key.sign(data), key.publicKey, data, now)).toThrow('expired 2025-05-15')
  })

  test('whose name was not written by its owner is refused', () => {
    const bytes = Buffer.from(rsa.publicKey.split('\n').slice(2, -3).join(''), 'base64')
    const changed = Buffer.from(bytes.toString('latin1').replace('test@example.org', 'evil@example.org'), 'latin1')
    expect(() => readPublicKey(changed)).toThrow('bears no signature of its own')
  })

  test('stands alone in its file', () => {
    const both = [rsa, ed25519].map(({ publicKey }) =>
      Buffer.from(publicKey.split('\n').slice(2, -3).join(''), 'base64'),
    )
    expect(() => readPublicKey(Buffer.concat(both))).toThrow('several keys')
  })
})

const hasGpg = spawnSync('gpg', ['--version']).status === 0

describe.skipIf(!hasGpg)('beside gpg (skipped where it is not installed)', () => {
  let home: string
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), 'gpg-'))
  })
  afterAll(() => {
    spawnSync('gpgconf', ['--homedir', home, '--kill', 'all'])
    rmSync(home, { recursive: true, force: true })
  })

  function gpg(words: readonly string[], input?: Buffer) {
    const all = [
      '--homedir',
      home,
      '--batch',
      '--quiet',
      '--no-tty',
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
      ...words,
    ]
    return spawnSync('gpg', all, { input, maxBuffer: 1 << 24 })
  }

  function file(name: string, content: string | Buffer): string {
    const path = join(home, name)
    writeFileSync(path, content)
    return path
  }

  test.each([
    ['rsa4096', 'default'],
    ['rsa2048', 'sha384'],
    ['ed25519', 'default'],
    ['ed25519', 'sha512'],
  ])(
    'what gpg signs with %s and %s holds',
    (algorithm, digest) => {
      const user = `${algorithm}-${digest}@example.org`
      expect(gpg(['--quick-generate-key', user, algorithm, 'sign', '2y']).status).toBe(0)
      const key = readPublicKey(gpg(['--export', user]).stdout)
      const more = digest === 'default' ? [] : ['--digest-algo', digest]
      const signed = gpg(['--local-user', user, ...more, '--detach-sign', '--armor', '--output', '-'], data)
      const found = verifyDetached(data, signed.stdout, key, Date.now())
      expect(found.fingerprint).toBe(key.fingerprint)
      expect(Math.abs(found.createdAt - Date.now())).toBeLessThan(60_000)
      expect(() => verifyDetached(Buffer.from('other'), signed.stdout, key, Date.now())).toThrow('does not fit')
    },
    60_000,
  )

  test('a subkey that gpg made to sign, signs; a key that gpg revoked does not', () => {
    const user = 'subkey@example.org'
    gpg(['--quick-generate-key', user, 'ed25519', 'cert', 'never'])
    const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(
      gpg(['--with-colons', '--list-keys', user]).stdout.toString(),
    )![1]!
    gpg(['--quick-add-key', fingerprint, 'rsa3072', 'sign', '1y'])
    const signed = gpg(['--local-user', user, '--detach-sign', '--output', '-'], data).stdout
    const found = verifyDetached(data, signed, readPublicKey(gpg(['--export', user]).stdout), Date.now())
    expect(found.fingerprint).toBe(fingerprint)
    expect(found.signer).not.toBe(fingerprint)
    const certificate = join(home, 'openpgp-revocs.d', `${fingerprint}.rev`)
    const revocation = spawnSync('sed', ['s/^:---/---/', certificate]).stdout
    gpg(['--import'], revocation)
    expect(() => readPublicKey(gpg(['--export', user]).stdout)).toThrow('is revoked')
  }, 60_000)

  test('gpg and this reader agree about each signature of a table', () => {
    const keys = { rsa, ed25519, expired: makeOpenpgpKey({ expiresAfter: 86_400 * 400 }) }
    for (const [name, key] of Object.entries(keys)) gpg(['--import', file(`${name}.asc`, key.publicKey)])
    const signed = file('data', data)
    const table: readonly (readonly [string, keyof typeof keys, string])[] = [
      ['good RSA', 'rsa', rsa.sign(data)],
      ['good Ed25519', 'ed25519', ed25519.sign(data)],
      ['good, SHA-512', 'rsa', rsa.sign(data, { hash: 10 })],
      ['by a subkey', 'ed25519', ed25519.signWithSubkey(data)],
      ['over other data', 'rsa', rsa.sign(Buffer.from('other'))],
      ['with an unknown critical part', 'rsa', rsa.sign(data, { unknownCritical: true })],
      ['expired', 'rsa', rsa.sign(data, { expiresAfter: 60 })],
      ['older than the key', 'rsa', rsa.sign(data, { createdAt: Date.UTC(2023, 0, 1) })],
      ['by an expired key', 'expired', keys.expired.sign(data)],
      ['in the name of another', 'rsa', ed25519.sign(data, { issuer: rsa.fingerprint })],
    ]
    for (const [name, key, signature] of table) {
      const judged = gpg(['--status-fd', '1', '--verify', file('sig.asc', signature), signed])
      const status = judged.stdout.toString()
      const accepted = /^\[GNUPG:\] GOODSIG/m.test(status) && judged.status === 0
      let ours = true
      try {
        verifyDetached(data, Buffer.from(signature), readPublicKey(Buffer.from(keys[key].publicKey)), Date.now())
      } catch {
        ours = false
      }
      expect([name, ours]).toEqual([name, accepted])
    }
  }, 60_000)
})
