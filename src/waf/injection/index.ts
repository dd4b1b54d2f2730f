import { openCarrier } from './carrier.ts'
import type { InjectionDetector } from './detector.ts'
import { createSqliDetector } from './sqli.ts'
import { isXss } from './xss.ts'

export { type InjectionDetector, type InjectionFindings, InjectionUnavailable } from './detector.ts'
export { cannotBeSqli, cannotBeXss, sqliBytes, xssBytes } from './proofs.ts'

/** Makes what `@detectSQLi` and `@detectXSS` ask. Throws `InjectionUnavailable` where libinjection's carrier cannot be loaded. */
export function createInjectionDetector(): InjectionDetector {
  const sqli = createSqliDetector(openCarrier())
  const xss = (values: readonly string[]) => values.map(isXss)
  return { sqli, xss, both: (sqliValues, xssValues) => ({ sqli: sqli(sqliValues), xss: xss(xssValues) }) }
}
