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
  const fingerprints = createFingerprints(ask, (text) => {
    readFingerprint(reading, text, 0, false)
    return letters()
  })
  const court: Court = { reading, fingerprints, unknown: new Map() }
  return (values) => {
    fingerprints.forget()
    court.unknown.clear()
    const found = values.map((value) => judge(court, value))
    if (court.unknown.size > 0) {
      fingerprints.learn(court.unknown)
      for (let i = 0; i < values.length; i++) found[i] ??= judge(court, values[i]!)
    }
    return found
  }
}

interface Court {
  readonly reading: SqlReading
  readonly fingerprints: Fingerprints
  /** Fingerprints about which the carrier has not been asked yet. */
  readonly unknown: Map<number, string>
}

const single = 0x27
const double = 0x22

/** What one reading says: nothing, injected SQL, or that the carrier must be asked first. */
const harmless = 0
const injected = 1
const open = 2

/** Reads a value as it stands, then as if it began within a string of either kind. */
function judge(court: Court, value: string): string | undefined {
  let verdict = judgeIn(court, value, 0)
  // The first finding counts: none of a later reading while an earlier one is open.
  let isOpen = verdict === open
  if (verdict !== injected && value.includes("'")) {
    verdict = judgeIn(court, value, single)
    isOpen ||= verdict === open
  }
  if (verdict !== injected && value.includes('"')) {
    // Only MySQL has strings in double quotes.
    verdict = judgeAs(court, value, double, true)
    isOpen ||= verdict === open
  }
  return verdict === injected && !isOpen ? letters() : undefined
}

function judgeIn(court: Court, value: string, quote: number): number {
  const asAnsi = judgeAs(court, value, quote, false)
  if (asAnsi === injected || !court.reading.ambiguous) return asAnsi
  const asMysql = judgeAs(court, value, quote, true)
  return asAnsi === open ? open : asMysql
}

function judgeAs(court: Court, value: string, quote: number, mysql: boolean): number {
  const { reading, fingerprints, unknown } = court
  const code = readFingerprint(reading, value, quote, mysql)
  // No single token is on the list, but for the one of evil.
  if (code < kindsMax && code !== evilCode) return harmless
  const isListed = fingerprints.isListed(code)
  if (isListed === false || isHarmless(reading, fingerprintLength)) return harmless
  if (isListed) return injected
  unknown.set(code, letters())
  return open
}

/* A fingerprint's letters are numbered, five bits each. */
const kindsMax = 32
const numberOf = new Uint8Array(128)
Object.values(kinds).forEach((kind, i) => {
  numberOf[kind] = i
})
const evilCode = numberOf[kinds.evil]!
let fingerprintLength = 0

/** Reads a text; gives the number of its fingerprint, 0 if it has none. Its tokens are where `tokenAt` finds them. */
function readFingerprint(reading: SqlReading, text: string, quote: number, mysql: boolean): number {
  reading.text = text
  reading.at = 0
  reading.quote = quote
  reading.mysql = mysql
  reading.tokenCount = 0
  reading.ambiguous = false
  const count = foldTokens(reading)
  fingerprintLength = count
  if (count === 0) return 0
  const last = tokenAt(count - 1)
  // A backtick that nothing follows is a comment to some.
  const isOpenTick = last.kind === kinds.bareword && last.open === 0x60 && last.length === 0 && last.close === 0
  if (count > 2 && isOpenTick) last.kind = kinds.comment
  let code = 0
  for (let i = 0; i < count; i++) {
    const { kind } = tokenAt(i)
    if (kind === kinds.evil) {
      tokenAt(0).kind = kinds.evil
      fingerprintLength = 1
      return evilCode
    }
    code = code * kindsMax + numberOf[kind]!
  }
  return code
}

/** The letters of the fingerprint read last. */
function letters(): string {
  let text = ''
  for (let i = 0; i < fingerprintLength; i++) text += String.fromCharCode(tokenAt(i).kind)
  return text
}

/** Short fingerprints are also those of sentences and numbers: here they are told from what an attacker writes. */
function isHarmless(reading: SqlReading, length: number): boolean {
  if (length > 3 || length < 2) return false
  const { text } = reading
  if (tokenAt(length - 1).kind === kinds.comment && text.includes('sp_password')) return false
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
  const fingerprint = letters()
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
