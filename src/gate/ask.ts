import type { Dispatcher } from 'undici'
import type { Operation } from '../openapi/operation.ts'
import { canonicalTemplate } from '../openapi/paths.ts'
import { decodeBody } from './body.ts'
import type { Exchange } from './exchange.ts'
import { pushOrigin } from './forward.ts'
import type { Program } from './program.ts'
import { isFailure, type Upstream, upstreamDenial, upstreamDenials } from './upstream.ts'
import { type Denial, denial } from './verdict.ts'

/** What the gate asks an upstream of its own accord, while a request waits for the answer. */
export interface Question {
  /** Must be one that reads (GET): it is asked with the gate's word for the caller, and nobody is asked back. */
  readonly operation: Operation
  /** Values of the path template's parameters in order, percent-encoded. */
  readonly pathValues: readonly string[]
  /** Without the question mark. */
  readonly query: string
  /** Name, value …: of the caller's headers, those that choose what is answered. */
  readonly headers: readonly string[]
  readonly timeoutMs: number
  readonly bytesMax: number
}

export interface Told {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** Decoded from its content coding. */
  readonly body: Buffer
}

/** Asks the API's upstream. What goes wrong on the way comes back as the denial it would be for a caller. */
export type Ask = (exchange: Exchange, question: Question) => Promise<Told | Denial>

const tooSlow = denial(504, 'upstream.timeout', upstreamDenials.timeout.detail)

/**
 * Asks through the same pool, breaker and bounds as callers' requests. The upstream gets the headers that the gate sets for
 * this caller and for the operation, and none that the caller sent but those the question names.
 */
export function askThrough(upstream: Upstream, programOf: (operation: Operation) => Program | undefined): Ask {
  return async (exchange, question) => {
    const target = upstream.pick(exchange)
    if ('kind' in target) return target
    const startedAt = performance.now()
    try {
      const reply = await target.dispatcher.request({
        origin: target.origin,
        path: target.pathPrefix + pathOf(question),
        method: question.operation.method as Dispatcher.HttpMethod,
        headers: headersOf(exchange, question, programOf(question.operation)),
        signal: AbortSignal.timeout(question.timeoutMs),
      })
      const { statusCode, headers, body } = reply
      const read = await readWithin(body, question.bytesMax)
      const headMs = performance.now() - startedAt
      upstream.report(target, isFailure(statusCode) || statusCode > 599 ? 'badly' : 'well', headMs)
      if (read === undefined) return upstreamDenials.tooLarge
      const told = fold(headers)
      const coding = told['content-encoding']?.trim().toLowerCase() ?? 'identity'
      if (coding === 'identity' || read.length === 0) return { status: statusCode, headers: told, body: read }
      return await decodeBody(read, coding, question.bytesMax).then(
        (decoded) => ({ status: statusCode, headers: told, body: decoded }),
        () => upstreamDenials.coding,
      )
    } catch (error) {
      upstream.report(target, 'badly', performance.now() - startedAt)
      return (error as Error).name === 'TimeoutError' ? tooSlow : upstreamDenial(error)
    } finally {
      upstream.release(target)
    }
  }
}

/** The path template with its values, as the document's own server knows it. */
function pathOf({ operation, pathValues, query }: Question): string {
  let next = 0
  const path = canonicalTemplate(operation.path).replace(/\{[^{}]*\}/g, () => pathValues[next++] ?? '')
  return query === '' ? path : `${path}?${query}`
}

function headersOf(exchange: Exchange, question: Question, program: Program | undefined): string[] {
  const flat = [...question.headers, 'accept', 'application/json']
  pushOrigin(flat, exchange)
  flat.push(...(program?.upstreamHeaders ?? []), ...exchange.upstreamHeaders)
  return flat
}

/** The body, or `undefined` where it is larger; the rest of it is not waited for. */
async function readWithin(body: Dispatcher.ResponseData['body'], bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes)
}

function fold(headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  const folded: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) folded[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return folded
}
