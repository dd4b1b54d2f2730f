import type { Exchange } from '../../gate/exchange.ts'
import type { Denial } from '../../gate/verdict.ts'

/** One of the things that must let a request for an operation through. */
export interface Right {
  /** As the operator wrote it: `authorize.acl[0]`. For the decision log. */
  readonly names: readonly string[]
  /** Waits for nobody. `unknown` is what to say where it takes a caller to decide and there is none. */
  readonly judge: (exchange: Exchange, unknown: Denial) => Denial | undefined
  /** Can only be asked once the request's body was read. */
  readonly readsBody?: boolean
  /** Its refusals are noted only. */
  readonly observed?: boolean
  /** In place of `names`, where only the judgement tells: what let the last request pass. To be asked right after it. */
  readonly because?: () => readonly string[]
}
