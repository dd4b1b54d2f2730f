import type { Carrier } from './carrier.ts'
import { hashesMax, hashOn, kinds, type SqlWords } from './sql-tokens.ts'
import { phrases, vocabulary } from './sql-vocabulary.ts'

/**
 * Asks what each word is, by giving it where any kind but functions, types and bare words makes a fingerprint that is on the list, then where
 * functions do, then where types do. The fingerprint's second letter is the answer.
 */
export function learnWords(ask: Carrier): SqlWords {
  const words = [...new Set([...vocabulary, ...phrases])]
  const inGeneral = ask(words.map((word) => `'a' ${word} abs ( ) `))
  const asFunctions = ask(words.map((word) => `1 ${word} ( 'a' ) `))
  const asTypes = ask(words.map((word) => `1 ${word} select ( 1 `))
  const kindOf = new Map<string, number>()
  words.forEach((word, i) => {
    const print = inGeneral[i]
    if (print?.startsWith('s') && print.endsWith('f()')) kindOf.set(word, print.charCodeAt(1))
    else if (asFunctions[i]?.startsWith('1f(')) kindOf.set(word, kinds.function)
    else if (asTypes[i]?.startsWith('1tE(')) kindOf.set(word, kinds.type)
  })
  // Folding makes something else of these before the answer is seen.
  for (const word of ['in', 'not in']) kindOf.set(word, kinds.keyword)
  for (const word of ['database', 'password', 'user', 'user_id', 'user_name']) kindOf.delete(word)
  // A phrase is put together word by word, so what it begins with is one already.
  for (const phrase of phrases) {
    if (!kindOf.has(phrase)) continue
    for (
      let end = phrase.lastIndexOf(' ');
      phrase.slice(0, end).includes(' ');
      end = phrase.lastIndexOf(' ', end - 1)
    ) {
      const beginning = phrase.slice(0, end)
      if (!kindOf.has(beginning)) kindOf.set(beginning, kinds.bareword)
    }
  }
  return {
    kindOf: (text) => kindOf.get(text.toLowerCase()) ?? kinds.none,
    mayBeWord: hashesOf([...kindOf.keys()]),
    mayBegin: hashesOf(
      [...kindOf.keys()].filter((word) => word.includes(' ')).map((word) => word.slice(0, word.lastIndexOf(' '))),
    ),
  }
}

function hashesOf(texts: readonly string[]): Uint8Array {
  const flags = new Uint8Array(hashesMax)
  for (const text of texts) {
    let hash = 0
    for (let i = 0; i < text.length; i++) hash = hashOn(hash, text.charCodeAt(i))
    flags[hash] = 1
  }
  return flags
}
