import { createHmac } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { constantTimeEqual } from '../../credentials/secret.ts'

/** Nonces that callers put into their DPoP proofs (RFC 9449, 8): nothing is kept, every gate with the same secret agrees. */
export interface ProofNonces {
  /** The one to hand out now. */
  readonly current: () => string
  /** What a proof holds: the present one, one that is about to end, or none of ours. */
  readonly judge: (nonce: unknown) => 'current' | 'old' | 'unknown'
}

/** How long a nonce is handed out; it counts for as long again. */
const slotMs = 300_000

/** Hands out nonces of the first secret and accepts those of any. `secrets` gives the same list until they change. */
export function createProofNonces(secrets: () => readonly Uint8Array[], now: Clock): ProofNonces {
  let made:
    | {
        readonly slot: number
        readonly from: readonly Uint8Array[]
        readonly current: string
        readonly others: readonly string[]
      }
    | undefined

  function noncesNow() {
    const slot = Math.floor(now() / slotMs)
    const from = secrets()
    if (made?.slot === slot && made.from === from) return made
    const [current, ...rest] = from.map((secret) => nonceOf(secret, slot))
    // The next one as well: another gate's clock may be a little ahead.
    const around = from.flatMap((secret) => [nonceOf(secret, slot - 1), nonceOf(secret, slot + 1)])
    made = { slot, from, current: current!, others: [...rest, ...around] }
    return made
  }

  return {
    current: () => noncesNow().current,
    judge(nonce) {
      if (typeof nonce !== 'string') return 'unknown'
      const { current, others } = noncesNow()
      if (constantTimeEqual(nonce, current)) return 'current'
      return others.some((other) => constantTimeEqual(nonce, other)) ? 'old' : 'unknown'
    },
  }
}

function nonceOf(secret: Uint8Array, slot: number): string {
  const start = Buffer.alloc(8)
  start.writeBigInt64BE(BigInt(slot))
  const whole = createHmac('sha256', secret).update('dpop-nonce').update(start).digest()
  return whole.subarray(0, 18).toString('base64url')
}
