import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import { clientNetwork } from '../../base/ip.ts'
import { Lru } from '../../base/lru.ts'
import type { Exchange } from '../../gate/exchange.ts'
import { readAuthority, readOriginForm, splitAbsoluteForm } from '../../gate/target.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import { type Counters, CountersUnavailable, type Rate, type Taken } from '../../store/counters.ts'
import type { MemoryCounters } from '../../store/counters-memory.ts'
import { because, dpopAlgorithms, dpopChallenge, unauthorized } from './challenge.ts'
import { type Jws, keyFits, parseJws, verifyJws } from './jws.ts'
import type { ProofNonces } from './proof-nonces.ts'

/** What one issuer asks of the proofs that come with its tokens. */
export interface DpopRules {
  /** How old a proof may be, and how far its clock may be ahead, in milliseconds. */
  readonly maxAgeMs: number
  readonly toleranceMs: number
  readonly nonces: ProofNonces | undefined
  /** Proofs of one network whose signatures are checked by this process. */
  readonly proofs: Rate
}

/** A token that is bound to a key (RFC 9449, 6). */
export interface BoundToken {
  /** RFC 7638 thumbprint of the key. */
  readonly thumbprint: string
  /** SHA-256 of the token, as proofs name it. */
  readonly hash: string
}

/** Judges the header DPoP (RFC 9449, 4.3). */
export interface DpopJudge {
  /** `undefined`: the caller holds the key. Bare unless the counters must be waited for. */
  readonly refuse: (
    exchange: Exchange,
    token: BoundToken,
    rules: DpopRules,
  ) => Denial | undefined | Promise<Denial | undefined>
}

export interface DpopOptions {
  readonly realm: string
  readonly counters: Counters
  /** Counts this process's work, which is nobody else's. */
  readonly work: MemoryCounters
  /** Where callers see this gate, where that is not what the request says. */
  readonly publicUrl: string | undefined
}

const algorithms: ReadonlySet<string> = new Set(dpopAlgorithms)
const proofCharsMax = 4_096
const jtiCharsMax = 256
/** Keys that have proved themselves: one caller sends the same head with each proof. At most 2 KB each. */
const keysMax = 5_000

export function createDpopJudge({ realm, counters, work, publicUrl }: DpopOptions): DpopJudge {
  const keys = new Lru<string, ProofKey>({ entriesMax: keysMax })
  const invalid = unauthorized(
    'auth.dpop-proof',
    'The DPoP proof does not show that the caller holds the key of the token.',
    dpopChallenge(realm, {
      error: 'invalid_dpop_proof',
      error_description: 'The DPoP proof does not show that the caller holds the key of the token',
    }),
  )
  const replayed = unauthorized(
    'auth.dpop-replayed',
    'This DPoP proof was used before. Make a new one for every request.',
    dpopChallenge(realm, { error: 'invalid_dpop_proof', error_description: 'This DPoP proof was used before' }),
  )
  const busy = denial(429, 'auth.dpop-busy', 'Too many DPoP proofs came from this network. Try again later.', {
    headers: { 'Retry-After': '1' },
  })
  const unavailable = denial(503, 'auth.dpop-unavailable', 'The DPoP proof cannot be checked right now. Try again.', {
    headers: { 'Retry-After': '1' },
  })
  const needsNonce = dpopChallenge(realm, {
    error: 'use_dpop_nonce',
    error_description: 'The DPoP proof must hold the nonce of the header DPoP-Nonce',
  })
  const wrong = (reason: string): Denial => because(invalid, { reason })
  const unfit = {
    missing: wrong('missing'),
    malformed: wrong('malformed'),
    algorithm: wrong('algorithm'),
    key: wrong('key'),
    otherKey: wrong('other-key'),
    method: wrong('htm'),
    url: wrong('htu'),
    token: wrong('ath'),
    time: wrong('iat'),
    id: wrong('jti'),
    signature: wrong('signature'),
  }

  function askForNonce(nonces: ProofNonces): Denial {
    return denial(401, 'auth.dpop-nonce', 'The DPoP proof must hold the nonce of the header DPoP-Nonce.', {
      headers: { 'WWW-Authenticate': needsNonce, 'DPoP-Nonce': nonces.current() },
    })
  }

  /** Everything that costs no signature. */
  function refuseClaims(exchange: Exchange, { claims }: Jws, token: BoundToken, rules: DpopRules): Denial | undefined {
    const { htm, htu, ath, iat, jti, nonce } = claims
    if (htm !== exchange.method) return unfit.method
    if (typeof htu !== 'string' || !isSameUrl(htu, exchange, publicUrl)) return unfit.url
    if (ath !== token.hash) return unfit.token
    if (typeof jti !== 'string' || jti === '' || jti.length > jtiCharsMax) return unfit.id
    if (typeof iat !== 'number') return unfit.time
    const age = exchange.receivedAt - iat * 1000
    if (age > rules.maxAgeMs + rules.toleranceMs || age < -rules.toleranceMs) return unfit.time
    if (rules.nonces === undefined) return undefined
    const known = rules.nonces.judge(nonce)
    if (known === 'unknown') return askForNonce(rules.nonces)
    // RFC 9449, 8.2: a new one comes with an answer that is good, before the old one stops counting.
    if (known === 'old') exchange.setReplyHeader('DPoP-Nonce', rules.nonces.current())
    return undefined
  }

  function unused(taken: Taken): Denial | undefined {
    return taken.allowed ? undefined : replayed
  }

  return {
    refuse(exchange, token, rules) {
      const proof = exchange.headers.dpop
      if (typeof proof !== 'string') return unfit.missing
      if (proof.length > proofCharsMax) return unfit.malformed
      const jws = parseJws(proof)
      if (typeof jws === 'string') return unfit.malformed
      if (!algorithms.has(jws.algorithm)) return unfit.algorithm
      const head = proof.slice(0, proof.indexOf('.'))
      const known = keys.get(head)
      const key = known ?? readProofKey(jws)
      if (key === undefined) return unfit.key
      // What is bound to another key is refused before a signature is worth its time.
      if (key.thumbprint !== token.thumbprint) return unfit.otherKey
      const refusal = refuseClaims(exchange, jws, token, rules)
      if (refusal !== undefined) return refusal
      if (!work.take(`dpop ${clientNetwork(exchange.address)}`, rules.proofs).allowed) return busy
      if (!verifyJws(jws, key.key)) return unfit.signature
      if (known === undefined) keys.set(head, key)
      // Once only, by whichever process (RFC 9449, 11.1): a budget of one, full again when the proof is too old anyway.
      const id = hash('sha256', `${key.thumbprint}\0${jws.claims.jti as string}`, 'base64url')
      const windowMs = rules.maxAgeMs + 2 * rules.toleranceMs + 1_000
      try {
        const taken = counters.take(`dpop ${id}`, { count: 1, windowMs, burst: 1 })
        return taken instanceof Promise ? taken.then(unused, notCounted) : unused(taken)
      } catch (error) {
        return notCounted(error)
      }
    },
  }

  /** Whether it is new cannot be known, so it does not count (fail closed). */
  function notCounted(error: unknown): Denial {
    if (error instanceof CountersUnavailable) return unavailable
    throw error
  }
}

interface ProofKey {
  readonly key: KeyObject
  readonly thumbprint: string
}

/** Checking against a key of 16,384 bits, or a large exponent, takes milliseconds: the caller chooses both. */
const rsaBits = { min: 2_048, max: 4_096 }
const exponentMax = 2n ** 32n

/** The key that a proof brings along, if it is a public one that fits its algorithm. */
function readProofKey({ header, algorithm }: Jws): ProofKey | undefined {
  const { typ, jwk } = header
  if (typ !== 'dpop+jwt' || typeof jwk !== 'object' || jwk === null) return undefined
  const { kty, crv, x, y, n, e, ...rest } = jwk as Record<string, unknown>
  // RFC 9449, 4.2: never a private key; whoever sends one has given it away. Symmetric ones prove nothing.
  if (['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].some((name) => Object.hasOwn(rest, name))) return undefined
  // In the order that RFC 7638, 3.3 hashes them in.
  const members = kty === 'EC' ? { crv, kty, x, y } : kty === 'OKP' ? { crv, kty, x } : { e, kty, n }
  if (kty !== 'EC' && kty !== 'OKP' && kty !== 'RSA') return undefined
  if (!Object.values(members).every((member) => typeof member === 'string')) return undefined
  try {
    const key = createPublicKey({ key: members as Record<string, string>, format: 'jwk' })
    if (!keyFits(algorithm, key) || (kty === 'RSA' && !isBoundedRsa(key))) return undefined
    return { key, thumbprint: hash('sha256', JSON.stringify(members), 'base64url') }
  } catch {
    return undefined
  }
}

function isBoundedRsa({ asymmetricKeyDetails: details }: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n } = details ?? {}
  return (
    modulusLength >= rsaBits.min &&
    modulusLength <= rsaBits.max &&
    publicExponent >= 3n &&
    publicExponent <= exponentMax &&
    publicExponent % 2n === 1n
  )
}

/** Whether a proof's `htu` is the URL of the request, without query and fragment, both normalised (RFC 9449, 4.3; RFC 3986, 6.2). */
function isSameUrl(htu: string, { target, peer }: Exchange, publicUrl: string | undefined): boolean {
  const base = publicUrl ?? `${peer.encrypted ? 'https' : 'http'}://${target.authority}`
  // Nearly every client sends it in this very form.
  if (htu === base + target.path) return true
  const given = normalUrl(htu)
  return given !== undefined && given === normalUrl(base + target.path)
}

/** One spelling for each URL; `undefined` for what is none that a request could have. */
function normalUrl(url: string): string | undefined {
  const parts = splitAbsoluteForm(url)
  if (parts === undefined) return undefined
  const authority = readAuthority(parts.authority)
  const target = readOriginForm(parts.rest.replace(/[?#].*$/s, ''))
  if (authority === undefined || 'kind' in target) return undefined
  return `${parts.scheme}://${authority.replace(parts.scheme === 'https' ? /:443$/ : /:80$/, '')}${target.path}`
}
