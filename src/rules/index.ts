/**
 * A small language for conditions and values over facts, such as those of a request: read and checked once, asked in well
 * under a microsecond. It knows nothing of requests: a scope says what can be asked for. See README.md.
 */
export { compileRule, compileValue, type Failure, type Rule, type Value, type Wants } from './compile.ts'
export { RuleError } from './rule-error.ts'
export { type Kind, type Name, type RuleScope, unreadable } from './scope.ts'
