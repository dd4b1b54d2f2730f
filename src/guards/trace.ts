import { randomFillSync } from 'node:crypto'
import { object, z } from '../config/language.ts'
import type { Guard } from '../gate/guard.ts'

const options = object({
  mode: z.enum(['off', 'enforce']).default('enforce').describe('Whether requests carry a trace context upstream.'),
  accept: z
    .enum(['always', 'trustedOnly', 'never'])
    .default('trustedOnly')
    .describe(
      'Whose `traceparent` is continued: anybody’s, only that of a peer in `trustedProxies`, or nobody’s. Others get a new trace.',
    ),
  // OpenTelemetry samples every root trace unless told otherwise; a gate that says "no" switches its upstreams off.
  sample: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('Share of the new traces that are marked as sampled, which upstreams then follow.'),
}).prefault({})

type TraceOptions = z.output<typeof options>

/** Puts every exchange into a trace (W3C Trace Context): the caller's where it may say so, else a new one. */
export const trace: Guard<TraceOptions> = {
  name: 'trace',
  stage: 'admit',
  options,
  mode: (settings) => settings.mode,
  setup({ mode, accept, sample }) {
    return () => {
      if (mode === 'off') return undefined
      return {
        requestHead(exchange) {
          const sent = exchange.headers.traceparent
          const known =
            typeof sent === 'string' && (accept === 'always' || (accept === 'trustedOnly' && exchange.peer.trusted))
              ? readTraceParent(sent)
              : undefined
          if (known !== undefined) {
            exchange.traceId = known.traceId
            exchange.setUpstreamHeader('traceparent', `00-${known.traceId}-${randomHex(16)}${known.flags}`)
            return undefined
          }
          const traceId = randomHex(32)
          exchange.traceId = traceId
          const sampled = sample === 1 || (sample > 0 && Math.random() < sample)
          exchange.setUpstreamHeader('traceparent', `00-${traceId}-${randomHex(16)}-${sampled ? '01' : '00'}`)
          // Without the caller's trace its tracestate means nothing (Trace Context, 3.3.1.1).
          if (exchange.headers.tracestate !== undefined) exchange.withholdHeader('tracestate')
          return undefined
        },
      }
    }
  },
}

/**
 * Version, trace-id, parent-id, flags: lower-case hex only, and neither id all zero. Version `ff` is forbidden;
 * version 00 has nothing after the flags, later ones may (Trace Context, 3.2.2, 4.3).
 */
const wellFormed = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}/

/** The trace a `traceparent` names, and its flags as `-01`; `undefined` when it must be ignored. */
export function readTraceParent(value: string): { readonly traceId: string; readonly flags: string } | undefined {
  if (!wellFormed.test(value)) return undefined
  if (value.length > 55 && (value.startsWith('00') || value.charCodeAt(55) !== dash)) return undefined
  const tail = value.slice(52, 55)
  // Flags: sampled, and random since level 2; a sender must set the others to zero (3.2.2.3).
  const flags = tail === '-01' || tail === '-00' ? tail : `-0${Number.parseInt(tail.slice(1), 16) & 3}`
  return { traceId: value.slice(3, 35), flags }
}

const dash = 45
const noTrace = '0'.repeat(32)
const noParent = '0'.repeat(16)

const pool = Buffer.allocUnsafeSlow(4_096)
let hex = ''
let used = 0

/**
 * Random hex digits, `length` of them and never all zero. A pool is filled and printed at once: asking the system
 * for every id costs ten times as much.
 */
function randomHex(length: 16 | 32): string {
  if (used + length > hex.length) {
    randomFillSync(pool)
    hex = pool.toString('hex')
    used = 0
  }
  const digits = hex.slice(used, used + length)
  used += length
  return digits === noTrace || digits === noParent ? randomHex(length) : digits
}
