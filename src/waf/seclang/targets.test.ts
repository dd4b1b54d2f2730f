import { describe, expect, test } from 'vitest'
import { errorOf, ruleOf } from '../../../test/kit/rules.ts'
import { printTargets } from './print.ts'
import type { Target } from './rule.ts'

function targetsOf(text: string): { targets: readonly Target[]; exclusions: readonly Target[] } {
  const [{ targets, exclusions }] = ruleOf(`SecRule "${text}" "@rx a" "id:1"`).conditions
  return { targets, exclusions }
}

const all = (variable: string): Target => ({ variable, selector: undefined, count: false })
const named = (variable: string, name: string): Target => ({ ...all(variable), selector: { kind: 'name', name } })
const found = (variable: string, source: string): Target => ({
  ...all(variable),
  selector: { kind: 'pattern', source },
})

describe('a list of variables', () => {
  test.each([
    ['ARGS', [all('ARGS')]],
    ['args|Request_Uri', [all('ARGS'), all('REQUEST_URI')]],
    ['ARGS | REQUEST_URI ', [all('ARGS'), all('REQUEST_URI')]],
    ['ARGS:id', [named('ARGS', 'id')]],
    ['REQUEST_HEADERS:User-Agent', [named('REQUEST_HEADERS', 'user-agent')]],
    ['TX.score', [named('TX', 'score')]],
    ['ARGS:a b', [named('ARGS', 'a b')]],
    ['ARGS:json.a.0', [named('ARGS', 'json.a.0')]],
    ['ARGS:a:b', [named('ARGS', 'a:b')]],
    ["ARGS:'a|b'", [named('ARGS', 'a|b')]],
    ["ARGS:'it\\'s'|TX", [named('ARGS', "it's"), all('TX')]],
    ["ARGS:'/a'", [named('ARGS', '/a')]],
    ["ARGS:''", [named('ARGS', '')]],
    ['&TX:score', [{ ...named('TX', 'score'), count: true }]],
    ['&ARGS', [{ ...all('ARGS'), count: true }]],
    ['TX:/^x_/', [found('TX', '^x_')]],
    ['ARGS:/a/|TX:/B/', [found('ARGS', 'a'), found('TX', 'B')]],
    ['ARGS:/a|b/', [found('ARGS', 'a|b')]],
    ['ARGS:/a\\/b/', [found('ARGS', 'a\\/b')]],
    ['ARGS:/a/b/', [found('ARGS', 'a/b')]],
    ["REQUEST_HEADERS:'/re,with|pipes/'|ARGS", [found('REQUEST_HEADERS', 're,with|pipes'), all('ARGS')]],
    ["ARGS:'/a\\'b/'", [found('ARGS', "a'b")]],
    ['XML:/*|XML://@*', [named('XML', '/*'), named('XML', '//@*')]],
    ['XML:/A/b/text()|ARGS', [named('XML', '/A/b/text()'), all('ARGS')]],
  ])('%s', (text, targets) => {
    expect(targetsOf(text)).toEqual({ targets, exclusions: [] })
  })

  test('keeps what is excluded apart', () => {
    expect(targetsOf("ARGS|!ARGS:id|!ARGS:/^x|y$/|! TX:'a|b'")).toEqual({
      targets: [all('ARGS')],
      exclusions: [named('ARGS', 'id'), found('ARGS', '^x|y$'), named('TX', 'a|b')],
    })
  })

  test('leaves the bytes of UTF-8 in a name as they are', () => {
    const bytes = Buffer.from('É').toString('latin1')
    expect(targetsOf(`ARGS:A${bytes}`).targets).toEqual([named('ARGS', `a${bytes}`)])
  })

  test.each([
    "ARGS|&TX:score|XML:/*|ARGS:'/a'|ARGS:/b/|!ARGS:'a|b'|!ARGS:/x|y/",
    "ARGS:'/a/|b/'|ARGS:''|ARGS:' a'|REQUEST_URI",
    "ARGS:it's|!ARGS:/a's/",
  ])('%s is printed as it was written', (text) => {
    expect(printTargets(targetsOf(text))).toBe(text)
  })

  test.each([
    ['ARG', 10, 'unknown variable ARG', 'did you mean ARGS?'],
    ['ARGS|REQUEST_HEADER:x', 15, 'unknown variable REQUEST_HEADER', 'did you mean REQUEST_HEADERS?'],
    ['', 10, 'expected a variable', undefined],
    ['ARGS||TX', 15, 'expected a variable', undefined],
    ['ARGS|', 15, 'expected a variable', undefined],
    ['ARGS,TX', 14, 'expected | or the end, found ","', 'variables are separated by |'],
    ['!&ARGS', 11, 'expected a variable', undefined],
    ['REQUEST_URI:x', 10, 'REQUEST_URI has one value: nothing can be selected in it', undefined],
    ['ARGS:', 14, 'expected a name or a pattern after the colon', undefined],
    [
      'ARGS:/a',
      15,
      'the pattern has no closing slash',
      "a name that begins with a slash is written in quotes: ARGS:'/name'",
    ],
    ["ARGS:'a", 15, 'this quote is not closed', undefined],
    ['ARGS:/a(/', 17, 'not a pattern: a parenthesis that is not closed', undefined],
    ['!ARGS:x', 10, 'the rule looks at nothing: all its variables are exclusions', undefined],
  ])('%s is refused at column %d: %s', (text, column, message, hint) => {
    const [problem] = errorOf(`SecRule "${text}" "@rx a" "id:1"`).problems
    expect(problem).toMatchObject({ place: { line: 1, column }, message, hint })
  })
})
