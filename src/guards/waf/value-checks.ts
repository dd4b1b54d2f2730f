import type { TextFact, ValueForm } from '../../openapi/operation.ts'
import { type Node, parsePattern } from '../../openapi/pattern-syntax.ts'

/**
 * Tests that prove a value harmless by looking at the value alone. What the document says only decides which test a field
 * gets: it need not be right, nor need anybody enforce it. All values are bytes.
 */
export type Check = (value: string) => boolean

/** Longer than any identifier, shorter than anything that is worth hiding something in. */
const wordLengthMax = 128
const numberLengthMax = 40
/** So short a field holds codes: currencies, countries, units. */
const tinyLengthMax = 8

function alphabet(characters: string): Uint8Array {
  const set = new Uint8Array(256)
  for (let i = 0; i < characters.length; i++) set[characters.charCodeAt(i)] = 1
  return set
}

const digits = '0123456789'
const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
const word = alphabet(`${letters}${digits}_-`)
const number = alphabet(`${digits}+-.eE`)
const hex = alphabet(`${digits}abcdefABCDEF-`)
/** RFC 3339 dates and times, ISO 8601 durations. */
const time = alphabet(`${digits}TtZz:.+-PYMWDHS`)

const within =
  (set: Uint8Array, lengthMax: number): Check =>
  (value) => {
    if (value.length > lengthMax) return false
    for (let i = 0; i < value.length; i++) if (set[value.charCodeAt(i)] !== 1) return false
    return true
  }

const isNumber = within(number, numberLengthMax)
const ofWord = within(word, wordLengthMax)
/** Among words these alone are an attack by themselves: the name that reaches every object's prototype, and a serialized Java object. */
const isWord: Check = (value) => ofWord(value) && !value.includes('__proto__') && !value.startsWith('rO0AB')

/** `true`, `1.5e3`, `null`, nothing: what is no text in JSON, as it is written. */
export const isLiteral: Check = (value) => isNumber(value) || value === 'true' || value === 'false' || value === 'null'

const formats: Readonly<Record<string, Check>> = {
  uuid: within(hex, 36),
  date: within(time, 40),
  'date-time': within(time, 40),
  time: within(time, 40),
  duration: within(time, 40),
}

/** The test for texts of this form; `undefined` where any text may stand. */
export function textCheck({ texts }: ValueForm): Check | undefined {
  const checks: Check[] = []
  for (const facts of texts) {
    const check = firstOf(facts, checkOf)
    // One alternative that takes free text makes the whole field free.
    if (check === undefined) return undefined
    if (!checks.includes(check)) checks.push(check)
  }
  const [only] = checks
  return checks.length === 1 ? only : (value) => checks.some((check) => check(value))
}

function firstOf<T, R>(list: readonly T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of list) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}

function checkOf(fact: TextFact): Check | undefined {
  switch (fact.kind) {
    case 'values': {
      const values = new Set([...fact.values].map(bytesOf))
      return (value) => values.has(value)
    }
    case 'format':
      return Object.hasOwn(formats, fact.format) ? formats[fact.format] : undefined
    case 'pattern':
      return isOfWords(fact.source) ? isWord : undefined
    case 'length':
      return fact.max <= tinyLengthMax ? within(word, fact.max) : undefined
  }
}

/** A text of the document as the bytes that stand for it on the wire. */
export function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** Whether a pattern takes nothing but letters, digits, `_` and `-`, from the beginning of a value to its end. */
export function isOfWords(source: string): boolean {
  const root = parsePattern(source, true)?.root
  if (root === undefined) return false
  const parts = root.kind === 'cat' ? root.parts : [root]
  const first = parts[0]
  const last = parts.at(-1)
  if (first?.kind !== 'assert' || first.what !== '^' || last?.kind !== 'assert' || last.what !== '$') return false
  return parts.length > 2 && parts.slice(1, -1).every(takesWords)
}

function takesWords(node: Node): boolean {
  switch (node.kind) {
    case 'set': {
      for (let i = 0; i < node.ranges.length; i += 2) {
        const [from, to] = [node.ranges[i]!, node.ranges[i + 1]!]
        if (to > 0x7f) return false
        for (let code = from; code <= to; code++) if (word[code] !== 1) return false
      }
      return true
    }
    case 'cat':
    case 'alt':
      return node.parts.every(takesWords)
    case 'repeat':
      return takesWords(node.body)
    case 'assert':
      return true
    case 'look':
    case 'back':
      return false
  }
}
