import { JsonError, parseStrictJson } from '../base/json.ts'
import { bytes, mode, object, z } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Step, Steps } from '../gate/guard.ts'
import type { UpstreamReply } from '../gate/upstream-reply.ts'
import { type Denial, denial, type FieldError, type Verdict } from '../gate/verdict.ts'
import { type BodyContract, compileBodies } from '../openapi/bodies.ts'
import { isStreamed } from '../openapi/media-types.ts'
import type { Operation, ResponseSpec, SchemaError } from '../openapi/operation.ts'
import { compileParameters } from '../openapi/parameters.ts'
import { dropMembers } from './drop-members.ts'

const options = object({
  request: mode('Requests are compared with the document: parameters, media type, body.').default('enforce'),
  response: mode("The upstream's answers are compared with the document: status, media type, body.").default('observe'),
  maxBody: bytes('Request body of an operation whose body is checked; more is answered 413.').default(1_048_576),
  maxResponse: bytes(
    'Response body that is held to be checked; with `response: enforce` a larger one is answered 502.',
  ).default(4_194_304),
  unknownProperties: z
    .enum(['refuse', 'allow'])
    .default('refuse')
    .describe('Properties in request bodies that the document does not list, where it does not speak of others.'),
  unknownQuery: z
    .enum(['refuse', 'allow'])
    .default('refuse')
    .describe('Query parameters that the document does not list.'),
  ignoredQuery: z
    .array(z.string())
    .max(100)
    .default([])
    .describe('Query parameters that are let through although the document does not list them.'),
  overshared: z
    .enum(['report', 'strip', 'block'])
    .optional()
    .describe(
      'Properties in responses that the document does not list or marks write-only: noted, taken out, or answered 502. Default: report where responses are observed, block where they are enforced.',
    ),
}).prefault({})

type Options = z.output<typeof options>

/** Lets through only what the document describes, in both directions (V1, V2, V4, V9). */
export const validate: Guard<Options> = {
  name: 'validate',
  stage: 'validate',
  options: options as never,
  // What is stripped or blocked must be held, whatever the mode of the rest.
  mode: ({ request, response, overshared }) => ({ request, response: acts(overshared) ? 'enforce' : response }),
  setup: (chosen) => (operation) => {
    if (operation.kind !== 'listed') return undefined
    const steps: Steps = {
      ...(chosen.request === 'off' ? {} : requestSteps(operation, chosen)),
      ...(chosen.response === 'off' && !acts(chosen.overshared) ? {} : responseSteps(operation, chosen)),
    }
    return Object.keys(steps).length === 0 ? undefined : steps
  },
}

function acts(overshared: Options['overshared']): boolean {
  return overshared === 'strip' || overshared === 'block'
}

// Requests ----------------------------------------------------------------------------------------

const invalidParameter = denial(
  400,
  'validate.parameter',
  'The request has parameters that the document does not allow.',
)
const invalidBody = denial(400, 'validate.body', 'The request body does not fit the document.')
const malformedBody = denial(400, 'validate.malformed', 'The request body is not of its media type.')
const unlistedType = denial(415, 'validate.media-type', 'This operation does not take a body of this media type.')
const wrongCharset = denial(415, 'validate.charset', 'The request body must be in UTF-8.')
const unexpectedBody = denial(400, 'validate.body-unexpected', 'This operation takes no request body.')
const missingBody = denial(400, 'validate.body-missing', 'This operation needs a request body.')

function requestSteps(operation: Operation, chosen: Options): Steps {
  const parameters = compileParameters(operation, chosen)
  const body = operation.requestBody
  // A body with no media type listed is any body.
  const contract =
    body === undefined || body.content.length === 0
      ? undefined
      : compileBodies(body.content, operation.document, 'request', { unknown: chosen.unknownProperties })
  const checkParameters: Step | undefined =
    parameters &&
    ((exchange) => {
      const { errors } = parameters({
        pathValues: exchange.pathValues,
        query: exchange.target.query,
        headers: exchange.headers,
      })
      return errors.length === 0 ? undefined : withErrors(invalidParameter, errors)
    })
  const checkHead = bodyHeadStep(body !== undefined, body?.required === true, contract)
  return {
    ...(checkParameters === undefined && checkHead === undefined
      ? {}
      : { requestHead: inTurn(checkParameters, checkHead) }),
    ...requestBodySteps(body !== undefined, body?.required === true, contract, chosen),
  }
}

/** What reads the body, or makes sure that there is none. An observed rule never blocks, so it sets no limit. */
function requestBodySteps(
  takesBody: boolean,
  required: boolean,
  contract: BodyContract | undefined,
  { request, maxBody }: Options,
): Steps {
  const limit = (requestBytesMax: number) => (request === 'enforce' ? { requestBytesMax } : {})
  // HTTP/2 need not announce a body in its head: only reading shows that there is none.
  if (!takesBody)
    return { requestBody: ({ requestBody }) => (requestBody!.length > 0 ? unexpectedBody : undefined), ...limit(0) }
  // Bytes of which nothing can be said stream through.
  if (!contract?.looksInside) return {}
  return { requestBody: bodyStep(contract, required), ...limit(maxBody) }
}

function inTurn(first: Step | undefined, second: Step | undefined): Step {
  if (first === undefined) return second!
  if (second === undefined) return first
  return (exchange) => first(exchange) ?? second(exchange)
}

/** Whether the head says that a body follows (RFC 9112, 6.3). HTTP/2 may stay silent; then the body step sees it. */
function announcesBody({ headers }: Exchange): boolean {
  const length = headers['content-length']
  return length === undefined ? headers['transfer-encoding'] !== undefined : length !== '0'
}

function bodyHeadStep(takesBody: boolean, required: boolean, contract: BodyContract | undefined): Step | undefined {
  if (!takesBody) return (exchange) => (announcesBody(exchange) ? unexpectedBody : undefined)
  if (contract === undefined) return undefined
  // RFC 9110, 15.5.16: the answer may say what would have been taken.
  const headers = { accept: contract.accept }
  const notThisType = { ...unlistedType, headers }
  const notThisCharset = { ...wrongCharset, headers }
  return (exchange) => {
    const contentType = exchange.headers['content-type']
    if (!announcesBody(exchange)) {
      if (required && !exchange.http2) return missingBody
      if (contentType === undefined) return undefined
    }
    const selected = contract.select(contentType)
    if (selected === 'unlisted') return notThisType
    return selected === 'charset' ? notThisCharset : undefined
  }
}

function bodyStep(contract: BodyContract, required: boolean): Step {
  return (exchange): Verdict => {
    const body = exchange.requestBody!
    const contentType = exchange.headers['content-type']
    if (body.length === 0 && (required || contentType === undefined)) return required ? missingBody : undefined
    const selected = contract.select(contentType)
    // The head has refused these already; a body in HTTP/2 that the head kept silent about comes here first.
    if (typeof selected === 'string') return { ...unlistedType, headers: { accept: contract.accept } }
    if (selected.check === undefined) return undefined
    const found = selected.check(body, () => exchange.json())
    if (found.malformed !== undefined)
      return withErrors(malformedBody, [{ pointer: '', in: 'body', detail: found.malformed }])
    return found.errors.length === 0 ? undefined : withErrors(invalidBody, found.errors.map(inBody))
  }
}

/** The operator learns what the caller does: a rule that is only observed tells nobody else. No detail holds a value. */
function withErrors(denial: Denial, errors: readonly FieldError[]): Denial {
  return { ...denial, errors, evidence: { errors: errors.slice(0, 10) } }
}

function inBody({ pointer, detail }: SchemaError): FieldError {
  // The pointer ends in names that the caller chose.
  return { pointer: pointer.length > 300 ? `${pointer.slice(0, 300)}…` : pointer, in: 'body', detail }
}

// Responses ---------------------------------------------------------------------------------------

const badAnswer = 'The upstream sent an answer that does not fit the document.'
const unlistedStatus = denial(502, 'validate.response-status', badAnswer)
const unlistedAnswerType = denial(502, 'validate.response-media-type', badAnswer)
const invalidAnswer = denial(502, 'validate.response-body', badAnswer)
const oversharedAnswer = denial(502, 'validate.overshared', badAnswer)

/** Errors that say that something is there which should not be seen. */
const oversharing = new Set(['unknownProperty', 'additionalProperties', 'unevaluatedProperties', 'writeOnly'])
/** Places taken out of one answer at most; one with more is blocked. */
const strippedMax = 10_000

interface AnswerContract {
  readonly spec: ResponseSpec
  readonly bodies: BodyContract
  /** With all places, for those who take them out. */
  readonly allPlaces: BodyContract
}

function responseSteps(operation: Operation, chosen: Options): Steps {
  const contracts = new Map<string, AnswerContract>()
  for (const [status, spec] of Object.entries(operation.responses))
    contracts.set(status, {
      spec,
      bodies: compileBodies(spec.content, operation.document, 'response'),
      allPlaces: compileBodies(spec.content, operation.document, 'response', { errorsMax: strippedMax }),
    })
  if (contracts.size === 0) return {}
  const find = (status: number) =>
    contracts.get(String(status)) ?? contracts.get(`${Math.floor(status / 100)}XX`) ?? contracts.get('default')
  const overshared = chosen.overshared ?? (chosen.response === 'enforce' ? 'block' : 'report')
  /** What is refused under the mode of responses, where overshared properties have a stronger one of their own. */
  const answer = (exchange: Exchange, refusal: Denial): Verdict => {
    if (chosen.response === 'enforce' || !acts(chosen.overshared)) return refusal
    if (chosen.response === 'observe') exchange.observe(refusal)
    return undefined
  }
  const looksInside = [...contracts.values()].some(({ bodies }) => bodies.looksInside)
  return {
    responseHead(exchange) {
      const { response, method } = exchange
      const contract = find(response!.status)
      if (contract === undefined) return answer(exchange, { ...unlistedStatus, evidence: { status: response!.status } })
      const contentType = response!.headers['content-type']
      if (contract.spec.content.length === 0 || contentType === undefined || bodyless(response!, method))
        return undefined
      const selected = contract.bodies.select(contentType)
      return typeof selected === 'string' ? answer(exchange, unlistedAnswerType) : undefined
    },
    ...(looksInside
      ? {
          responseBytesMax: chosen.maxResponse,
          responseBody(exchange: Exchange): Verdict {
            const response = exchange.response!
            const body = response.body ?? Buffer.alloc(0)
            const contentType = response.headers['content-type']
            const contract = find(response.status)
            if (contract === undefined || contentType === undefined || body.length === 0) return undefined
            if (bodyless(response, exchange.method) || isStreamed(contentType)) return undefined
            const bodies = overshared === 'strip' ? contract.allPlaces : contract.bodies
            const selected = bodies.select(contentType)
            if (typeof selected === 'string' || selected.check === undefined) return undefined
            const read = selected.reading === 'json' ? new AnswerJson(body) : undefined
            const found = selected.check(body, read && (() => read.value()))
            if (found.malformed !== undefined)
              return answer(exchange, { ...invalidAnswer, evidence: { malformed: found.malformed } })
            if (found.errors.length === 0) return undefined
            return judge(exchange, found.errors, overshared, answer, read)
          },
        }
      : {}),
  }
}

function bodyless({ status }: UpstreamReply, method: string): boolean {
  return method === 'HEAD' || status === 204 || status === 205 || status === 304
}

function judge(
  exchange: Exchange,
  errors: readonly SchemaError[],
  overshared: 'report' | 'strip' | 'block',
  answer: (exchange: Exchange, refusal: Denial) => Verdict,
  read: AnswerJson | undefined,
): Verdict {
  const extra = errors.filter(({ keyword }) => oversharing.has(keyword))
  const wrong = errors.filter(({ keyword }) => !oversharing.has(keyword))
  if (wrong.length > 0) {
    const verdict = answer(exchange, { ...invalidAnswer, evidence: { errors: wrong.slice(0, 50) } })
    if (verdict !== undefined) return verdict
  }
  if (extra.length === 0) return undefined
  const refusal = { ...oversharedAnswer, evidence: { errors: extra.slice(0, 50) } }
  if (overshared === 'block') return refusal
  if (overshared === 'report') return answer(exchange, refusal)
  // What cannot be written again exactly, or is more than was counted, is not sent at all.
  if (read === undefined || !read.isExact || errors.length >= strippedMax) return refusal
  exchange.response!.body = Buffer.from(
    JSON.stringify(
      dropMembers(
        read.value(),
        extra.map(({ pointer }) => pointer),
      ),
    ),
  )
  forgetValidators(exchange.response!)
  exchange.observe(refusal)
  return undefined
}

/** A changed body is another representation: what vouched for the old one goes (RFC 9110, 8.8; RFC 9530). */
function forgetValidators(response: UpstreamReply): void {
  const stale = new Set(['etag', 'content-md5', 'digest', 'content-digest', 'repr-digest'])
  const kept: string[] = []
  for (let i = 0; i < response.rawHeaders.length; i += 2)
    if (!stale.has(response.rawHeaders[i]!.toLowerCase()))
      kept.push(response.rawHeaders[i]!, response.rawHeaders[i + 1]!)
  response.rawHeaders = kept
}

/**
 * The JSON of an answer. Numbers past 2^53 are the upstream's own affair, so they are read as they come; but then the
 * value is not exact, and must not be written again.
 */
class AnswerJson {
  readonly #body: Buffer
  #value: unknown
  #isRead = false
  isExact = true

  constructor(body: Buffer) {
    this.#body = body
  }

  value(): unknown {
    if (this.#isRead) return this.#value
    try {
      this.#value = parseStrictJson(this.#body)
    } catch (error) {
      if (!(error instanceof JsonError) || error.reason !== 'number') throw error
      this.isExact = false
      this.#value = JSON.parse(this.#body.toString('utf8'))
    }
    this.#isRead = true
    return this.#value
  }
}
