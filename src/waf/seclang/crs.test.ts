import { describe, expect, test } from 'vitest'
import { crsSources, parse, readData, rulesOf } from '../../../test/kit/rules.ts'
import { type Phase, parseRules, printRule, type Rule } from './index.ts'

const sources = crsSources()

function countBy<Item>(items: Iterable<Item>, keyOf: (item: Item) => string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1
  return counts
}

/** The figures are those of the feasibility study, made with another parser; where they differ, it says why. */
describe.skipIf(sources === undefined)('the Core Rule Set 4.28 (needs ../shared/crs)', () => {
  const set = parseRules(sources ?? [], { readData })
  const rules = rulesOf(set)
  const conditions = rules.flatMap((rule) => rule.conditions)
  const members = (phase: Phase) => set.phases[phase]

  test('is read whole, without a warning', () => {
    expect(rules).toHaveLength(630)
    expect(new Set(rules.map(({ id }) => id)).size).toBe(630)
    // 695 SecRule and 8 SecAction, of which 73 continue a chain.
    expect(conditions).toHaveLength(703)
    expect(conditions.filter(({ targets }) => targets.length === 0)).toHaveLength(8)
    expect(set.warnings).toEqual([])
    expect(set.settings.components).toEqual(['OWASP_CRS/4.28.0'])
  })

  test('has its rules in their phases, and its markers in all of them', () => {
    expect(countBy(rules, ({ phase }) => String(phase))).toEqual({ 1: 173, 2: 292, 3: 43, 4: 109, 5: 13 })
    for (const phase of [1, 2, 3, 4, 5] as const)
      expect(members(phase).filter(({ kind }) => kind === 'marker')).toHaveLength(30)
  })

  test('has the operators of the inventory', () => {
    const uses = conditions.filter(({ targets }) => targets.length > 0).map(({ operator }) => operator)
    expect(countBy(uses, ({ name }) => name)).toEqual({
      rx: 318,
      lt: 190,
      eq: 53,
      ge: 42,
      pmFromFile: 21,
      gt: 15,
      pm: 12,
      streq: 9,
      within: 9,
      endsWith: 6,
      validateByteRange: 6,
      contains: 4,
      ipMatch: 2,
      detectXSS: 2,
      detectSQLi: 2,
      beginsWith: 1,
      unconditionalMatch: 1,
      validateUtf8Encoding: 1,
      validateUrlEncoding: 1,
    })
    // The study counted 43 and 295 in the main branch, later than 4.28.
    expect(uses.filter(({ negated }) => negated)).toHaveLength(42)
    expect(new Set(uses.filter(({ name }) => name === 'rx').map(({ argument }) => argument)).size).toBe(294)
    expect(uses.filter(({ argument }) => argument.includes('%{'))).toHaveLength(30)
    expect(uses.every(({ name, lines }) => (lines !== undefined && lines.length > 0) === (name === 'pmFromFile'))).toBe(
      true,
    )
  })

  test('has the transformations of the inventory, in 42 sequences', () => {
    const counts = countBy(
      conditions.flatMap(({ transformations }) => transformations),
      (name) => name,
    )
    expect(counts).toMatchObject({ urldecodeuni: 140, lowercase: 46, jsdecode: 37, removecommentschar: 1 })
    expect(Object.keys(counts)).toHaveLength(19)
    expect(new Set(conditions.map(({ transformations }) => transformations.join())).size).toBe(42)
    expect(conditions.filter(({ multiMatch }) => multiMatch)).toHaveLength(8)
  })

  test('looks at the variables of the inventory', () => {
    const counts = countBy(
      conditions.flatMap(({ targets }) => targets),
      ({ variable, count }) => `${count ? '&' : ''}${variable}`,
    )
    expect(counts).toMatchObject({
      XML: 351,
      TX: 260,
      '&TX': 30,
      ARGS: 190,
      REQUEST_COOKIES: 166,
      '&REQUEST_HEADERS': 17,
    })
    // The study counted exclusions with them: 149 and 189.
    expect(counts).toMatchObject({ REQUEST_HEADERS: 123, ARGS_NAMES: 187 })
    const exclusions = conditions.flatMap((condition) => condition.exclusions)
    // 55 of them by SecRuleUpdateTargetById: 54 of cookies, one of a name.
    expect(countBy(exclusions, ({ variable }) => variable)).toEqual({
      REQUEST_COOKIES: 54,
      REQUEST_HEADERS: 26,
      ARGS_NAMES: 3,
    })
  })

  test('does what the inventory says', () => {
    const sets = conditions.flatMap(({ setVariables }) => setVariables)
    expect(countBy(sets, ({ operation }) => operation)).toEqual({ add: 611, set: 73 })
    expect(
      countBy(
        conditions.flatMap(({ controls }) => controls),
        ({ name }) => name,
      ),
    ).toEqual({
      ruleRemoveByTag: 3,
      forceRequestBodyVariable: 2,
      auditEngine: 2,
      requestBodyProcessor: 1,
      ruleRemoveById: 1,
      ruleRemoveTargetByTag: 1,
    })
    expect(countBy(rules, ({ disruption, blocks }) => (blocks ? `block, so ${disruption}` : disruption))).toEqual({
      'block, so pass': 345,
      pass: 279,
      deny: 6,
    })
    expect(rules.flatMap(({ tags }) => tags)).toHaveLength(3_089)
    expect(rules.filter(({ message }) => message !== undefined)).toHaveLength(355)
    expect(rules.filter(({ severity }) => severity !== undefined)).toHaveLength(346)
    expect(rules.filter(({ skipAfter }) => skipAfter !== undefined)).toHaveLength(206)
    expect(conditions.filter(({ logData }) => logData !== undefined)).toHaveLength(331)
    expect(conditions.filter(({ capture }) => capture)).toHaveLength(279)
  })

  test('comes back the same when it is printed', () => {
    const plain = (rule: Rule): unknown =>
      JSON.parse(
        JSON.stringify(rule, (key, value: unknown) => (key === 'place' || key === 'lines' ? undefined : value)),
      )
    const printed = rulesOf(parse(rules.map(printRule).join('\n'), { readData: () => '' }))
    expect(printed.map(plain)).toEqual(rules.map(plain))
  })

  test('is the same with the line ends of Windows', () => {
    const windows = (sources ?? []).map(({ name, text }) => ({ name, text: text.replaceAll('\n', '\r\n') }))
    expect(parseRules(windows, { readData }).phases).toEqual(set.phases)
  })

  test('is read in less than 150 ms', () => {
    const times = Array.from({ length: 5 }, () => {
      const start = performance.now()
      parseRules(sources!, { readData })
      return performance.now() - start
    })
    expect(Math.min(...times)).toBeLessThan(150)
  })
})
