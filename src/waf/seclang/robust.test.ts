import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crsSources } from '../../../test/kit/rules.ts'
import { type ParseOptions, parseRules, RuleError } from './index.ts'

const crs = crsSources()
const options: ParseOptions = { readData: () => 'a\n#b\nc', include: () => [] }

/** Whether the text was read. Anything thrown but a RuleError fails the test. */
function reads(text: string): boolean {
  try {
    parseRules([{ name: 'rules/own.conf', text }], options)
    return true
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    // A person must be able to find it.
    const lines = text.split('\n').length
    for (const { place, frame } of error.problems) {
      expect(place.line).toBeGreaterThan(0)
      expect(place.line).toBeLessThanOrEqual(lines)
      expect(place.column).toBeGreaterThan(0)
      expect(frame).toContain('^')
    }
    return false
  }
}

const words = [
  'SecRule',
  'SecAction',
  'SecMarker',
  'SecDefaultAction',
  'SecRuleRemoveById',
  'SecRuleUpdateTargetById',
  'SecRuleUpdateActionById',
  'SecRuleRemoveByTag',
  'SecUnicodeMapFile',
  'SecResponseBodyMimeType',
  'Include',
  'ARGS',
  'XML:/*',
  'TX:',
  '&',
  '|',
  '!',
  '@rx',
  '@pmFromFile',
  'x.data',
  '@eq',
  'id:',
  '1',
  '2',
  'phase:',
  'deny',
  'block',
  'chain',
  'msg:',
  'setvar:',
  'tx.',
  'ctl:',
  'ruleRemoveTargetById=',
  ';',
  't:none',
  'skipAfter:',
  '%{',
  '}',
  '"',
  "'",
  '\\',
  '\\\n',
  '\n',
  '\r\n',
  '\n#',
  ' ',
  '\t',
  ',',
  ':',
  '/',
  '-',
  '=',
  '+',
  '(',
  '[',
  '*',
  '\0',
  '\xff',
] // prettier-ignore

describe('the parser', () => {
  test('says of any text what is wrong, and never fails itself', () => {
    const bytes = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      maxLength: 200,
    })
    const likely = fc.array(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...words) }, bytes), { maxLength: 60 })
    fc.assert(
      fc.property(
        fc.oneof(
          bytes,
          likely.map((parts) => parts.join('')),
          likely.map((parts) => parts.join(' ')),
        ),
        (text) => {
          reads(text)
        },
      ),
      { numRuns: 3_000 },
    )
  })

  test.skipIf(crs === undefined)('says of damaged rules of the CRS what is wrong (needs ../shared/crs)', () => {
    const sources = crs!.map(({ text }) => text)
    let refused = 0
    const change = fc.record({
      at: fc.nat(1_000_000),
      drop: fc.nat(3),
      put: fc.oneof(fc.constantFrom(...words), fc.constant(''), fc.string({ maxLength: 3 })),
    })
    fc.assert(
      fc.property(
        fc.constantFrom(...sources),
        fc.nat(1_000_000),
        fc.array(change, { minLength: 1, maxLength: 6 }),
        (source, from, changes) => {
          // Some rules from anywhere in the file suffice; what matters is where they are cut and what is changed.
          const start = from % source.length
          let text = source.slice(start, start + 6_000)
          for (const { at, drop, put } of changes) {
            const index = at % (text.length + 1)
            text = text.slice(0, index) + put + text.slice(index + drop)
          }
          if (!reads(text)) refused++
        },
      ),
      { numRuns: 400 },
    )
    expect(refused).toBeGreaterThan(100)
  })

  const many = 100_000
  test.each<readonly [string, string]>([
    ['backslashes', `SecRule ARGS "${'\\'.repeat(many)}`],
    ['escaped quotes', `SecRule ARGS "${'\\"'.repeat(many)}" id:1`],
    ['open quotes', '" '.repeat(many)],
    ['slashes', `SecRule ARGS:/${'/'.repeat(many)} a id:1`],
    ['escaped slashes', `SecRule ARGS:/${'\\/'.repeat(many)} a id:1`],
    ['patterns without end', `SecRule ${'ARGS:/a|'.repeat(many)} a id:1`],
    ['bars', `SecRule ${'|'.repeat(many)} a id:1`],
    ['variables', `SecRule ${'ARGS|'.repeat(many)}ARGS a id:1`],
    ['commas', `SecAction "id:1${','.repeat(many)}"`],
    ['tags', `SecAction "id:1${',tag:a'.repeat(many)}"`],
    ['controls', `SecAction "id:1${",ctl:ruleRemoveTargetById=1;ARGS:'a'".repeat(many / 10)}"`],
    ['open controls', `SecAction "id:1${",ctl:ruleRemoveTargetById=1;ARGS:'a\\'".repeat(many / 10)}"`],
    ['actions without effect', `SecAction "id:1${',exec:a'.repeat(many)}"`],
    ['actions without effect, each in a line', `SecAction "id:1${',\\\n exec:a'.repeat(many)}"`],
    ['unknown words', 'SecRuleUpdateTargetByI x\n'.repeat(many)],
    ['markers', 'SecMarker a\n'.repeat(many)],
    ['continued lines', 'SecMarker \\\n'.repeat(many)],
    ['continued comments', `#${'a \\\n'.repeat(many)}`],
    ['removals of nothing', 'SecRuleRemoveById 1-9\n'.repeat(many / 10)],
    ['members of a chain', `SecRule ARGS a "id:1,chain"\n${'SecRule ARGS a chain\n'.repeat(many / 10)}SecRule ARGS a`],
    ['one word', `SecMarker ${'a'.repeat(many * 10)}`],
  ])('is done with very many %s in a moment', (_name, text) => {
    const start = performance.now()
    reads(text)
    expect(performance.now() - start).toBeLessThan(3_000)
  })
})
