/**
 * A WAF as a library: rules in SecLang, the language of ModSecurity and the OWASP Core Rule Set, over requests and responses.
 * Pure: no file, socket, clock or process is touched. Start with `parseRules`, then `compileProgram`, then `program.begin`.
 */
export * from './engine/index.ts'
export { createInjectionDetector, type InjectionDetector, InjectionUnavailable } from './injection/index.ts'
export { compilePattern, type Pattern, PatternError } from './regex/index.ts'
export {
  defaultSettings,
  type ParseOptions,
  type Problem,
  parseRules,
  RuleError,
  type Source,
  severities,
} from './seclang/index.ts'
export type * from './seclang/rule.ts'
