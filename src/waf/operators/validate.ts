import { isUtf8 } from 'node:buffer'
import type { Place } from '../seclang/rule.ts'
import { hexDigit, noDigit } from '../transform/digits.ts'
import { bytesOf } from '../transform/scratch.ts'
import { type Operator, OperatorError } from './operator.ts'

/** `validateByteRange 9,10,13,32-126`: matches a value in which there is another byte. Parts that hold no number are left out, as in ModSecurity. */
export function validateByteRange(argument: string, place: Place): Operator {
  const allowed = new Uint8Array(256)
  for (const part of argument.split(',')) {
    const numbers = /^\s*(\d+)\s*(?:-\s*(\d+))?/.exec(part)
    if (numbers === null) continue
    const first = Number(numbers[1])
    const last = numbers[2] === undefined ? first : Number(numbers[2])
    if (first > last || last > 255) throw new OperatorError(place, `expected bytes from 0 to 255, found ${part.trim()}`)
    allowed.fill(1, first, last + 1)
  }
  return {
    test(value) {
      const length = value.length
      for (let i = 0; i < length; i++) if (allowed[value.charCodeAt(i)] === 0) return true
      return false
    },
  }
}

/** Matches a value with a `%` that two hexadecimal digits do not follow. */
export const validateUrlEncoding: Operator = {
  test(value) {
    for (let at = value.indexOf('%'); at !== -1; at = value.indexOf('%', at + 3)) {
      if (at + 2 >= value.length) return true
      if (hexDigit[value.charCodeAt(at + 1)] === noDigit || hexDigit[value.charCodeAt(at + 2)] === noDigit) return true
    }
    return false
  },
}

/** Matches a value that is not well-formed UTF-8 (RFC 3629): also overlong forms, surrogates and what lies above U+10FFFF. */
export const validateUtf8Encoding: Operator = {
  test: (value) => !isUtf8(bytesOf(value).subarray(0, value.length)),
}
