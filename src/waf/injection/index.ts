import { openCarrier } from './carrier.ts'
import type { InjectionDetector } from './detector.ts'
import { createSqliDetector } from './sqli.ts'
import { isXss } from './xss.ts'

export { type InjectionDetector, type InjectionFindings, InjectionUnavailable } from './detector.ts'
export { cannotBeSqli, cannotBeXss, sqliBytes, xssBytes } from './proofs.ts'

/**
 * What `@detectSQLi` and `@detectXSS` ask: one for the process, since it remembers what it has learned. Throws `InjectionUnavailable` where
 * libinjection's carrier cannot be loaded.
 */
export function createInjectionDetector(): InjectionDetector {
  detector ??= create()
  return detector
}

let detector: InjectionDetector | undefined

function create(): InjectionDetector {
  const sqli = createSqliDetector(openCarrier())
  const xss = (values: readonly string[]) => values.map(isXss)
  return { sqli, xss, both: (sqliValues, xssValues) => ({ sqli: sqli(sqliValues), xss: xss(xssValues) }) }
}
