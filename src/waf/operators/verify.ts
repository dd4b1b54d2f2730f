import type { Budget } from '../regex/budget.ts'
import type { Place } from '../seclang/rule.ts'
import type { Operator } from './operator.ts'
import { compileAt } from './rx.ts'

/** Something the pattern finds is a credit card number (Luhn). */
export function verifyCc(argument: string, place: Place, budget?: Budget): Operator {
  return verifyFound(argument, isCardNumber, place, budget)
}

/** Something the pattern finds is a Brazilian tax number. */
export function verifyCpf(argument: string, place: Place, budget?: Budget): Operator {
  return verifyFound(argument, isCpf, place, budget)
}

/** Something the pattern finds can be a social security number of the United States. */
export function verifySsn(argument: string, place: Place, budget?: Budget): Operator {
  return verifyFound(argument, isSsn, place, budget)
}

/** Something the pattern finds is an Austrian social security number. */
export function verifySvnr(argument: string, place: Place, budget?: Budget): Operator {
  return verifyFound(argument, isSvnr, place, budget)
}

/** Tries what the pattern finds from each place of the value on, so that a wrong number cannot hide the right one it overlaps. */
function verifyFound(
  argument: string,
  isValid: (digits: readonly number[]) => boolean,
  place: Place,
  budget: Budget | undefined,
): Operator {
  const pattern = compileAt(argument, place)
  const find = (value: string): string | undefined => {
    for (let from = 0; from < value.length; ) {
      const bounds = pattern.find(value, from, budget)
      if (bounds === undefined) return undefined
      const found = value.slice(bounds.start, bounds.end)
      if (isValid(digitsOf(found))) return found
      from = bounds.start + 1
    }
    return undefined
  }
  return {
    test: (value) => find(value) !== undefined,
    captures: (value) => {
      const found = find(value)
      return found === undefined ? undefined : [found]
    },
  }
}

function digitsOf(text: string): readonly number[] {
  const digits: number[] = []
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit >= 0 && digit <= 9) digits.push(digit)
  }
  return digits
}

/** ISO/IEC 7812-1, annex B: every second digit from the right counts twice. */
function isCardNumber(digits: readonly number[]): boolean {
  if (digits.length === 0) return false
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = digits[digits.length - 1 - i]!
    const weighted = i % 2 === 0 ? digit : digit * 2
    sum += weighted > 9 ? weighted - 9 : weighted
  }
  return sum % 10 === 0
}

function isCpf(all: readonly number[]): boolean {
  const digits = all.slice(0, 11)
  if (digits.length < 11 || isRepeated(digits) || digits.join('') === '01234567890') return false
  return checkDigit(digits, 9) === digits[9] && checkDigit(digits, 10) === digits[10]
}

/** The digit that follows `count` others: they count from `count + 1` down to 2, modulo 11. */
function checkDigit(digits: readonly number[], count: number): number {
  let sum = 0
  for (let i = 0; i < count; i++) sum += digits[i]! * (count + 1 - i)
  const rest = sum % 11
  return rest < 2 ? 0 : 11 - rest
}

/** Area, group and serial number: no field is all zeros, areas from 740 and 666 were never given, nor numbers that only repeat or rise. */
function isSsn(digits: readonly number[]): boolean {
  if (digits.length !== 9 || isRepeated(digits)) return false
  if (digits.every((digit, i) => i === 0 || digit === digits[i - 1]! + 1)) return false
  const area = Number(digits.slice(0, 3).join(''))
  const group = Number(digits.slice(3, 5).join(''))
  const serial = Number(digits.slice(5).join(''))
  return area > 0 && group > 0 && serial > 0 && area < 740 && area !== 666
}

const svnrWeights: readonly number[] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]

/** The fourth digit checks the others. A sum of 10 has no digit; it counts as 0, as in ModSecurity. */
function isSvnr(all: readonly number[]): boolean {
  const digits = all.slice(0, 10)
  if (digits.length < 10 || isRepeated(digits) || digits.join('') === '0123456789') return false
  const sum = digits.reduce((total, digit, i) => total + digit * svnrWeights[i]!, 0)
  return (sum % 11) % 10 === digits[3]
}

function isRepeated(digits: readonly number[]): boolean {
  return digits.every((digit) => digit === digits[0])
}
