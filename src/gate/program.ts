import type { Operation } from '../openapi/operation.ts'
import type { RuleMatch } from '../traffic/passage.ts'
import type { Exchange } from './exchange.ts'
import type { ResponsePart, Step } from './guard.ts'
import type { HeaderRules } from './headers.ts'
import type { Peer } from './peer.ts'
import type { Stray } from './stray.ts'
import { type Denial, denial, type Verdict } from './verdict.ts'

/** All that will happen to a request for one operation: one flat array of steps per phase, and what is known at load. */
export interface Program {
  readonly operation: Operation
  readonly requestHead: readonly Step[]
  readonly requestBody: readonly Step[]
  /** Whether a request's body must be read; `undefined` where it always must, or where no step asks for it. */
  readonly readsRequestBody: ((exchange: Exchange) => boolean) | undefined
  readonly responseHead: readonly Step[]
  readonly responseBody: readonly Step[]
  readonly responsePart: readonly PartStep[]
  readonly stray: readonly ((stray: Stray) => readonly RuleMatch[])[]
  readonly end: readonly ((exchange: Exchange) => void)[]
  /** Which of the caller's headers reach the upstream. */
  readonly requestHeaders: HeaderRules
  /** Which of the upstream's headers reach the caller. */
  readonly responseHeaders: HeaderRules
  /** Name, value, name, value …: on every reply. */
  readonly replyHeaders: readonly string[]
  /** The same, and those that belong on encrypted connections only. */
  readonly replyHeadersEncrypted: readonly string[]
  /** Name, value, name, value …: on every request to the upstream. */
  readonly upstreamHeaders: readonly string[]
  readonly requestBytesMax: number
  readonly responseBytesMax: number
  /** Whether a step of phase `responseBody` refuses, so that an answer too large to be held must not pass. */
  readonly responseMustBeHeld: boolean
  /** Whether the document announces server-sent events, which have no idle timeout. */
  readonly streams: boolean
  /** For `explain`: the guards of each phase in running order. */
  readonly listing: readonly { readonly guard: string; readonly phase: string; readonly mode: string }[]
}

/** A look at the beginning of an answer, as it runs. */
export interface PartStep extends ResponsePart {
  /** Whether it may refuse, so that the answer must wait for it. */
  readonly enforced: boolean
}

/** The headers that stand on every reply over this connection. */
export function replyHeadersFor(program: Program, peer: Peer): readonly string[] {
  return peer.encrypted ? program.replyHeadersEncrypted : program.replyHeaders
}

const guardFailed = denial(503, 'gate.guard-failed', 'The request could not be checked. Try again later.')

/** A guard that throws has not said yes. */
export function failed(error: unknown): Denial {
  return { ...guardFailed, evidence: error instanceof Error ? { name: error.name, message: error.message } : undefined }
}

/** Runs the steps of one phase until one of them refuses or answers. Makes no promise unless a step does. */
export function runPhase(steps: readonly Step[], exchange: Exchange, from = 0): Verdict | Promise<Verdict> {
  let i = from
  try {
    while (i < steps.length) {
      const verdict = steps[i++]!(exchange)
      if (verdict === undefined) continue
      return verdict instanceof Promise ? resumePhase(steps, exchange, i, verdict) : verdict
    }
    return undefined
  } catch (error) {
    return failed(error)
  }
}

async function resumePhase(
  steps: readonly Step[],
  exchange: Exchange,
  next: number,
  pending: Promise<Verdict>,
): Promise<Verdict> {
  try {
    const verdict = await pending
    return verdict ?? (await runPhase(steps, exchange, next))
  } catch (error) {
    return failed(error)
  }
}
