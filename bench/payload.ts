/*
 * What encrypted bodies and message signatures cost: JWE of 1 KB and 10 KB, opened and sealed, a signature verified.
 * `node bench/payload.ts`. Not part of `npm run bench`, which measures the whole gate.
 */
import { generateKeyPairSync, hash, sign } from 'node:crypto'
import { CompactEncrypt, importJWK } from 'jose'
import { createGateKeys } from '../src/guards/payload/gate-keys.ts'
import { openJwe, sealJwe } from '../src/guards/payload/jwe.ts'
import { digestHolds, verifySignature } from '../src/guards/payload/signature.ts'
import { makeExchange } from '../test/kit/guard.ts'

/** The least of five rounds, in microseconds per call. */
async function measure(name: string, calls: number, work: () => unknown): Promise<void> {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const since = performance.now()
    for (let i = 0; i < calls; i++) await work()
    least = Math.min(least, ((performance.now() - since) * 1000) / calls)
  }
  console.log(`${name.padEnd(58)} ${least.toFixed(1).padStart(8)} µs`)
}

const secret = new Uint8Array(48).fill(7)
const keys = await createGateKeys(
  async () => ({ secrets: async () => [secret] }) as never,
  () => 0,
)
const [jwk] = await keys.published()
const client = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
for (const kilobytes of [1, 10]) {
  const plain = Buffer.alloc(kilobytes * 1024, 'x')
  const sealed = await new CompactEncrypt(plain)
    .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: jwk!.kid })
    .encrypt(await importJWK(jwk as never))
  await measure(`JWE of ${kilobytes} KB opened, ECDH-ES+A256KW`, 500, () => openJwe(sealed, keys))
  for (const [name, alg, key] of [
    ['ECDH-ES+A256KW', 'ECDH-ES+A256KW', client],
    ['RSA-OAEP-256, 2048 bits', 'RSA-OAEP-256', rsa],
  ] as const) {
    await measure(`JWE of ${kilobytes} KB sealed, ${name}`, 500, () => sealJwe(plain, { kid: 'k', alg, key }, 'json'))
  }
}

const body = Buffer.alloc(1024, 'x')
const digest = `sha-256=:${hash('sha256', body, 'base64')}:`
const pair = generateKeyPairSync('ed25519')
const input = '("@method" "@target-uri" "content-digest");created=1;keyid="k";nonce="1"'
const base = `"@method": POST\n"@target-uri": http://api.example/orders\n"content-digest": ${digest}\n"@signature-params": ${input}`
const signature = sign(null, Buffer.from(base), pair.privateKey).toString('base64')
const rawHeaders = ['Content-Digest', digest, 'Signature-Input', `s=${input}`, 'Signature', `s=:${signature}:`]
const rules = { components: ['@method', '@target-uri', 'content-digest'], maxAgeMs: 300_000 }
const ours = [{ kid: 'k', alg: 'ed25519' as const, key: pair.publicKey }]
const exchange = makeExchange({
  method: 'POST',
  rawTarget: '/orders',
  rawHeaders,
  headers: { 'content-digest': digest },
})
await measure('signature by Ed25519 verified', 2_000, () => verifySignature(exchange, ours, rules, 1_000))
await measure('digest of 1 KB checked', 20_000, () => digestHolds(digest, body))
