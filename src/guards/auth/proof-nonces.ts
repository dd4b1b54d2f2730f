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

export function createProofNonces(secret: Uint8Array, now: Clock): ProofNonces {
  const made = new Map<number, string>()

  function nonceOf(slot: number): string {
    let nonce = made.get(slot)
    if (nonce === undefined) {
      const start = Buffer.alloc(8)
      start.writeBigInt64BE(BigInt(slot))
      nonce = createHmac('sha256', secret)
        .update('dpop-nonce')
        .update(start)
        .digest()
        .subarray(0, 18)
        .toString('base64url')
      if (made.size >= 8) made.clear()
      made.set(slot, nonce)
    }
    return nonce
  }

  const slotNow = () => Math.floor(now() / slotMs)
  return {
    current: () => nonceOf(slotNow()),
    judge(nonce) {
      if (typeof nonce !== 'string') return 'unknown'
      const slot = slotNow()
      if (constantTimeEqual(nonce, nonceOf(slot))) return 'current'
      // The next one as well: another gate's clock may be a little ahead.
      return constantTimeEqual(nonce, nonceOf(slot - 1)) || constantTimeEqual(nonce, nonceOf(slot + 1))
        ? 'old'
        : 'unknown'
    },
  }
}
