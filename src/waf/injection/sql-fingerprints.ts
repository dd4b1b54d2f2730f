import type { Carrier } from './carrier.ts'

/** Whether a fingerprint is on libinjection's list. Fingerprints are told by a number, `codeOf`, since a string for each value would be made in vain. */
export interface Fingerprints {
  /** `undefined` while that has not been asked. */
  isListed(code: number): boolean | undefined
  /** Asks about all of them in one call. What was learned holds until `forget`. */
  learn(fingerprints: ReadonlyMap<number, string>): void
  /** Makes room, where too many are remembered. */
  forget(): void
}

/**
 * Fingerprints that libinjection lists and libddwaf's build of it leaves out, since they are also those of passwords and sentences. Rule sets count on
 * them: with `s&1` and `f(1)` missing, CRS does not find `x' and 526=527` and `sleep(20)`.
 */
const leftOut: ReadonlySet<string> = new Set(
  `
&NO(N 1&(S& 1&1KN 1&NKN 1&NOV 1&NTN 1)C 1)O(N 1)O(V 1)O1 1C 1KN&1 1KN&N 1KVC 1N(VO 1NENO 1O(N) 1OF(1 1OV 1OVC 1TNKN
E1NKN EF(N) EKNKN EN,F( EN1OF ENK(N ENKNB ENKNK EOKNK EVN F()1N F(1) F(N) F(N)K F(N)O F(NOS K(N)O KNK(N N&(N& N&(N)
N&(NO N&(S& N&(SO N&1 N&1OF N&KNK N&N)& N&N)O N&NK1 N&NO( N&NOF N&NOS N&SBN N&SO( N&SO1 N&SON N&SOS N)&(N N)ON; N)ONC
N)OV N,F(1 N1O(1 N1O(N N1OS1 NB1 NBN&N NBNKN NC NE(N) NENTN NF(1) NK(1) NK1&N NK1OF NKN&F NO(1O NO(N& NO(N, NO(NO
NO(S) NO(V) NOF(1 NOF(N NOK(1 NOK(F NOK(N NOS&( NOS&N NOS&S NOS; NOV; NOV;N NOVC NTENN NTN1O NTNEN NTNKN NTNN: NTNNO
NTNTN NTTNN NU(1) NU(N) S&(N& S&(N) S&(S& S&1 S&N S&N)& S&NO( S&NOS S&S)& S&SO1 S,(N) S1VC SBS SBSKS SF(N) SKN&N SKSBS
SO(N) SO1&N SO1&S SON&N SON&S SON(1 SON); SON;N SOS STNKN STNN: SU(N) SUONS VOS VTNKN
`
    .trim()
    .split(/\s+/),
)

export function isLeftOut(fingerprint: string): boolean {
  return leftOut.has(fingerprint.toUpperCase())
}

/** There are hundreds of thousands of possible ones, of which requests that are no attack know a few hundred. */
const rememberedMax = 50_000

export function createFingerprints(ask: Carrier, fingerprintOf: (text: string) => string): Fingerprints {
  let remembered = new Map<number, boolean>()
  return {
    isListed: (code) => remembered.get(code),
    learn(fingerprints) {
      const asked: { readonly code: number; readonly key: string; readonly text: string }[] = []
      for (const [code, fingerprint] of fingerprints) {
        // The list has capital letters only: a type and a word of T-SQL are one to it.
        const key = fingerprint.toUpperCase()
        const isKnown = key === 'X' || isLeftOut(key)
        const text = isKnown ? undefined : (examples[key] ?? exampleOf(key, fingerprintOf))
        // What no example can be made of does not come up: each entry of the list that does has one.
        if (text === undefined) remembered.set(code, isKnown)
        else asked.push({ code, key, text })
      }
      const answers = asked.length === 0 ? [] : ask(asked.map(({ text }) => text))
      asked.forEach(({ code, key }, i) => {
        remembered.set(code, answers[i]?.toUpperCase() === key)
      })
    },
    forget() {
      if (remembered.size > rememberedMax) remembered = new Map()
    },
  }
}

/**
 * Words for each letter, the first of which folding leaves alone. What is folded depends on more than letters, though: IN becomes an operator or a bare
 * word, USER a bare word, and two strings one, when those before them have been looked at already. So others are tried where the first do not fit.
 */
const words: Readonly<Record<string, readonly string[]>> = {
  K: ['from'],
  U: ['union'],
  B: ['having'],
  E: ['select'],
  T: ['declare'],
  F: ['abs'],
  N: ['foo', 'in', 'user'],
  '1': ['1'],
  V: ['@a'],
  S: ['$$a$$', '$$a$$ $$a$$'],
  O: ['=', 'in'],
  '&': ['and'],
  C: ['/*a*/'],
  A: ['collate'],
  '.': ['.'],
  // Before the end of a value it would be an operator.
  ':': [': '],
  '?': ['?'],
  '(': ['('],
  ')': [')'],
  '{': ['{'],
  '}': ['}'],
  ',': [','],
  ';': [';'],
}

/**
 * Texts for those short fingerprints that count only under conditions: enough tokens were folded, strings were left open, a comment says
 * `sp_password`, a keyword is INTO OUTFILE.
 */
const examples: Readonly<Record<string, string>> = {
  '1U': '1 = 1 union',
  NU: 'foo = foo union',
  VU: '@a = @a union',
  SU: '$$a$$ $$a$$ union',
  'S&S': "a' and 'b",
  'S&N': '$$a$$ $$a$$ and foo',
  'N&1': 'foo = foo and 1',
  '1&1': '1 = 1 and 1',
  '1&V': '1 = 1 and @a',
  '1&S': '1 = 1 and $$a$$',
}

/** A text with that fingerprint, of which every choice of words is tried. What would come sixth can tell what the fifth is. */
function exampleOf(key: string, fingerprintOf: (text: string) => string): string | undefined {
  const choices: (readonly string[])[] = []
  for (let i = 0; i < key.length; i++) {
    const letter = key[i]!
    const isLast = i === key.length - 1
    const choice = words[letter]
    if (choice === undefined) return undefined
    if (isLast && i > 0 && letter === 'C') choices.push(['/*sp_password*/'])
    else if (key.length === 3 && i === 1 && letter === 'K') choices.push(['into outfile'])
    else choices.push(isLast ? [...choice, ...choice.map((word) => `${word} (`)] : choice)
  }
  const fits = (text: string, i: number): string | undefined => {
    if (i === choices.length) return fingerprintOf(text).toUpperCase() === key ? text : undefined
    for (const word of choices[i]!) {
      const found = fits(i === 0 ? word : `${text} ${word}`, i + 1)
      if (found !== undefined) return found
    }
    return undefined
  }
  return fits('', 0)
}
