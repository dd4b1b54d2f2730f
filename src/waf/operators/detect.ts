import type { InjectionDetector } from '../injection/detector.ts'
import type { Operator } from './operator.ts'

/** The value is SQL that was injected, as libinjection sees it. Captures the fingerprint. */
export function detectSqli(injection: InjectionDetector): Operator {
  // A match is tested and then asked for its fingerprint: one call serves both.
  let lastValue: string | undefined
  let lastFingerprint: string | undefined
  const fingerprintOf = (value: string): string | undefined => {
    if (value !== lastValue) {
      lastFingerprint = injection.sqli([value])[0]
      lastValue = value
    }
    return lastFingerprint
  }
  return {
    test: (value) => fingerprintOf(value) !== undefined,
    captures: (value) => {
      const fingerprint = fingerprintOf(value)
      return fingerprint === undefined ? undefined : [fingerprint]
    },
  }
}

/** The value is script that was injected, as libinjection sees it. Captures the value. */
export function detectXss(injection: InjectionDetector): Operator {
  return {
    test: (value) => injection.xss([value])[0] === true,
    captures: (value) => [value],
  }
}
