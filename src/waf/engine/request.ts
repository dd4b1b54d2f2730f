import type { Condition, Rule } from '../seclang/rule.ts'

/** A request's head as it came: nothing decoded, joined or put in lower case. All text is bytes (latin1). */
export interface RequestHead {
  readonly method: string
  /** As it stands in the request line. */
  readonly uri: string
  /** `HTTP/1.1` */
  readonly protocol: string
  /** Names and values in turn, as node's `rawHeaders`. */
  readonly headers: readonly string[]
  readonly client: Endpoint
  readonly server: Endpoint & { readonly name?: string }
  /** UNIQUE_ID; what events and logs call the request by. */
  readonly id: string
  /** Milliseconds since 1970. */
  readonly receivedAt: number
}

export interface Endpoint {
  readonly address: string
  readonly port: number
}

export interface ResponseHead {
  readonly status: number
  readonly protocol: string
  /** As those of a request. Leave Content-Encoding out where the body that follows is decoded. */
  readonly headers: readonly string[]
}

/** The request or its response is not to go on. */
export interface Interruption {
  /** 0: no rule said so but a limit of the body or the budget did; `events` of the transaction tell which. */
  readonly ruleId: number
  /** `drop`: close the connection without an answer. */
  readonly action: 'deny' | 'drop' | 'redirect'
  readonly status: number
  readonly redirect?: string
}

/** A rule that matched and is to be logged, with one value that it matched. All text is bytes. */
export interface Match {
  readonly rule: Rule
  /** The rule's message, macros expanded. */
  readonly message: string
  /** The rule's logdata, macros expanded: it quotes the request, secrets and all. */
  readonly data: string
  /** `ARGS:q`; of a chain what its last member matched; empty for a SecAction. */
  readonly variable: string
  /** After transformations, whole. */
  readonly value: string
  /** The part of it that a pattern matched (TX:0), for rules that capture. */
  readonly captured: string | undefined
  readonly tags: readonly string[]
  /** 0 EMERGENCY … 7 DEBUG. */
  readonly severity: number | undefined
}

/** What happened beside rules. */
export interface TransactionEvent {
  /** A `rule` could not do its test: its operator's argument came from the request and made no sense. */
  readonly kind: 'budget' | 'requestBodyLimit' | 'responseBodyLimit' | 'rule'
  readonly detail: string
}

/** Told of each test that the plain evaluator makes. */
export type Trace = (rule: Rule, condition: Condition, variable: string, value: string, matched: boolean) => void

/** What somebody wants to know of one transaction, to explain it. */
export interface BeginOptions {
  /** Runs the plain evaluator, whatever the program's own is. */
  readonly trace?: Trace
  /** Told of each rule that is evaluated. One that is reached but proved not to match is not. */
  readonly evaluated?: (rule: Rule) => void
}
