import { processorFor, processors } from '../body/index.ts'
import { BudgetExceeded } from '../regex/index.ts'
import { lowerCase } from '../seclang/known.ts'
import type { Phase } from '../seclang/rule.ts'
import { interrupt } from './evaluate.ts'
import { member } from './member.ts'
import { runPlain } from './plain.ts'
import type { Program } from './program.ts'
import type { BeginOptions, Interruption, Match, RequestHead, ResponseHead, TransactionEvent } from './request.ts'
import { State } from './state.ts'
import { RequestTooCostly } from './time.ts'
import { forgetBody, membersOf, variableId } from './variables.ts'

/**
 * One request and its response on their way through the rules. The methods are called in the order in which they stand
 * here, each once; whoever has no body says so with `undefined`. After an interruption only `end` is left.
 */
export interface Transaction {
  /** Phase 1. */
  requestHead(): Interruption | undefined
  /** Whether rules want to see the body; to be asked after phase 1, since rules decide. */
  wantsRequestBody(): boolean
  /** Phase 2: to be called even where there is no body. The body as it was sent, chunks joined and content codings undone. */
  requestBody(bytes: Buffer | undefined): Interruption | undefined
  /** Phase 3. */
  responseHead(response: ResponseHead): Interruption | undefined
  /** Whether rules want to see the response's body: its type is listed, and it is not encoded. */
  wantsResponseBody(): boolean
  /** Phase 4. */
  responseBody(bytes: Buffer | undefined): Interruption | undefined
  /** Phase 5: logging. Once, however the exchange ended. */
  end(): void

  readonly head: RequestHead
  /** In the order in which rules matched; those with `nolog` are not among them. */
  readonly matches: readonly Match[]
  readonly events: readonly TransactionEvent[]
  readonly interruption: Interruption | undefined
  /** With `SecRuleEngine DetectionOnly`: what would have been the interruption. */
  readonly detected: Interruption | undefined
  /** Whether a rule has said `ctl:auditEngine`, and what. */
  readonly auditEngine: 'On' | 'Off' | 'RelevantOnly' | undefined
  /** What TX holds under a lower-case name: `blocking_inbound_anomaly_score`. */
  variable(name: string): string | undefined
}

export function createTransaction(program: Program, head: RequestHead, asked: BeginOptions): Transaction {
  return new StateTransaction(new State(program, head, asked))
}

/**
 * A class, since getters in an object literal make a hidden class for each object, in the old generation: the garbage of all
 * requests then hung from one another, and collecting it took six times as long (`bench/waf.ts`, peers).
 */
class StateTransaction implements Transaction {
  readonly #state: State

  constructor(state: State) {
    this.#state = state
  }

  get head(): RequestHead {
    return this.#state.head
  }

  get matches(): readonly Match[] {
    return this.#state.matches
  }

  get events(): readonly TransactionEvent[] {
    return this.#state.events
  }

  get interruption(): Interruption | undefined {
    return this.#state.interruption
  }

  get detected(): Interruption | undefined {
    return this.#state.detected
  }

  get auditEngine(): Transaction['auditEngine'] {
    return this.#state.auditEngine
  }

  variable(name: string): string | undefined {
    return this.#state.tx.get(name)
  }

  requestHead(): Interruption | undefined {
    this.#state.processor = processorFor(this.#state.requestHeader('content-type') ?? '') ?? ''
    return runPhase(this.#state, 1, checkHead)
  }

  wantsRequestBody(): boolean {
    return runs(this.#state, 2) && this.#state.bodyAccess
  }

  requestBody(bytes: Buffer | undefined): Interruption | undefined {
    return runPhase(this.#state, 2, (state) => readRequestBody(state, bytes))
  }

  responseHead(response: ResponseHead): Interruption | undefined {
    this.#state.response = response
    return runPhase(this.#state, 3)
  }

  wantsResponseBody(): boolean {
    return runs(this.#state, 4) && wantsResponseBody(this.#state)
  }

  responseBody(bytes: Buffer | undefined): Interruption | undefined {
    return runPhase(this.#state, 4, (state) => readResponseBody(state, bytes))
  }

  end(): void {
    runPhase(this.#state, 5)
    const { program, storeKeys, stores } = this.#state
    if (program.store === undefined) return
    for (const [collection, key] of storeKeys) {
      const values = stores.get(collection)
      if (values !== undefined) program.store.save(collection, key, values)
    }
  }
}

/** Whether rules of a phase run at all. The logging phase runs however the exchange ended. */
function runs(state: State, phase: Phase): boolean {
  if (state.engine === 'Off') return false
  if (phase === 5) return true
  if (state.interruption !== undefined || state.allowed === 'all') return false
  return state.allowed !== 'request' || phase > 2
}

function runPhase(state: State, phase: Phase, prepare?: (state: State) => void): Interruption | undefined {
  if (!runs(state, phase)) return state.interruption
  const { program } = state
  state.phase = phase
  state.stopped = false
  state.beganAt = program.now?.() ?? 0
  const { matching } = program
  // Whoever asks what is looked at wants to see all of it.
  const evaluate = state.asked.trace === undefined ? program.evaluator : runPlain
  matching.stepsLeft = state.stepsLeft
  matching.statesLeft = state.statesLeft
  try {
    prepare?.(state)
    if (!state.stopped) evaluate(state, phase)
  } catch (error) {
    if (!(error instanceof BudgetExceeded) && !(error instanceof RequestTooCostly)) throw error
    state.events.push({ kind: 'budget', detail: error.message })
    if (program.onBudget === 'block') interrupt(state, { ruleId: 0, action: 'deny', status: 403 })
  }
  state.stepsLeft = matching.stepsLeft
  state.statesLeft = matching.statesLeft
  if (program.now !== undefined) state.spentMs += program.now() - state.beganAt
  return state.interruption
}

const counted = ['ARGS_GET', 'REQUEST_HEADERS', 'REQUEST_COOKIES'].map((name) => variableId(name)!)
const argsPost = variableId('ARGS_POST')!

function checkHead(state: State): void {
  const { head, program } = state
  let bytes = head.uri.length
  for (const text of head.headers) bytes += text.length
  checkBytes(bytes, program)
  checkValues(
    counted.reduce((sum, id) => sum + membersOf(state, id).length, 0),
    program,
  )
}

function checkBytes(bytes: number, { budget }: Program): void {
  if (bytes > budget.bytesMax) throw new RequestTooCostly(`there are more than ${budget.bytesMax} bytes to look at`)
}

function checkValues(values: number, { budget }: Program): void {
  if (values > budget.valuesMax) throw new RequestTooCostly(`there are more than ${budget.valuesMax} values to look at`)
}

/** What phase 2 sees of the body: REQUEST_BODY and what its processor makes of it. */
function readRequestBody(state: State, bytes: Buffer | undefined): void {
  const { program } = state
  if (bytes === undefined || bytes.length === 0) return
  state.bodyBytes = bytes.length
  forgetBody(state)
  if (!state.bodyAccess) return
  const { settings } = program
  let text = bytes.toString('latin1')
  if (text.length > state.bodyBytesMax) {
    if (settings.requestBodyLimitAction === 'Reject') {
      state.events.push({
        kind: 'requestBodyLimit',
        detail: `the request body has more than ${state.bodyBytesMax} bytes`,
      })
      interrupt(state, { ruleId: 0, action: 'deny', status: 413 })
    }
    state.bodyCut = true
    text = text.slice(0, state.bodyBytesMax)
  }
  checkBytes(text.length, program)
  state.rawBody = text
  // Without a processor the body would go unseen: rules that force it get it as a form.
  if (state.processor === '' && state.forcesBody) state.processor = 'URLENCODED'
  const { processor } = state
  if (processor === '') return
  if (processor === 'URLENCODED' || processor === 'RAW') state.bodyText = text
  const parse = processors.get(processor)
  if (parse === undefined) {
    if (processor !== 'RAW') state.bodyError = `there is no body processor ${processor}`
    return
  }
  const contentType = state.requestHeader('content-type') ?? ''
  const shape = state.shape?.json
  const body = parse(text, { contentType, limits: program.bodyLimits, ...(shape && { shape }) })
  state.body = body
  state.bodyError = body.error
  if (body.noFilesBytes > settings.requestBodyNoFilesBytesMax && settings.requestBodyLimitAction === 'Reject') {
    const detail = `the request body has more than ${settings.requestBodyNoFilesBytesMax} bytes beside files`
    state.events.push({ kind: 'requestBodyLimit', detail })
    interrupt(state, { ruleId: 0, action: 'deny', status: 413 })
  }
  checkValues(membersOf(state, argsPost).length, program)
}

function wantsResponseBody(state: State): boolean {
  if (!state.responseAccess || state.response === undefined) return false
  const encoding = state.responseHeader('content-encoding')
  if (encoding !== undefined && !/^\s*(?:identity)?\s*$/i.test(encoding)) return false
  if (state.forcesResponseBody) return true
  const type = lowerCase(state.responseHeader('content-type')?.split(';')[0]?.trim() ?? '')
  return state.program.settings.responseBodyMimeTypes.includes(type)
}

function readResponseBody(state: State, bytes: Buffer | undefined): void {
  if (bytes === undefined || !wantsResponseBody(state)) return
  const { settings } = state.program
  state.responseBodyBytes = bytes.length
  let text = bytes.toString('latin1')
  if (text.length > state.responseBytesMax) {
    if (settings.responseBodyLimitAction === 'Reject') {
      const detail = `the response body has more than ${state.responseBytesMax} bytes`
      state.events.push({ kind: 'responseBodyLimit', detail })
      interrupt(state, { ruleId: 0, action: 'deny', status: 500 })
    }
    state.responseCut = true
    text = text.slice(0, state.responseBytesMax)
  }
  state.responseBodyMembers = [member('', text)]
}
