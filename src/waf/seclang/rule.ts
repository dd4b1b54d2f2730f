/** Where something stands in a rule file. Lines and columns count from 1. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** The phases of ModSecurity: request head, request body, response head, response body, logging. */
export type Phase = 1 | 2 | 3 | 4 | 5

/** One variable that a rule looks at, as `ARGS:id`, `&REQUEST_HEADERS:Host`, `TX:/^x/`. */
export interface Target {
  /** Upper-case name of the variable or collection, such as `ARGS` or `REQUEST_URI`. */
  readonly variable: string
  /** Which members of the collection: all (`undefined`), one by name, or those a pattern finds. XML: the XPath expression as `name`. */
  readonly selector: Selector | undefined
  /** `&`: how many members there are, in place of their values. */
  readonly count: boolean
}

export type Selector =
  /** Lower-case: names of collections are compared without regard to case. */
  | { readonly kind: 'name'; readonly name: string }
  /** A pattern between slashes, its source as written. */
  | { readonly kind: 'pattern'; readonly source: string }

/** The test that a rule makes of each value. */
export interface OperatorUse {
  /** As the manual spells it: `rx`, `pmFromFile`, `detectSQLi`. */
  readonly name: string
  readonly negated: boolean
  /** Unquoted; macros such as `%{tx.x}` still in it. */
  readonly argument: string
  /** The lines of the file that `pmFromFile`, `ipMatchFromFile` name, comments and empty lines dropped. */
  readonly lines: readonly string[] | undefined
  readonly place: Place
}

/** `setvar:tx.score=+%{tx.critical}`. Name and value may hold macros. */
export interface SetVariable {
  /** `setenv` sets a variable of ENV. */
  readonly collection: 'TX' | 'IP' | 'GLOBAL' | 'SESSION' | 'USER' | 'RESOURCE' | 'ENV'
  /** Lower-case, as names are compared without regard to case; those of ENV as written. */
  readonly name: string
  readonly operation: 'set' | 'add' | 'subtract' | 'unset'
  readonly value: string
}

/** `ctl:…`: changes the engine for the rest of one transaction. */
export interface Control {
  /** As the manual spells it: `ruleRemoveTargetById`, `ruleEngine`, … */
  readonly name: string
  /** What stands after `=`, up to `;` where there is one. */
  readonly value: string
  /** For `ruleRemoveTarget…`: what stands after `;`. */
  readonly targets: readonly Target[]
}

/** One SecRule: a rule's head, or a later member of its chain. */
export interface Condition {
  readonly place: Place
  /** None for a SecAction. */
  readonly targets: readonly Target[]
  /** `!ARGS:x`, with those that update directives added. */
  readonly exclusions: readonly Target[]
  /** `unconditionalMatch` for a SecAction. */
  readonly operator: OperatorUse
  /** Lower-case names in order; `none` and what it clears are gone. */
  readonly transformations: readonly string[]
  readonly multiMatch: boolean
  readonly capture: boolean
  /** Run in order, each time this condition matches a value. */
  readonly setVariables: readonly SetVariable[]
  readonly controls: readonly Control[]
  /** A member of a chain may have its own. */
  readonly message: string | undefined
  readonly logData: string | undefined
}

export type Disruption = 'pass' | 'deny' | 'drop' | 'allow' | 'allow:phase' | 'allow:request' | 'redirect'

/** A rule as it runs: defaults applied, chain joined, updates made. */
export interface Rule {
  readonly kind: 'rule'
  /** 0 for a SecAction without one. */
  readonly id: number
  readonly phase: Phase
  readonly place: Place
  /** The head first; more than one is a chain: all must match. */
  readonly conditions: readonly [Condition, ...Condition[]]
  /** `block` is resolved to what SecDefaultAction says for the phase. */
  readonly disruption: Disruption
  /** Whether the rule says `block`: what an event shows, and what anomaly scoring counts on. */
  readonly blocks: boolean
  readonly status: number
  readonly redirect: string | undefined
  readonly log: boolean
  readonly auditLog: boolean
  readonly message: string | undefined
  readonly logData: string | undefined
  readonly tags: readonly string[]
  /** 0 EMERGENCY … 7 DEBUG (RFC 5424, section 6.2.1). */
  readonly severity: number | undefined
  readonly version: string | undefined
  readonly revision: string | undefined
  readonly maturity: number | undefined
  readonly accuracy: number | undefined
  /** Jump over so many rules after a match. */
  readonly skip: number
  /** Jump behind this marker after a match, within the phase; to its end where there is none. */
  readonly skipAfter: string | undefined
  /** `initcol`: persistent collections, `ip=%{REMOTE_ADDR}`; `setsid`, `setuid` and `setrsc`: session, user, resource. */
  readonly initCollections: readonly { readonly collection: string; readonly key: string }[]
}

/** Where `skipAfter` lands. */
export interface Marker {
  readonly kind: 'marker'
  readonly name: string
  readonly place: Place
}

/** What the Sec… directives that are no rules say. Sizes in bytes. */
export interface Settings {
  readonly engine: 'On' | 'Off' | 'DetectionOnly'
  readonly requestBodyAccess: boolean
  readonly responseBodyAccess: boolean
  readonly responseBodyMimeTypes: readonly string[]
  readonly requestBodyBytesMax: number
  readonly requestBodyNoFilesBytesMax: number
  readonly requestBodyLimitAction: 'Reject' | 'ProcessPartial'
  readonly responseBodyBytesMax: number
  readonly responseBodyLimitAction: 'Reject' | 'ProcessPartial'
  readonly jsonDepthMax: number
  readonly argumentsMax: number
  readonly argumentSeparator: string
  readonly collectionTimeoutSeconds: number
  /** `SecComponentSignature`: which rule sets are loaded, as `OWASP_CRS/4.28.0`. */
  readonly components: readonly string[]
  /** SecUnicodeMapFile: code points to bytes for `urlDecodeUni`; empty: the built-in map of code page 20127. */
  readonly unicodeMap: ReadonlyMap<number, number> | undefined
}

/** Everything that a set of rule files says. */
export interface RuleSet {
  /** By phase; in running order, markers in every phase. */
  readonly phases: Readonly<Record<Phase, readonly (Rule | Marker)[]>>
  readonly settings: Settings
  /** What is accepted but has no effect here, told once at load. */
  readonly warnings: readonly { readonly place: Place; readonly message: string }[]
}
