import type { Carrier } from './carrier.ts'
import { createFingerprints, type Fingerprints } from './sql-fingerprints.ts'
import { foldTokens, tokenAt } from './sql-fold.ts'
import { byteOf, kinds, type SqlReading, textOf } from './sql-tokens.ts'
import { learnWords } from './sql-words.ts'

/** By index: the fingerprint of injected SQL, or `undefined`. */
export type SqliDetector = (values: readonly string[]) => readonly (string | undefined)[]

/**
 * libinjection's judgement, reached here: values are read, folded and judged by the code in this folder, so that they may have any bytes and any
 * length. The carrier is asked at load what SQL's words are to it, and later, once for each fingerprint, whether that is on its list.
 */
export function createSqliDetector(ask: Carrier): SqliDetector {
  const reading: SqlReading = {
    words: learnWords(ask),
    text: '',
    at: 0,
    mysql: false,
    quote: 0,
    tokenCount: 0,
    ambiguous: false,
  }
  const fingerprints = createFingerprints(ask, (text) => fingerprintOf(reading, text, 0, false))
  return (values) => {
    fingerprints.forget()
    const unknown = new Set<string>()
    const found = values.map((value) => judge(reading, fingerprints, value, unknown))
    if (unknown.size > 0) {
      fingerprints.learn(unknown)
      unknown.clear()
      for (let i = 0; i < values.length; i++) {
        if (found[i] === undefined) found[i] = judge(reading, fingerprints, values[i]!, unknown)
      }
    }
    return found
  }
}

const single = 0x27
const double = 0x22

/**
 * Reads a value as it stands, then as if it began within a string of either kind. Fingerprints about which the carrier has not been asked yet go to
 * `unknown`.
 */
function judge(
  reading: SqlReading,
  fingerprints: Fingerprints,
  value: string,
  unknown: Set<string>,
): string | undefined {
  if (value === '') return undefined
  let isOpen = false
  const found = judgeWithin(0)
  if (found !== undefined) return found
  if (value.includes("'")) {
    const withinSingle = judgeWithin(single)
    if (withinSingle !== undefined) return withinSingle
  }
  // Only MySQL has strings in double quotes.
  return value.includes('"') ? judgeAs(double, true) : undefined

  function judgeWithin(quote: number): string | undefined {
    const asAnsi = judgeAs(quote, false)
    return asAnsi === undefined && reading.ambiguous ? judgeAs(quote, true) : asAnsi
  }

  function judgeAs(quote: number, mysql: boolean): string | undefined {
    const fingerprint = fingerprintOf(reading, value, quote, mysql)
    const isListed = fingerprints.isListed(fingerprint)
    if (isListed === false || isHarmless(reading, fingerprint)) return undefined
    if (isListed === undefined) {
      unknown.add(fingerprint)
      isOpen = true
    }
    // The first finding counts: none of a later reading while an earlier one is open.
    return isOpen ? undefined : fingerprint
  }
}

function fingerprintOf(reading: SqlReading, text: string, quote: number, mysql: boolean): string {
  reading.text = text
  reading.at = 0
  reading.quote = quote
  reading.mysql = mysql
  reading.tokenCount = 0
  reading.ambiguous = false
  const count = foldTokens(reading)
  if (count === 0) return ''
  const last = tokenAt(count - 1)
  // A backtick that nothing follows is a comment to some.
  const isOpenTick = last.kind === kinds.bareword && last.open === 0x60 && last.length === 0 && last.close === 0
  if (count > 2 && isOpenTick) last.kind = kinds.comment
  let fingerprint = ''
  for (let i = 0; i < count; i++) {
    const { kind } = tokenAt(i)
    if (kind === kinds.evil) return 'X'
    fingerprint += String.fromCharCode(kind)
  }
  return fingerprint
}

/** Short fingerprints are also those of sentences and numbers: here they are told from what an attacker writes. */
function isHarmless(reading: SqlReading, fingerprint: string): boolean {
  const { text } = reading
  const { length } = fingerprint
  if (length > 1 && fingerprint.endsWith('c') && text.includes('sp_password')) return false
  const first = tokenAt(0)
  const second = tokenAt(1)
  if (length === 2) {
    if (second.kind === kinds.union) return reading.tokenCount === 2
    const comment = byteOf(reading, second, 0)
    if (comment === 0x23) return true
    if (first.kind === kinds.bareword && second.kind === kinds.comment && comment !== 0x2f) return true
    if (first.kind === kinds.number && second.kind === kinds.comment) {
      return comment !== 0x2f && reading.tokenCount <= 2 && !endsAsNumber(text, first.length)
    }
    // `1--` is an attack, `1 -- and more` is prose.
    return second.length > 2 && comment === 0x2d
  }
  if (length !== 3) return false
  if (fingerprint === 'sos' || fingerprint === 's&s') {
    // `…' + '…`: strings that began before and end behind the value.
    const third = tokenAt(2)
    return !(first.open === 0 && third.close === 0 && first.close === third.open)
  }
  if (twoSided.has(fingerprint)) return reading.tokenCount === 3
  if (second.kind !== kinds.keyword) return false
  return second.length < 5 || !textOf(reading, second).toLowerCase().startsWith('into')
}

const twoSided: ReadonlySet<string> = new Set(['s&n', 'n&1', '1&1', '1&v', '1&s'])

/** Whether white space or a comment follows so many bytes; of base64 such as `1234-ABC--` neither does. Bytes above 127 are below the space in C. */
function endsAsNumber(text: string, length: number): boolean {
  const byte = text.charCodeAt(length)
  if (length >= text.length || byte <= 0x20 || byte > 0x7f) return true
  return text.startsWith('/*', length) || text.startsWith('--', length)
}
