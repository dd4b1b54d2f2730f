import type { InjectionDetector } from '../injection/detector.ts'
import type { Budget } from '../regex/budget.ts'
import type { Place } from '../seclang/rule.ts'
import { detectSqli, detectXss } from './detect.ts'
import { ipMatch, ipMatchFromFile } from './ip-match.ts'
import { compareNumbers } from './numbers.ts'
import { type Operator, OperatorError } from './operator.ts'
import { pm, pmFromFile } from './pm.ts'
import { rx, rxGlobal } from './rx.ts'
import { beginsWith, contains, containsWord, endsWith, streq, within } from './texts.ts'
import { validateByteRange, validateUrlEncoding, validateUtf8Encoding } from './validate.ts'
import { verifyCc, verifyCpf, verifySsn, verifySvnr } from './verify.ts'

export { type Operator, OperatorError } from './operator.ts'
export { buildPhraseAutomaton, findPhrase, hasPhrase, type PhraseAutomaton } from './phrases.ts'
export { phrasesOf } from './pm.ts'

/** What an operator is made of. */
interface Use {
  readonly argument: string
  readonly lines: readonly string[]
  readonly place: Place
  readonly injection: InjectionDetector
  readonly budget: Budget | undefined
}

const always: Operator = { test: () => true }
const never: Operator = { test: () => false }

/** By lower-case name. */
const operators: ReadonlyMap<string, (use: Use) => Operator> = new Map(
  Object.entries({
    beginsWith: ({ argument }: Use) => beginsWith(argument),
    contains: ({ argument }: Use) => contains(argument),
    containsWord: ({ argument }: Use) => containsWord(argument),
    detectSQLi: ({ injection }: Use) => detectSqli(injection),
    detectXSS: ({ injection }: Use) => detectXss(injection),
    endsWith: ({ argument }: Use) => endsWith(argument),
    eq: ({ argument }: Use) => compareNumbers('eq', argument),
    ge: ({ argument }: Use) => compareNumbers('ge', argument),
    // There is no database of places here: no address is in it. The parser warns of that.
    geoLookup: () => never,
    gt: ({ argument }: Use) => compareNumbers('gt', argument),
    ipMatch: ({ argument, place }: Use) => ipMatch(argument, place),
    ipMatchF: ({ lines, place }: Use) => ipMatchFromFile(lines, place),
    ipMatchFromFile: ({ lines, place }: Use) => ipMatchFromFile(lines, place),
    le: ({ argument }: Use) => compareNumbers('le', argument),
    lt: ({ argument }: Use) => compareNumbers('lt', argument),
    noMatch: () => never,
    pm: ({ argument }: Use) => pm(argument),
    pmf: ({ lines }: Use) => pmFromFile(lines),
    pmFromFile: ({ lines }: Use) => pmFromFile(lines),
    rx: ({ argument, place, budget }: Use) => rx(argument, place, budget),
    rxGlobal: ({ argument, place, budget }: Use) => rxGlobal(argument, place, budget),
    streq: ({ argument }: Use) => streq(argument),
    strmatch: ({ argument }: Use) => contains(argument),
    unconditionalMatch: () => always,
    validateByteRange: ({ argument, place }: Use) => validateByteRange(argument, place),
    validateUrlEncoding: () => validateUrlEncoding,
    validateUtf8Encoding: () => validateUtf8Encoding,
    verifyCC: ({ argument, place, budget }: Use) => verifyCc(argument, place, budget),
    verifyCPF: ({ argument, place, budget }: Use) => verifyCpf(argument, place, budget),
    verifySSN: ({ argument, place, budget }: Use) => verifySsn(argument, place, budget),
    verifySVNR: ({ argument, place, budget }: Use) => verifySvnr(argument, place, budget),
    within: ({ argument }: Use) => within(argument),
  }).map(([name, make]) => [name.toLowerCase(), make]),
)

/** What the manual names and nothing here can do, and why. A rule with it is refused: one that silently never matches protects nobody. */
const refused: ReadonlyMap<string, string> = new Map(
  Object.entries({
    fuzzyHash: 'needs ssdeep and its database',
    gsbLookup: 'asks the Safe Browsing database of Google, which is not here',
    inspectFile: 'runs a program for each value',
    rbl: 'asks a name server while a request waits',
    rsub: 'changes bodies; it is not implemented in ModSecurity 3 either',
    validateDTD: 'reads XML with external declarations; XML is read without them here',
    validateHash: 'belongs to link encryption; it is not implemented in ModSecurity 3 either',
    validateSchema: 'needs an XML Schema processor; bodies are checked by the OpenAPI document here',
  }).map(([name, reason]) => [name.toLowerCase(), `@${name} ${reason}`]),
)

/** The lower-case names that `compileOperator` takes. */
export const knownOperators: ReadonlySet<string> = new Set(operators.keys())

/**
 * Makes an operator ready to test values. `argument` has its macros expanded; `lines` are those of the file that it names. Throws an `OperatorError`
 * for what cannot be used.
 */
export function compileOperator(
  name: string,
  argument: string,
  lines: readonly string[] | undefined,
  place: Place,
  injection: InjectionDetector,
  budget?: Budget,
): Operator {
  const key = name.toLowerCase()
  const make = operators.get(key)
  if (make !== undefined) return make({ argument, lines: lines ?? [], place, injection, budget })
  throw new OperatorError(place, refused.get(key) ?? `there is no operator @${name}`)
}
