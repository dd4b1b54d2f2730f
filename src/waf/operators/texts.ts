import type { Operator } from './operator.ts'

/** The value is the argument, byte for byte. */
export function streq(argument: string): Operator {
  return { test: (value) => value === argument }
}

/** The value begins with the argument. */
export function beginsWith(argument: string): Operator {
  return { test: (value) => value.startsWith(argument) }
}

/** The value ends with the argument. */
export function endsWith(argument: string): Operator {
  return { test: (value) => value.endsWith(argument) }
}

/** `contains` and `strmatch`: the argument stands somewhere in the value. */
export function contains(argument: string): Operator {
  return { test: (value) => value.includes(argument) }
}

/** The value stands somewhere in the argument; the empty one does anywhere. */
export function within(argument: string): Operator {
  return { test: (value) => argument.includes(value) }
}

/** The argument stands in the value with no letter before or behind it. */
export function containsWord(argument: string): Operator {
  return {
    test(value) {
      if (argument === '') return true
      for (let at = value.indexOf(argument); at !== -1; at = value.indexOf(argument, at + 1)) {
        if (!isLetter(value.charCodeAt(at - 1)) && !isLetter(value.charCodeAt(at + argument.length))) return true
      }
      return false
    },
  }
}

/** `NaN`, which stands before the first and behind the last byte, is none. */
function isLetter(byte: number): boolean {
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x7a
}
