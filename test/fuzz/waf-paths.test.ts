import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compileProgram, type Program, type Refinement } from '../../src/waf/engine/index.ts'
import { createInjectionDetector, InjectionUnavailable } from '../../src/waf/injection/index.ts'
import { parseRules } from '../../src/waf/seclang/index.ts'
import type { RuleSet } from '../../src/waf/seclang/rule.ts'
import { accountOf, randomOf, run, injection as stub } from '../kit/random-rules.ts'
import { crsSources, readData } from '../kit/rules.ts'
import { sharedPath } from '../kit/shared.ts'
import { exchangeOf, minimise, randomSent, type Sent } from './waf-requests.ts'
import { randomValue, sourceOf } from './waf-values.ts'

const values = Number(process.env.FUZZ_RUNS ?? 1_500)
const seed = Number(process.env.FUZZ_SEED ?? 1)

const folder = new URL('../../rules/', import.meta.url).pathname
const own = parseRules(
  [
    'base.conf',
    ...globSync('*.conf', { cwd: folder })
      .filter((name) => name !== 'base.conf')
      .sort(),
  ].map((name) => ({
    name,
    text: readFileSync(folder + name, 'latin1'),
  })),
)
const crs = crs4()
const source = sourceOf(sharedPath('crs'), crs === undefined ? [own] : [own, crs])

function crs4(): RuleSet | undefined {
  const sources = crsSources()
  const settings =
    'SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html application/json'
  return sources && parseRules([{ name: 'settings.conf', text: settings }, ...sources], { readData })
}

/** The same rules under both evaluators. */
interface Pair {
  readonly name: string
  readonly plain: Program
  readonly fast: Program
}

/** At the lowest level as it blocks, at the highest without blocking, so that all phases run. */
function pairsOf(name: string, rules: RuleSet, variable: string, highest: string): Pair[] {
  const [plain, fast] = (['plain', 'fast'] as const).map((evaluator) => {
    return compileProgram(rules, { injection: detector(), evaluator, variables: { [variable]: highest } })
  })
  const pairOf = (level: string, refinement: Refinement): Pair => ({
    name: `${name} at ${level}`,
    plain: plain!.refine(refinement),
    fast: fast!.refine(refinement),
  })
  return [pairOf('1', { variables: { [variable]: '1' } }), pairOf(highest, { engine: 'DetectionOnly' })]
}

function detector(): typeof stub {
  try {
    return createInjectionDetector()
  } catch (error) {
    if (error instanceof InjectionUnavailable) return stub
    throw error
  }
}

function accountAfter(program: Program, sent: Sent): { matches: readonly unknown[] } {
  const steps = run(program, exchangeOf(sent))
  for (;;) {
    const { done, value } = steps.next()
    if (done) return accountOf(program, value) as { matches: readonly unknown[] }
  }
}

function differs({ plain, fast }: Pair, sent: Sent): boolean {
  return JSON.stringify(accountAfter(plain, sent)) !== JSON.stringify(accountAfter(fast, sent))
}

/** Sends values to each pair of programs until there were enough. */
function fuzzPaths(pairs: readonly Pair[]): void {
  const random = randomOf(seed)
  let made = 0
  let matched = 0
  const value = () => {
    made++
    return randomValue(random, source)
  }
  while (made < values) {
    const sent = randomSent(random, value)
    for (const pair of pairs) {
      const account = accountAfter(pair.plain, sent)
      if (account.matches.length > 0) matched++
      if (JSON.stringify(account) === JSON.stringify(accountAfter(pair.fast, sent))) continue
      const smallest = minimise(sent, (some) => differs(pair, some))
      const where = `FUZZ_SEED=${seed}, after ${made} values: ${pair.name}, ${JSON.stringify(smallest)}`
      expect(accountAfter(pair.fast, smallest), where).toEqual(accountAfter(pair.plain, smallest))
    }
  }
  expect(matched).toBeGreaterThan(values / 200)
}

const time = 60_000 + values * 50

test(
  'both evaluators match the same of mutated attacks with our own rules',
  () => {
    fuzzPaths(pairsOf('own', own, 'portcullis_paranoia', '3'))
  },
  time,
)

test.skipIf(crs === undefined)(
  'both evaluators match the same of mutated attacks with the Core Rule Set',
  () => {
    fuzzPaths(pairsOf('crs', crs!, 'blocking_paranoia_level', '4'))
  },
  time,
)
