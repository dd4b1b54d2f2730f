import { Buffer } from 'node:buffer'
import type { Operator } from './operator.ts'
import { buildPhraseAutomaton, findPhrase, hasPhrase } from './phrases.ts'

/** One of the words of the argument occurs in the value, in any case. Bytes may be written `|0d0a|`, and `\:`, `\;`, `\"`, `\\`. */
export function pm(argument: string): Operator {
  return matchPhrases(phrasesOf(argument))
}

/** One of the lines of a file occurs in the value, in any case. */
export function pmFromFile(lines: readonly string[]): Operator {
  return matchPhrases(lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line)))
}

/** The words of an argument of `pm`. */
export function phrasesOf(argument: string): readonly string[] {
  const trimmed = argument.trim()
  const isQuoted = trimmed.length >= 2 && trimmed.startsWith('"') && trimmed.endsWith('"')
  return (isQuoted ? trimmed.slice(1, -1) : trimmed)
    .split(/[ \t\n\v\f\r]+/)
    .filter((word) => word !== '')
    .map(decodeWord)
}

const escapes = ':;\\"'

/** A word as Snort writes bytes; as it is, where it is not well formed. */
function decodeWord(word: string): string {
  let decoded = ''
  for (let i = 0; i < word.length; i++) {
    const char = word[i]!
    if (char === '|') {
      const close = word.indexOf('|', i + 1)
      const bytes = close === -1 ? '' : word.slice(i + 1, close)
      if (close === -1 || bytes.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(bytes)) return word
      decoded += Buffer.from(bytes, 'hex').toString('latin1')
      i = close
    } else if (char === '\\') {
      const escaped = word[++i]
      if (escaped === undefined || !escapes.includes(escaped)) return word
      decoded += escaped
    } else {
      decoded += char
    }
  }
  return decoded
}

function matchPhrases(phrases: readonly string[]): Operator {
  const automaton = buildPhraseAutomaton(phrases)
  return {
    test: (value) => hasPhrase(automaton, value),
    captures: (value) => {
      const found = findPhrase(automaton, value)
      return found === undefined ? undefined : [found]
    },
  }
}
