import { splitUri, type TargetParts } from '../body/target.ts'
import { parseUrlEncoded, type UrlEncoded } from '../body/urlencoded.ts'
import type { BodyValues } from '../body/values.ts'
import { lowerCase } from '../seclang/known.ts'
import type { Phase } from '../seclang/rule.ts'
import type { Findings } from './fast.ts'
import { type Member, noMembers } from './member.ts'
import type { CompiledRule, Program, RequestShape } from './program.ts'
import type { BeginOptions, Interruption, Match, RequestHead, ResponseHead, TransactionEvent } from './request.ts'
import type { Selection } from './target.ts'
import { Tx } from './tx.ts'

/** All that one transaction knows. A class for its fixed shape: every rule reads it. What it means is in the files beside it. */
export class State {
  readonly program: Program
  readonly head: RequestHead
  readonly shape: RequestShape | undefined
  readonly asked: BeginOptions
  engine: 'On' | 'Off' | 'DetectionOnly'
  phase: Phase = 1

  /** By variable: made when first asked for. */
  readonly members: (readonly Member[] | undefined)[] = []
  readonly tx: Tx
  /** IP, GLOBAL, SESSION, …: of this transaction alone unless the program has a store. */
  readonly stores = new Map<string, Map<string, string>>()
  readonly storeKeys = new Map<string, string>()

  /** MATCHED_VAR, MATCHED_VAR_NAME. */
  matchedValue = ''
  matchedName = ''
  /** MATCHED_VARS: what the members of the chain before this one matched; of a rule's first condition nothing. */
  matchedBefore: readonly Member[] = noMembers
  /** What the condition that is being tested has matched. */
  matchedNow: Member[] | undefined
  rule: CompiledRule | undefined
  /** What the rule that is being tested matched last, as its match will tell it. */
  captured: string | undefined
  highestSeverity = 255

  /** By index of the rule: 1 where it is taken out. Shared; `ctl` puts another in its place. */
  removed: Uint8Array | undefined
  /** By index of the rule: what its targets leave out. */
  exclusions: (readonly Selection[] | undefined)[] | undefined

  // The body of the request.
  processor = ''
  body: BodyValues | undefined
  rawBody: string | undefined
  /** REQUEST_BODY. */
  bodyText: string | undefined
  bodyBytes = 0
  bodyError: string | undefined
  /** The body went beyond its limit, and only its beginning is looked at. */
  bodyCut = false
  bodyAccess: boolean
  bodyBytesMax: number
  forcesBody = false

  // The response.
  response: ResponseHead | undefined
  responseMembers: readonly Member[] | undefined
  responseBodyMembers: readonly Member[] = noMembers
  responseBodyBytes: number | undefined
  responseCut = false
  responseAccess: boolean
  responseBytesMax: number
  forcesResponseBody = false

  /** What the fast evaluator has found so far. */
  findings: Findings | undefined

  readonly matches: Match[] = []
  /** Matches kept of the rule that is being tested. */
  keptOfRule = 0
  readonly events: TransactionEvent[] = []
  interruption: Interruption | undefined
  /** The first interruption that there would have been, had the engine been on. */
  detected: Interruption | undefined
  /** No further rule of this phase runs. */
  stopped = false
  allowed: 'nothing' | 'request' | 'all' = 'nothing'
  auditEngine: 'On' | 'Off' | 'RelevantOnly' | undefined

  /** What is left of the budget for matching between two phases. */
  stepsLeft: number
  statesLeft: number
  /** Milliseconds that earlier phases took; when this one began. */
  spentMs = 0
  beganAt = 0
  ticks = 0

  #target: TargetParts | undefined
  #query: UrlEncoded | undefined

  constructor(program: Program, head: RequestHead, asked: BeginOptions = {}) {
    const { settings, budget } = program
    this.program = program
    this.head = head
    this.asked = asked
    this.shape = program.shape
    this.engine = settings.engine
    this.tx = new Tx(program.layout, program.base)
    this.removed = program.removed
    this.exclusions = program.exclusions
    this.stepsLeft = budget.stepsMax
    this.statesLeft = budget.statesMax
    this.bodyAccess = settings.requestBodyAccess
    this.bodyBytesMax = settings.requestBodyBytesMax
    this.responseAccess = settings.responseBodyAccess
    this.responseBytesMax = settings.responseBodyBytesMax
  }

  get target(): TargetParts {
    this.#target ??= splitUri(this.head.uri)
    return this.#target
  }

  get query(): UrlEncoded {
    this.#query ??= parseUrlEncoded(this.target.queryString, this.program.bodyLimits)
    return this.#query
  }

  /** The first header of a lower-case name. */
  requestHeader(name: string): string | undefined {
    return headerOf(this.head.headers, name)
  }

  responseHeader(name: string): string | undefined {
    return this.response && headerOf(this.response.headers, name)
  }
}

function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]!.length === name.length && lowerCase(headers[i]!) === name) return headers[i + 1]
  }
  return undefined
}
