import { monitorEventLoopDelay } from 'node:perf_hooks'
import { clientNetwork } from '../base/ip.ts'
import { duration, mode, object, z } from '../config/language.ts'
import type { Exchange, Slot } from '../gate/exchange.ts'
import type { Guard, Host, Mode } from '../gate/guard.ts'
import { type Denial, denial } from '../gate/verdict.ts'

const retrySoon = { headers: { 'Retry-After': '1' } }
const callerFull = denial(
  429,
  'concurrency.caller',
  'Too many requests of this caller are under way. Wait for some of them to end.',
  retrySoon,
)
const totalFull = denial(503, 'concurrency.total', 'Too many requests are under way. Try again later.', retrySoon)
const operationFull = denial(
  503,
  'concurrency.operation',
  'Too many requests for this operation are under way. Try again later.',
  retrySoon,
)
const overloaded = denial(503, 'concurrency.overload', 'The gate is overloaded. Try again later.', {
  headers: { 'Retry-After': '2' },
})

const places = (description: string) => z.number().int().min(1).max(1_000_000).describe(description)

interface Options {
  readonly mode: Mode
  readonly total?: number | undefined
  readonly perCaller?: number | undefined
  readonly perOperation?: number | undefined
  readonly share: number
  readonly overload: { readonly mode: Mode; readonly delay: number }
}

/** So many of one caller may be under way at once where nothing else is said: half of an upstream's connections. */
const perCallerDefault = 128

/**
 * Bounds the requests under way, so that one greedy caller cannot take every place (L6), and turns some away while
 * this process falls behind (L8). Counts in each process by itself.
 */
export const concurrency: Guard<Options> = {
  name: 'concurrency',
  stage: 'limit',
  options: object({
    mode: mode('How the rule stands.').default('enforce'),
    total: places('Requests under way at once, of all callers, in each process. Default: unbounded here.').optional(),
    perCaller: places(
      'Requests under way at once of one caller: a principal, or an address without one. Default: 128, or the `share` of `total`.',
    ).optional(),
    perOperation: places('Requests under way at once for one operation, of all callers.').optional(),
    share: z
      .number()
      .gt(0)
      .max(1)
      .default(0.5)
      .describe('The part of `total` that one caller may take, so that places are left for others.'),
    overload: object({
      mode: mode('How shedding stands.').default('enforce'),
      delay: duration(
        'How late the event loop may run, on average, before requests are turned away, more of them as long as it lasts.',
      ).default(200),
    }).prefault({}),
  }).prefault({}),
  setup(options, host) {
    const { total = Infinity, perOperation = Infinity } = options
    const shared = Number.isFinite(total) ? Math.max(1, Math.floor(total * options.share)) : perCallerDefault
    const perCaller = Math.min(total, options.perCaller ?? shared)
    const shedder = options.overload.mode === 'off' ? undefined : watchLoop(options.overload.delay, host)
    const shedding = options.overload.mode === 'enforce'
    const all = { underWay: 0 }
    const byCaller = new Callers()
    const slot: Slot<Caller> = host.slot()

    return () => {
      const here = { underWay: 0 }
      return {
        requestHead(exchange): Denial | undefined {
          if (shedder?.sheds()) {
            if (shedding) return overloaded
            exchange.observe(overloaded)
          }
          if (all.underWay >= total) return totalFull
          if (here.underWay >= perOperation) return operationFull
          const caller = callerOf(exchange)
          if (!byCaller.enter(caller, perCaller)) return callerFull
          all.underWay++
          here.underWay++
          exchange.set(slot, caller)
          return undefined
        },
        end(exchange) {
          const caller = exchange.get(slot)
          // Refused before or by this guard: it never had a place.
          if (caller === undefined) return
          all.underWay--
          here.underWay--
          byCaller.leave(caller)
        },
      }
    }
  },
}

/** Whose place it is: a principal is one already, so that for those who are known nothing is made. */
interface Caller {
  readonly via: string
  readonly subject: string
}

function callerOf({ principal, address }: Exchange): Caller {
  return principal ?? { via: '', subject: clientNetwork(address) }
}

/**
 * Requests under way by caller. Entries go with the last request, so there are never more than requests. Two levels, by
 * strings that are there anyway: no key is made.
 */
class Callers {
  readonly #byVia = new Map<string, Map<string, number>>()

  /** Takes a place unless the caller has `max` already. */
  enter({ via, subject }: Caller, max: number): boolean {
    let bySubject = this.#byVia.get(via)
    if (bySubject === undefined) {
      bySubject = new Map()
      this.#byVia.set(via, bySubject)
    }
    const underWay = bySubject.get(subject) ?? 0
    if (underWay >= max) return false
    bySubject.set(subject, underWay + 1)
    return true
  }

  /** Gives back the place that `enter` took. */
  leave({ via, subject }: Caller): void {
    const bySubject = this.#byVia.get(via)
    const underWay = bySubject?.get(subject)
    if (bySubject === undefined || underWay === undefined) return
    if (underWay > 1) bySubject.set(subject, underWay - 1)
    else bySubject.delete(subject)
  }
}

const sampleMs = 500
const resolutionMs = 20

/** Samples how late the event loop runs, as long as this load lives. */
function watchLoop(delayMaxMs: number, host: Host): Shedder {
  const shedder = new Shedder(delayMaxMs)
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  histogram.enable()
  const timer = setInterval(() => {
    // The time between two ticks that are `resolution` apart; without a tick it is not a number.
    const lateMs = histogram.mean / 1e6 - resolutionMs
    histogram.reset()
    shedder.sample(Math.max(0, lateMs))
  }, sampleMs).unref()
  host.onClose(() => {
    clearInterval(timer)
    histogram.disable()
  })
  return shedder
}

/**
 * Decides which requests are turned away: a growing part while the delay is over its bound, a shrinking one when it is
 * not. All at once, and the next sample would find an idle process and let everything in again.
 */
export class Shedder {
  readonly #delayMaxMs: number
  #part = 0
  #debt = 0

  constructor(delayMaxMs: number) {
    this.#delayMaxMs = delayMaxMs
  }

  /** Takes note of how late the loop ran in the last window. */
  sample(delayMs: number): void {
    this.#part = delayMs > this.#delayMaxMs ? Math.min(0.9, this.#part + 0.15) : Math.max(0, this.#part - 0.1)
    if (this.#part === 0) this.#debt = 0
  }

  /** Whether the next request is one to turn away. Evenly spread, by count and not by chance. */
  sheds(): boolean {
    if (this.#part === 0) return false
    this.#debt += this.#part
    if (this.#debt < 1) return false
    this.#debt -= 1
    return true
  }
}
