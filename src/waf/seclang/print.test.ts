import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse, ruleOf, rulesOf } from '../../../test/kit/rules.ts'
import { parseRules, RuleError } from './index.ts'
import { printRule } from './print.ts'
import type { Rule } from './rule.ts'

/** Without places, which change, of course. */
function plain(rule: Rule): unknown {
  return JSON.parse(JSON.stringify(rule, (key, value: unknown) => (key === 'place' ? undefined : value)))
}

/** What `block` stands for is not the rule's to say. */
function defaultFor({ blocks, phase, disruption, redirect }: Rule): string {
  if (!blocks) return ''
  return `SecDefaultAction "phase:${phase},${disruption}${redirect === undefined ? '' : `:'${redirect}'`}"\n`
}

function printedAndRead(rule: Rule, name = 'rules/own.conf'): Rule {
  const read = () => rule.conditions.flatMap(({ operator }) => operator.lines ?? []).join('\n')
  const set = parseRules([{ name, text: defaultFor(rule) + printRule(rule) }], { readData: read })
  expect(rulesOf(set)).toHaveLength(1)
  return rulesOf(set)[0]!
}

describe('a rule is printed', () => {
  test('as its writer could have written it', () => {
    const rule = ruleOf(`
      SecDefaultAction "phase:2,deny,status:429,t:lowercase"
      SecRule ARGS|!ARGS:x "@rx \\"a\\" b" "id:1,block,msg:'it\\'s',tag:'a/b',severity:2,chain,skipAfter:END"
      SecRule TX:a "!^x" "capture,setvar:'tx.a=+%{tx.b}',ctl:ruleRemoveTargetById=1;ARGS:'/a|b/'"
    `)
    expect(printRule(rule)).toBe(
      [
        'SecRule ARGS|!ARGS:x "@rx \\"a\\" b" \\',
        '    "id:1,\\',
        '    phase:2,\\',
        '    block,\\',
        '    status:429,\\',
        '    log,\\',
        '    tag:a/b,\\',
        '    severity:CRITICAL,\\',
        '    skipAfter:END,\\',
        '    t:none,\\',
        '    t:lowercase,\\',
        "    msg:'it\\'s',\\",
        '    chain"',
        '    SecRule TX:a "!@rx ^x" \\',
        '        "t:none,\\',
        '        t:lowercase,\\',
        '        capture,\\',
        "        ctl:'ruleRemoveTargetById=1;ARGS:/a|b/',\\",
        "        setvar:'tx.a=+%{tx.b}'\"",
      ].join('\n'),
    )
  })

  // Texts that one way of quoting cannot hold.
  test.each([
    'SecAction id:1,msg:a\\',
    'SecAction id:1,msg:a\\"b',
    "SecAction id:1,msg:'a,b\\\"c'",
    "SecAction id:1,msg:a\\'b,logdata:c\\",
    "SecAction 'id:1,msg:a\\\"b c'",
    'SecAction "id:1,msg:a\\,logdata:\'b c\'"',
    'SecRule ARGS a\\" id:1',
    'SecRule ARGS @contains \\" id:1',
    "SecRule ARGS '@contains \\\" x' id:1",
    'SecRule ARGS "@rx " id:1',
    'SecRule ARGS:\'a"b\' "@contains @" id:1',
    'SecRule "ARGS:\'a b\'" "@contains !" id:1',
    'SecRule ARGS "@pmFromFile a b" "id:1"',
    'SecRule ARGS "!@detectSQLi" "id:1,allow:phase,nolog,auditlog"',
    "SecAction \"id:1,setenv:'A=b, c',setenv:!D,setvar:env.e=+1,setvar:!tx.f,setsid:s,redirect:'/a?b,c'\"",
    "SecAction \"id:1,ctl:ruleRemoveTargetById=1;ARGS:'/a\\'|b,c/',ctl:'ruleRemoveByMsg=a, b'\"",
    "SecRule 'ARGS:a \\\"\\'' @detectXSS 'id:1'",
    'SecRule "ARGS:a\t\\ " a id:1',
    'SecRule "ARGS:/\\/|ARGS:/\\\'/" a id:1',
    'SecRule ARGS !"%{tx.x}\\ id:1',
    "SecAction 'id:1,setvar:\\'tx.a= \\\"\\',ctl:ruleRemoveTargetById=1;ARGS:a\\''",
    "SecAction \"id:1,ctl:ruleRemoveTargetByTag=:\\';ARGS:'/:\\'/'\"",
    'SecAction "pass"',
    'SecAction "id:1,chain"\nSecAction "t:none"',
    'SecRule ARGS a "id:1,chain"\nSecAction ""',
  ])('%s comes back the same', (text) => {
    const rule = ruleOf(text, { readData: () => 'x\ny' })
    const again = rule.conditions.some(({ operator }) => operator.lines !== undefined)
      ? ruleOf(printRule(rule), { readData: () => 'x\ny' })
      : printedAndRead(rule)
    expect(plain(again)).toEqual(plain(rule))
  })

  test('whatever was read comes back the same', () => {
    const piece = fc.constantFrom(
      'a',
      'B',
      '"',
      "'",
      '\\',
      ' ',
      ',',
      ':',
      '/',
      '|',
      '%{tx.x}',
      '=',
      '+',
      '!',
      '@',
      '\xc3\xa9',
      '\t',
    )
    const text = fc.array(piece, { maxLength: 8 }).map((parts) => parts.join(''))
    const value = fc.oneof(
      text,
      text.map((inner) => `'${inner}'`),
      text.map((inner) => `'${inner.replaceAll("'", "\\'")}'`),
    )
    const action = fc.oneof(
      fc
        .tuple(
          fc.constantFrom('msg', 'logdata', 'tag', 'ver', 'rev', 'redirect', 'skipAfter', 'setenv', 'setsid'),
          value,
        )
        .map(([name, said]) => `${name}:${said}`),
      text.map((inner) => `setvar:'tx.a=${inner}'`),
      text.map((inner) => `setvar:tx.${inner}=+1`),
      text.map((inner) => `ctl:ruleRemoveTargetById=1;ARGS:${inner}`),
      text.map((inner) => `ctl:ruleRemoveTargetByTag=${inner};ARGS:'/${inner}/'`),
      fc.constantFrom(
        'deny',
        'block',
        'nolog',
        'auditlog',
        'capture',
        'multiMatch',
        't:lowercase',
        'status:400',
        'severity:1',
      ),
    )
    const list = fc.array(action, { maxLength: 4 }).map((actions) => ['id:1', ...actions].join(','))
    const word = (inner: fc.Arbitrary<string>) =>
      fc.tuple(inner, fc.constantFrom('"', "'", '')).map(([said, quote]) => {
        if (quote === '') return said
        // Marks that are escaped already stay so, whatever this comes to.
        return `${quote}${said.replaceAll(quote, `\\${quote}`)}${quote}`
      })
    const selector = fc.oneof(
      text,
      text.map((inner) => `/${inner}/`),
      text.map((inner) => `'/${inner}/'`),
    )
    const variables = fc
      .array(selector, { minLength: 1, maxLength: 2 })
      .map((all) => all.map((one) => `ARGS:${one}`).join('|'))
    const operator = fc.oneof(
      text,
      text.map((inner) => `@contains ${inner}`),
      text.map((inner) => `!@rx ${inner}`),
    )
    let read = 0
    fc.assert(
      fc.property(word(variables), word(operator), word(list), (targets, test, actions) => {
        let rules: Rule[]
        try {
          rules = rulesOf(parse(`SecDefaultAction "phase:2,deny"\nSecRule ${targets} ${test} ${actions}`))
        } catch (error) {
          expect(error).toBeInstanceOf(RuleError)
          return
        }
        read++
        for (const rule of rules) expect(plain(printedAndRead(rule))).toEqual(plain(rule))
      }),
      { numRuns: 3_000 },
    )
    expect(read).toBeGreaterThan(300)
  })
})
