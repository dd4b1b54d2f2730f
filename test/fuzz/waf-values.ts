import { join } from 'node:path'
import { readRequest } from '../../src/crs/ftw/in-process.ts'
import { readTests } from '../../src/crs/ftw/read.ts'
import { parseCookies, parseUrlEncoded, splitUri } from '../../src/waf/body/index.ts'
import type { Node } from '../../src/waf/regex/ast.ts'
import { parsePattern } from '../../src/waf/regex/parse.ts'
import type { RuleSet } from '../../src/waf/seclang/rule.ts'
import { writeMatch } from '../kit/patterns.ts'
import { pick, type Random } from '../kit/random-rules.ts'
import { rulesOf } from '../kit/rules.ts'
import { readCorpus } from './fuzz.ts'

/** What values are made of. */
export interface Source {
  readonly payloads: readonly string[]
  /** Trees of the patterns of rules: texts that they match come from these. */
  readonly trees: readonly Node[]
}

const payloadBytesMax = 1_500

/** Our own attacks, the values of all requests of the Core Rule Set's tests where they are there, and patterns of rules. */
export function sourceOf(crs: string | undefined, rules: readonly RuleSet[]): Source {
  const payloads = new Set([...readCorpus('attacks'), ...readCorpus('injections'), ...readCorpus('encodings')])
  for (const { stages } of crs === undefined ? [] : readTests(join(crs, 'regression'))) {
    for (const { request } of stages) for (const value of valuesOf(request)) payloads.add(value)
  }
  const patterns = new Set<string>()
  for (const rule of rules.flatMap(rulesOf)) {
    for (const { operator } of rule.conditions) {
      if (/^rx/i.test(operator.name) && !operator.argument.includes('%{')) patterns.add(operator.argument)
    }
  }
  return {
    payloads: [...payloads].filter(({ length }) => length > 0 && length <= payloadBytesMax),
    trees: [...patterns].map((pattern) => parsePattern(pattern).node),
  }
}

function valuesOf(bytes: Buffer): string[] {
  const request = readRequest(bytes, '')
  if (request === undefined) return []
  const { head, body } = request
  const { queryString, filename } = splitUri(head.uri)
  const text = body?.toString('latin1') ?? ''
  const pairs = [
    ...parseUrlEncoded(queryString).arguments,
    ...parseUrlEncoded(text).arguments,
    ...parseCookies(head.headers.filter((_, at) => at % 2 === 1 && /^cookie$/i.test(head.headers[at - 1]!))),
  ]
  return [filename, queryString, text, ...head.headers, ...pairs.flatMap(({ name, value }) => [name, value])]
}

/** A value: a payload or what a pattern matches, mutated. */
export function randomValue(random: Random, source: Source): string {
  let value = random(3) === 0 ? writeMatch(pick(random, source.trees), random) : pick(random, source.payloads)
  for (let changes = [0, 0, 1, 1, 2, 3, 5][random(7)]!; changes > 0; changes--) value = mutate(random, value, source)
  return value.slice(0, payloadBytesMax)
}

function mutate(random: Random, value: string, source: Source): string {
  const at = random(value.length + 1)
  const end = Math.min(value.length, at + 1 + random(12))
  const some = (change: (char: string) => string, chars: RegExp = /[\s\S]/g) => {
    const share = 1 + random(8)
    return value.replace(chars, (char) => (random(share) === 0 ? change(char) : char))
  }
  const insert = (text: string) => value.slice(0, at) + text + value.slice(at)
  switch (random(26)) {
    case 0:
      return insert(pick(random, source.payloads).slice(0, 60))
    case 1: {
      const other = pick(random, source.payloads)
      return value.slice(0, at) + other.slice(random(other.length + 1))
    }
    case 2:
      return random(2) === 0 ? value.slice(0, at) : value.slice(at)
    case 3:
      return value.slice(0, at) + value.slice(end)
    case 4:
      return some((char) => (char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase()), /[A-Za-z]/g)
    case 5:
      return random(2) === 0 ? value.toUpperCase() : value.replace(/[A-Z]/g, (char) => char.toLowerCase())
    case 6:
      return some((char) => `%${hex(char, random)}`)
    case 7:
      return some((char) => `%u00${hex(char, random)}`)
    case 8:
      return some((char) => `%uff${(char.charCodeAt(0) - 0x20).toString(16).padStart(2, '0')}`, /[!-~]/g)
    case 9:
      return some(
        (char) => `&#${random(2) === 0 ? `x${hex(char, random)}` : char.charCodeAt(0)}${random(3) === 0 ? '' : ';'}`,
      )
    case 10:
      return value.replace(/[<>"&]/g, (char) => ({ '<': '&lt;', '>': '&gt', '"': '&quot;', '&': '&amp;' })[char]!)
    case 11:
      return some((char) =>
        pick(random, [
          `\\x${hex(char, random)}`,
          `\\u00${hex(char, random)}`,
          `\\${char.charCodeAt(0).toString(8)}`,
          `\\${char}`,
        ]),
      )
    case 12:
      return some((char) => `\\${random(2) === 0 ? '0000' : ''}${hex(char, random)}${random(2) === 0 ? ' ' : ''}`)
    case 13: {
      const encoded = Buffer.from(value, 'latin1').toString('base64')
      return pick(random, [
        encoded,
        encoded.replace(/=+$/, ''),
        encoded.slice(0, random(encoded.length + 1)),
        `${encoded}!`,
        encoded.replace(/.{20}/g, '$&\n'),
      ])
    }
    case 14:
      return random(2) === 0
        ? Buffer.from(value, 'latin1').toString('hex')
        : `0x${Buffer.from(value, 'latin1').toString('hex')}`
    case 15:
      return insert(pick(random, ['/**/', '/*!', '*/', '/*x*/', '--', '#', '<!--', '-->', '/*']))
    case 16:
      return some(
        () => pick(random, ['/**/', '\t', '\n', '\v', '+', '\xa0', '\xc2\xa0', '  ', '\r\n', '%09', '']),
        / /g,
      )
    case 17:
      return insert(
        pick(random, ['\0', '%00', '\\0', '\x01', '\x7f', '\xff', '\xc2\x85', '\xe2\x80\xa8', '\xf0\x9f\x98\x80']),
      )
    case 18:
      return some(
        (char) =>
          pick(random, [
            `\xc0${String.fromCharCode(0x80 | (char.charCodeAt(0) & 0x3f))}`,
            `\xef\xbc${String.fromCharCode(0x80 | ((char.charCodeAt(0) - 0x20) & 0x3f))}`,
          ]),
        /[!-~]/g,
      )
    case 19:
      return some((char) => char + pick(random, ['^', '"', "'", '\\', "''", '""', '$@', '`']), /[a-z]/gi)
    case 20:
      return insert(pick(random, ['../', '/./', '//', '..\\', '\\\\', '/../', '%2e%2e%2f', '.']))
    case 21:
      // What a proof by alphabet leaves out: the same without its punctuation.
      return value.replace(
        pick(random, [/[^\w]/g, /[^\w.-]/g, /[^\w\-. ,/:]/g, /[^\w\-. ,/:+@=&?%]/g, /[<>{}[\]$|*#]/g]),
        '',
      )
    case 22:
      return value.slice(0, at) + value.slice(at, end).repeat(1 + random(12)) + value.slice(end)
    case 23:
      return insert(pick(random, [...`'"()<>;=,|&!@#$%^*+-/\\:.?[]{}\`~_ `]))
    case 24:
      return insert(String.fromCharCode(random(256)))
    default:
      return pick(random, [
        `the ${value}`,
        `${value} and so on`,
        `a=${value}&b=1`,
        `${value}\n`,
        ` ${value} `,
        `"${value}"`,
        `(${value})`,
      ])
  }
}

function hex(char: string, random: Random): string {
  const digits = char.charCodeAt(0).toString(16).padStart(2, '0')
  return random(2) === 0 ? digits : digits.toUpperCase()
}
