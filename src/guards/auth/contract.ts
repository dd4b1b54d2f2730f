import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import type { Denial } from '../../gate/verdict.ts'

/** What a method says: nothing of its kind was sent, who calls, or why what was sent is not believed. */
export type Judged = Principal | Denial | undefined

/** Looks for credentials in one place of a request and judges them. Bare when it need not wait. */
export interface Reader {
  /** Where it looks: `authorization`, `header x-api-key`, `cookie __Host-session`, `tls`. */
  readonly place: string
  readonly read: (exchange: Exchange) => Judged | Promise<Judged>
}

/** One credential that was sent and is good. */
export interface Proof {
  readonly principal: Principal
  readonly place: string
}
