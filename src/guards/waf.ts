import { bodyTooLarge } from '../gate/body.ts'
import type { Exchange, Slot } from '../gate/exchange.ts'
import type { Guard, Mode, Steps } from '../gate/guard.ts'
import type { Stray } from '../gate/stray.ts'
import { type Denial, denial, type Verdict } from '../gate/verdict.ts'
import type { Operation } from '../openapi/operation.ts'
import type { RuleMatch } from '../traffic/passage.ts'
import type { Interruption, RequestHead, Transaction } from '../waf/index.ts'
import { warnOfIdleRules } from './idle-rules.ts'
import { ruleMatch } from './waf/events.ts'
import { bodyKinds, type ProgramAt, readExclusions, refiner } from './waf/operation.ts'
import { optionsShape, type RootOptions, rootShape, type WafOptions } from './waf/options.ts'
import { firewallChoice, firewallFor } from './waf/programs.ts'

// Which rule it was, and why, is for the operator: an attacker learns nothing to work around it.
const blocked = denial(403, 'waf.blocked', 'The request was refused by a security rule.')
const tooLarge = { ...bodyTooLarge, evidence: { limit: 'waf.maxBody' } }
const tooCostly = denial(403, 'waf.too-costly', 'The request would take too much time to inspect.')
const responseBlocked = denial(
  502,
  'waf.response-blocked',
  'The answer of the upstream was withheld by a security rule.',
)

/** Inspects requests and answers by SecLang rules: our own, or the OWASP CRS (W1, W3). */
export const waf: Guard<WafOptions, RootOptions> = {
  name: 'waf',
  stage: 'inspect',
  options: optionsShape as never,
  root: rootShape as never,
  mode: (options) => ({ request: options.mode, response: responseMode(options) }),
  async setup(options, host, root) {
    const choice = firewallChoice(options, (root ?? rootShape.parse({})).waf, host.stateDir)
    const { program, files } = await firewallFor(choice, host.log)
    host.watch(files)
    const exclusions = readExclusions(options.exclusions, program, host.log)
    const refine = refiner(program, options, exclusions)
    const warnOfIdle = warnOfIdleRules(
      exclusions.map(({ selects }, index) => ({ name: `waf.exclusions[${index}]`, selects })),
      host,
    )
    const slot = host.slot<Inspection>()
    return (operation) => {
      warnOfIdle(operation.document)
      return stepsOf(operation, refine(operation), options, slot)
    }
  },
}

/** A rule that would have ended the request has ended what follows from it, too; and without a request there is no answer. */
function responseMode({ mode, response }: WafOptions): Mode {
  return mode === 'enforce' || response === 'off' ? response : mode
}

/** What is known of one exchange. Every field is set in the constructor: one fixed shape. */
class Inspection {
  readonly transaction: Transaction
  /** Whether phase 2 is over. */
  bodySeen: boolean
  multipart: boolean
  /** What has been told already of what a rule would have refused, and of the limits. */
  detectedTold: boolean
  eventsTold: number

  constructor(transaction: Transaction) {
    this.transaction = transaction
    this.bodySeen = false
    this.multipart = false
    this.detectedTold = false
    this.eventsTold = 0
  }
}

function stepsOf(operation: Operation, programAt: ProgramAt, options: WafOptions, slot: Slot<Inspection>): Steps {
  const { maxBody, mode } = options
  const kindOf = bodyKinds(operation)

  function begin(exchange: Exchange): Inspection {
    const inspection = new Inspection(programAt(exchange.receivedAt).begin(headOf(exchange)))
    exchange.set(slot, inspection)
    return inspection
  }

  /** Phase 2, once. `undefined`: there is no body, or none that could be text. */
  function inspectBody(inspection: Inspection, body: Buffer | undefined, exchange: Exchange): Verdict {
    inspection.bodySeen = true
    inspection.transaction.requestBody(body)
    return requestVerdict(inspection, exchange)
  }

  /** The rest is looked at all the same: who only observes wants to see all there is. */
  function refuseLarge(inspection: Inspection, exchange: Exchange): Verdict {
    return inspectBody(inspection, undefined, exchange) ?? tooLarge
  }

  return {
    requestHead(exchange) {
      const inspection = begin(exchange)
      const { transaction } = inspection
      transaction.requestHead()
      const verdict = requestVerdict(inspection, exchange)
      if (verdict !== undefined && mode === 'enforce') return verdict
      const length = exchange.headers['content-length']
      // HTTP/2 may keep silent about a body; whether there is one is seen when it has been read.
      const mayCome =
        length === undefined ? exchange.http2 || exchange.headers['transfer-encoding'] !== undefined : length !== '0'
      if (!mayCome || exchange.upgrade !== undefined || !transaction.wantsRequestBody()) {
        return inspectBody(inspection, undefined, exchange) ?? verdict
      }
      const { opaque, multipart } = kindOf(exchange.headers['content-type'])
      if (opaque) return inspectBody(inspection, undefined, exchange) ?? verdict
      inspection.multipart = multipart
      if (!multipart && length !== undefined && Number(length) > maxBody) return refuseLarge(inspection, exchange)
      return verdict
    },
    readsRequestBody: (exchange) => exchange.get(slot)?.bodySeen === false,
    requestBody(exchange) {
      const inspection = exchange.get(slot)
      if (inspection === undefined || inspection.bodySeen) return undefined
      const body = exchange.requestBody!
      // Files in a multipart body are not searched; what else is in it counts where it is read.
      if (!inspection.multipart && body.length > maxBody) return refuseLarge(inspection, exchange)
      return inspectBody(inspection, body.length === 0 ? undefined : body, exchange)
    },
    responseHead(exchange) {
      const inspection = exchange.get(slot)
      if (inspection === undefined) return undefined
      const { transaction } = inspection
      const { status, rawHeaders } = exchange.response!
      transaction.responseHead({ status, protocol: exchange.protocol, headers: withoutCoding(rawHeaders) })
      // Rules of the body's phase that need no body, such as those that add up.
      if (!transaction.wantsResponseBody()) transaction.responseBody(undefined)
      return responseVerdict(inspection)
    },
    responsePart: {
      bytesMax: options.maxResponse,
      wants: (exchange) => exchange.get(slot)?.transaction.wantsResponseBody() === true,
      step(exchange) {
        const inspection = exchange.get(slot)!
        const body = exchange.response!.body!
        inspection.transaction.responseBody(
          body.length > options.maxResponse ? body.subarray(0, options.maxResponse) : body,
        )
        return responseVerdict(inspection)
      },
    },
    stray: (stray) => lookAt(stray, programAt),
    end(exchange) {
      const inspection = exchange.get(slot)
      if (inspection === undefined) return
      const { transaction } = inspection
      transaction.end()
      for (const match of transaction.matches) exchange.noteMatch(ruleMatch(match, transaction))
    },
  }
}

function headOf(exchange: Exchange): RequestHead {
  const { authority } = exchange.target
  return {
    method: exchange.method,
    uri: exchange.rawTarget,
    protocol: exchange.protocol,
    headers: exchange.http2 ? ['host', authority, ...exchange.rawHeaders] : exchange.rawHeaders,
    client: { address: exchange.address, port: 0 },
    server: { address: '0.0.0.0', port: 0, name: authority },
    id: exchange.id,
    receivedAt: exchange.receivedAt,
  }
}

/** The gate undoes the coding of what it looks at, however many headers name it. */
function withoutCoding(rawHeaders: readonly string[]): readonly string[] {
  const isCoding = (name: string) => name.length === 16 && name.toLowerCase() === 'content-encoding'
  if (!rawHeaders.some((name, index) => index % 2 === 0 && isCoding(name))) return rawHeaders
  return rawHeaders.filter((_, index) => !isCoding(rawHeaders[index - (index % 2)]!))
}

function requestVerdict(inspection: Inspection, exchange: Exchange): Verdict {
  const { transaction } = inspection
  const { interruption, detected, events } = transaction
  while (inspection.eventsTold < events.length) {
    const { kind, detail } = events[inspection.eventsTold++]!
    if (kind !== 'budget' && kind !== 'requestBodyLimit') continue
    const refusal = { ...(kind === 'budget' ? tooCostly : bodyTooLarge), evidence: { limit: detail } }
    if (interruption?.ruleId === 0) return refusal
    if (detected?.ruleId === 0) inspection.detectedTold = true
    if (kind === 'budget' || detected?.ruleId === 0) exchange.observe(refusal)
  }
  if (interruption !== undefined) return refusalFor(interruption, transaction)
  if (detected === undefined || inspection.detectedTold) return undefined
  // Rules that are set to detect only: noted, whatever the guard's mode.
  inspection.detectedTold = true
  exchange.observe(refusalFor(detected, transaction))
  return undefined
}

function responseVerdict(inspection: Inspection): Verdict {
  const { interruption, detected } = inspection.transaction
  const refusal = interruption ?? detected
  if (refusal === undefined || inspection.detectedTold) return undefined
  inspection.detectedTold = true
  return { ...responseBlocked, evidence: evidenceOf(refusal, inspection.transaction, 'outbound') }
}

function refusalFor(interruption: Interruption, transaction: Transaction): Denial {
  const { action, status, redirect } = interruption
  const evidence = evidenceOf(interruption, transaction, 'inbound')
  if (action === 'redirect' && redirect !== undefined) {
    return {
      ...blocked,
      status: status >= 300 && status < 400 ? status : 302,
      headers: { location: redirect },
      evidence,
    }
  }
  return { ...blocked, status: status >= 400 && status < 600 ? status : 403, evidence }
}

const rulesShown = 20

/** For the operator: who said no, and what it added up to. What fitted where stands with the exchange's matches. */
function evidenceOf({ ruleId }: Interruption, transaction: Transaction, direction: 'inbound' | 'outbound') {
  const read = (name: string) => {
    const value = transaction.variable(name)
    return value === undefined || value === '' ? undefined : Number(value)
  }
  const score = read(`blocking_${direction}_anomaly_score`) || read(`portcullis_${direction}_score`) || undefined
  const threshold = read(`${direction}_anomaly_score_threshold`) ?? read(`portcullis_${direction}_threshold`)
  const rules = [...new Set(transaction.matches.map(({ rule }) => rule.id))].slice(0, rulesShown)
  return { rule: ruleId, ...(score !== undefined && { score, threshold }), rules }
}

function lookAt(stray: Stray, programAt: ProgramAt): readonly RuleMatch[] {
  const at = stray.rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'host')
  const transaction = programAt(stray.receivedAt).begin({
    method: stray.method,
    uri: stray.rawTarget,
    protocol: stray.protocol,
    headers: stray.rawHeaders,
    client: { address: stray.peer.address, port: 0 },
    server: { address: '0.0.0.0', port: 0, name: at === -1 ? '' : stray.rawHeaders[at + 1]! },
    id: stray.id,
    receivedAt: stray.receivedAt,
  })
  transaction.requestHead()
  transaction.requestBody(stray.body)
  transaction.end()
  return transaction.matches.map((match) => ruleMatch(match, transaction))
}
