import type { Operation } from '../openapi/operation.ts'
import { isObject } from '../openapi/pointer.ts'
import { mergeMaps } from '../openapi/policy.ts'
import type { Exchange } from './exchange.ts'
import { type Compile, type Guard, type Host, type Mode, type Step, type Steps, stages } from './guard.ts'
import { requestHeaderRules, responseHeaderRules } from './headers.ts'
import { failed, type PartStep, type Program } from './program.ts'
import type { Verdict } from './verdict.ts'

/** What a guard's author and the operator wrote, before it is put together. */
export interface CompileInput {
  readonly guards: readonly Guard[]
  /** The options under a guard's name for the API, unread; `undefined` where the configuration is silent. */
  readonly optionsOf: (guard: string) => unknown
  /** The root keys a guard asks for, read by its `root` shape. */
  readonly rootOf: (guard: Guard) => unknown
  readonly hostOf: (guard: Guard) => Host
}

interface Part {
  readonly guard: string
  readonly compile: Compile
  readonly request: Mode
  readonly response: Mode
}

/**
 * Sets up guards and returns a function that compiles a program for one operation. Each guard is set up once per
 * distinct options: the API's, and those that `x-portcullis` changes at some operation. `operations` are all those, the
 * unlisted ones too, whose options there may be.
 */
export async function createCompiler(
  input: CompileInput,
  operations: readonly Operation[],
): Promise<(operation: Operation) => Program> {
  const ordered = stages.flatMap((stage) => input.guards.filter((guard) => guard.stage === stage))
  const parts = new Map<string, Part | undefined>()
  for (const guard of ordered) {
    for (const policy of [{}, ...operations.map((operation) => operation.policy)]) {
      const { key, raw } = optionsFor(guard, policy, input)
      if (parts.has(key)) continue
      const options = guard.options.parse(raw)
      const { request, response } = modesOf(guard, options)
      const idle = request === 'off' && response === 'off'
      const compile = idle ? undefined : await guard.setup(options, input.hostOf(guard), input.rootOf(guard))
      parts.set(key, compile === undefined ? undefined : { guard: guard.name, compile, request, response })
    }
  }
  return (operation) => {
    const chosen: { readonly part: Part; readonly steps: Steps }[] = []
    for (const guard of ordered) {
      const { key } = optionsFor(guard, operation.policy, input)
      // To leave a guard out because nobody announced its options would open a door in silence.
      if (!parts.has(key)) throw new Error(`${guard.name} was not set up with the options of ${operation.id}`)
      const part = parts.get(key)
      const steps = part?.compile(operation)
      if (part !== undefined && steps !== undefined) chosen.push({ part, steps })
    }
    return assemble(operation, chosen)
  }
}

function optionsFor(guard: Guard, policy: Readonly<Record<string, unknown>>, input: CompileInput) {
  const base = input.optionsOf(guard.name)
  const refined = policy[guard.name]
  const raw = refined === undefined ? base : mergeOptions(base, refined)
  return { raw, key: `${guard.name}\0${refined === undefined ? '' : JSON.stringify(raw)}` }
}

/** What an operation refines over what its API says: maps are merged key by key, anything else is replaced. */
export function mergeOptions(base: unknown, refined: unknown): unknown {
  return isObject(base) && isObject(refined) ? mergeMaps(base, refined) : refined
}

function modesOf(guard: Guard, options: unknown): { readonly request: Mode; readonly response: Mode } {
  const said = guard.mode?.(options) ?? (options as { mode?: Mode } | undefined)?.mode ?? 'enforce'
  return typeof said === 'string' ? { request: said, response: said } : said
}

/** The body that is read when no guard says less: enough for documents, too little to hurt. */
const requestBytesDefault = 10 * 1024 * 1024
const responseBytesDefault = 10 * 1024 * 1024

type Phase = 'requestHead' | 'requestBody' | 'responseHead' | 'responseBody'
/** What is wrapped last is opened first: a guard that stands earlier in the list is nearer to the caller. */
type Rewriting = 'openRequest' | 'sealRequest' | 'openResponse' | 'sealResponse'

function assemble(operation: Operation, chosen: readonly { readonly part: Part; readonly steps: Steps }[]): Program {
  const listing: { guard: string; phase: string; mode: string }[] = []
  const collect = (phase: Phase | Rewriting, order: readonly (typeof chosen)[number][] = chosen): Step[] => {
    const steps: Step[] = []
    for (const { part, steps: own } of order) {
      const step = own[phase]
      const mode = /request/i.test(phase) ? part.request : part.response
      if (step === undefined || mode === 'off') continue
      listing.push({ guard: part.guard, phase, mode })
      steps.push(mode === 'observe' ? observing(step) : step)
    }
    return steps
  }
  const responsePart: PartStep[] = []
  for (const { part, steps } of chosen) {
    if (steps.responsePart === undefined || part.response === 'off') continue
    const { step, ...rest } = steps.responsePart
    const enforced = part.response === 'enforce'
    listing.push({ guard: part.guard, phase: 'responseBody', mode: part.response })
    responsePart.push({ ...rest, enforced, step: enforced ? step : observing(step) })
  }
  const replyHeaders: string[] = []
  const encryptedOnly: string[] = []
  const upstreamHeaders: string[] = []
  for (const { steps } of chosen) {
    for (const [name, value] of Object.entries(steps.replyHeaders ?? {})) replyHeaders.push(name, value)
    for (const [name, value] of Object.entries(steps.replyHeadersEncrypted ?? {})) encryptedOnly.push(name, value)
    for (const [name, value] of Object.entries(steps.upstreamHeaders ?? {})) upstreamHeaders.push(name, value)
  }
  const replyHeadersEncrypted = [...replyHeaders, ...encryptedOnly]
  const replaced = new Set(
    replyHeadersEncrypted.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()),
  )
  const all = chosen.map(({ steps }) => steps)
  const responseMustBeHeld = chosen.some(
    ({ part, steps }) =>
      part.response === 'enforce' &&
      ((steps.responseBodyOptional === true ? undefined : steps.responseBody) ??
        steps.openResponse ??
        steps.sealResponse) !== undefined,
  )
  const outward = chosen.toReversed()
  const seesWhole = responseMustBeHeld || responsePart.some(({ enforced }) => enforced)
  return {
    operation,
    requestHead: collect('requestHead'),
    requestBody: [...collect('openRequest'), ...collect('requestBody'), ...collect('sealRequest')],
    readsRequestBody: anyReads(chosen),
    responseHead: collect('responseHead'),
    responseBody: [
      ...collect('openResponse', outward),
      ...collect('responseBody'),
      ...collect('sealResponse', outward),
    ],
    responsePart,
    stray: chosen.flatMap(({ part, steps }) =>
      steps.stray === undefined || part.request === 'off' ? [] : [steps.stray],
    ),
    end: all.flatMap(({ end }) => (end === undefined ? [] : [end])),
    requestHeaders: requestHeaderRules([
      ...all.flatMap(({ keepRequestHeader: keep }) => (keep === undefined ? [] : [keep])),
      // A part of an answer cannot be checked: who must see the whole asks for the whole (RFC 9110, 14.2).
      ...(seesWhole ? [(name: string) => name !== 'range' && name !== 'if-range'] : []),
    ]),
    responseHeaders: responseHeaderRules(
      all.flatMap(({ keepResponseHeader: keep }) => (keep === undefined ? [] : [keep])),
      replaced,
    ),
    replyHeaders,
    replyHeadersEncrypted,
    upstreamHeaders,
    requestBytesMax: Math.min(requestBytesDefault, ...all.map(({ requestBytesMax: max }) => max ?? Infinity)),
    responseBytesMax: Math.min(responseBytesDefault, ...all.map(({ responseBytesMax: max }) => max ?? Infinity)),
    responseMustBeHeld,
    streams: Object.values(operation.responses).some(({ content }) =>
      content.some(({ type }) => type.startsWith('text/event-stream')),
    ),
    listing,
  }
}

/** Whether any step must see a request's body; `undefined` where one always must, and where there is none. */
function anyReads(
  chosen: readonly { readonly part: Part; readonly steps: Steps }[],
): ((exchange: Exchange) => boolean) | undefined {
  const reading = chosen.filter(
    ({ part, steps }) =>
      part.request !== 'off' && (steps.requestBody ?? steps.openRequest ?? steps.sealRequest) !== undefined,
  )
  const conditions = reading.map(({ steps }) => steps.readsRequestBody)
  if (conditions.length === 0 || conditions.includes(undefined)) return undefined
  const [only] = conditions
  return conditions.length === 1 ? only : (exchange) => conditions.some((reads) => reads!(exchange))
}

/** A step that notes what it would have refused, its own failure too, and lets pass. */
function observing(step: Step): Step {
  return (exchange) => {
    try {
      const verdict = step(exchange)
      if (verdict instanceof Promise) {
        return verdict.then(
          (late) => note(late, exchange),
          (error) => note(failed(error), exchange),
        )
      }
      return note(verdict, exchange)
    } catch (error) {
      return note(failed(error), exchange)
    }
  }
}

function note(verdict: Verdict, exchange: Exchange): undefined {
  if (verdict?.kind === 'denial') exchange.observe(verdict)
  return undefined
}
