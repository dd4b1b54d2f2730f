import { describe, expect, test } from 'vitest'
import { errorOf, parse, ruleOf } from '../../../test/kit/rules.ts'

const rule = (actions: string) => ruleOf(`SecRule ARGS "@rx a" "${actions}"`)

describe('a list of actions', () => {
  test('has every part of a rule', () => {
    const { place, conditions, ...rest } = rule(
      `id:'7', phase:4,deny,status:429,log,noauditlog,msg:'a, \\'b\\' \\"c\\"',logdata:%{MATCHED_VAR},tag:a/b,tag:'c d',
      ver:'x/1.0',rev:2,severity:critical,maturity:9,accuracy:'8',skipAfter:END,skip:2,initcol:ip=%{REMOTE_ADDR}`.replace(
        /\n\s*/,
        '',
      ),
    )
    expect(place).toEqual({ file: 'rules/own.conf', line: 1, column: 1 })
    expect(conditions).toHaveLength(1)
    expect(rest).toEqual({
      kind: 'rule',
      id: 7,
      phase: 4,
      disruption: 'deny',
      redirect: undefined,
      blocks: false,
      status: 429,
      log: true,
      auditLog: false,
      message: `a, 'b' "c"`,
      logData: '%{MATCHED_VAR}',
      tags: ['a/b', 'c d'],
      version: 'x/1.0',
      revision: '2',
      severity: 2,
      maturity: 9,
      accuracy: 8,
      skip: 2,
      skipAfter: 'END',
      initCollections: [{ collection: 'ip', key: '%{REMOTE_ADDR}' }],
    })
  })

  test('says nothing of what it leaves out', () => {
    expect(rule('id:1')).toMatchObject({
      phase: 2,
      disruption: 'pass',
      blocks: false,
      status: 403,
      log: true,
      auditLog: true,
      message: undefined,
      tags: [],
      severity: undefined,
      skip: 0,
      skipAfter: undefined,
    })
    expect(rule('id:1').conditions[0]).toMatchObject({ transformations: [], multiMatch: false, capture: false })
  })

  test.each([
    ["id:1,msg:'a\\\\'", 'a\\\\'],
    ["id:1,msg:'a\\d'", 'a\\d'],
    ["id:1,msg:don't", "don't"],
    ['id:1,msg: a b ', 'a b'],
    ["id:1,msg:' a '", ' a '],
    ["id:1,msg:'a' ,deny", 'a'],
    ["id:1,msg:'a',", 'a'],
    ['id:1,msg:a:b=c;d', 'a:b=c;d'],
  ])('%s has the message %j', (actions, message) => {
    expect(rule(actions).message).toBe(message)
  })

  test.each([
    ['phase:request', 2],
    ["phase:'RESPONSE'", 4],
    ['phase:logging', 5],
    ['phase:1,phase:3', 3],
  ])('%s is phase %d', (action, phase) => {
    expect(rule(`id:1,${action}`).phase).toBe(phase)
  })

  test.each([
    ['deny', 'deny', 403, undefined],
    ['DROP', 'drop', 403, undefined],
    ['allow', 'allow', 403, undefined],
    ['allow:Phase', 'allow:phase', 403, undefined],
    ['allow:request', 'allow:request', 403, undefined],
    ["redirect:'https://a/?b,c'", 'redirect', 302, 'https://a/?b,c'],
    ['redirect:/x,status:307', 'redirect', 307, '/x'],
    ['redirect:/x,status:404', 'redirect', 302, '/x'],
    ['redirect:/x,deny', 'deny', 403, undefined],
    ['deny,pass', 'pass', 403, undefined],
  ])('%s comes to %s', (action, disruption, status, redirect) => {
    expect(rule(`id:1,${action}`)).toMatchObject({ disruption, status, redirect, blocks: false })
  })

  test.each([
    ['nolog', false, false],
    ['nolog,auditlog', false, true],
    ['log,noauditlog', true, false],
    ['noauditlog,log', true, true],
  ])('%s: log %s, audit log %s', (actions, log, auditLog) => {
    expect(rule(`id:1,${actions}`)).toMatchObject({ log, auditLog })
  })

  test('transforms in order, from the last t:none on', () => {
    expect(rule('id:1,t:lowercase,t:none,t:urlDecodeUni,t:CmdLine').conditions[0].transformations).toEqual([
      'urldecodeuni',
      'cmdline',
    ])
  })

  test.each([
    ['tx.a=5', { collection: 'TX', name: 'a', operation: 'set', value: '5' }],
    ['TX:A=5', { collection: 'TX', name: 'a', operation: 'set', value: '5' }],
    ["'tx.a=+%{tx.b}'", { collection: 'TX', name: 'a', operation: 'add', value: '%{tx.b}' }],
    ["'ip.a=-1'", { collection: 'IP', name: 'a', operation: 'subtract', value: '1' }],
    ['tx.a', { collection: 'TX', name: 'a', operation: 'set', value: '1' }],
    ['!tx.a', { collection: 'TX', name: 'a', operation: 'unset', value: '' }],
    ["'tx.a=b=c, d'", { collection: 'TX', name: 'a', operation: 'set', value: 'b=c, d' }],
    [
      "'tx.%{RULE.id}-a=%{MATCHED_VAR}'",
      { collection: 'TX', name: '%{rule.id}-a', operation: 'set', value: '%{MATCHED_VAR}' },
    ],
    ['tx.a=', { collection: 'TX', name: 'a', operation: 'set', value: '' }],
  ])('setvar:%s', (value, expected) => {
    expect(rule(`id:1,setvar:${value}`).conditions[0].setVariables).toEqual([expected])
  })

  test('sets variables of the environment, and opens collections, under their other names', () => {
    const { conditions, initCollections } = rule("id:1,setenv:'A=b c',setenv:!D,setsid:%{X},setuid:u,setrsc:r")
    expect(conditions[0].setVariables).toEqual([
      { collection: 'ENV', name: 'A', operation: 'set', value: 'b c' },
      { collection: 'ENV', name: 'D', operation: 'unset', value: '' },
    ])
    expect(initCollections).toEqual([
      { collection: 'session', key: '%{X}' },
      { collection: 'user', key: 'u' },
      { collection: 'resource', key: 'r' },
    ])
  })

  const args = (name?: string) => ({ variable: 'ARGS', selector: name && { kind: 'name', name }, count: false })

  test.each([
    ['ruleEngine=off', 'ruleEngine', 'Off', []],
    ['RULEENGINE=detectiononly', 'ruleEngine', 'DetectionOnly', []],
    ['requestBodyProcessor=json', 'requestBodyProcessor', 'JSON', []],
    ['forceRequestBodyVariable=On', 'forceRequestBodyVariable', 'On', []],
    ['auditLogParts=+E', 'auditLogParts', '+E', []],
    ['ruleRemoveById=1-5', 'ruleRemoveById', '1-5', []],
    ['ruleRemoveByTag=attack-sqli', 'ruleRemoveByTag', 'attack-sqli', []],
    ["'ruleRemoveByMsg=a, b'", 'ruleRemoveByMsg', 'a, b', []],
    ['ruleRemoveTargetById=942100;ARGS:Password', 'ruleRemoveTargetById', '942100', [args('password')]],
    ['ruleRemoveTargetByTag=a/b;ARGS', 'ruleRemoveTargetByTag', 'a/b', [args()]],
    ['ruleRemoveTargetByTag=a;ARGS:x|ARGS:y', 'ruleRemoveTargetByTag', 'a', [args('x'), args('y')]],
    [
      "ruleRemoveTargetById=1-9;ARGS:'/^a{1,2}|b$/',deny",
      'ruleRemoveTargetById',
      '1-9',
      [{ variable: 'ARGS', selector: { kind: 'pattern', source: '^a{1,2}|b$' }, count: false }],
    ],
  ])('ctl:%s', (value, name, expected, targets) => {
    expect(rule(`id:1,ctl:${value}`).conditions[0].controls).toEqual([{ name, value: expected, targets }])
  })

  test.each([
    ['id:1,denny', 'denny', 'unknown action "denny"', 'did you mean "deny"?'],
    ['id:1,chian', 'chian', 'unknown action "chian"', 'did you mean "chain"?'],
    ['id:1,quite-another-thing', 'quite-another-thing', 'unknown action "quite-another-thing"', undefined],
    ['id:1,,deny', ',', 'expected an action', 'a comma too many?'],
    ['id:1,#deny', '#deny', 'unknown action "#deny"', 'a comment cannot stand inside a directive'],
    ['id:1,deny:x', 'x', 'deny takes no value', undefined],
    ['id:1,msg', 'msg', 'msg needs a value', undefined],
    ['id:1,msg:', 'msg', 'msg needs a value', undefined],
    ["id:1,msg:'a", "'", 'this quote is not closed', "write \\' for a quote inside the quotes"],
    [
      "id:1,msg:'it's',deny",
      's',
      'expected a comma after the closing quote',
      "write \\' for a quote inside the quotes",
    ],
    ['id:0', '0', 'expected a rule id, found "0"', undefined],
    ['id:-1', '-1', 'expected a rule id, found "-1"', undefined],
    ['id:1x', '1x', 'expected a rule id, found "1x"', undefined],
    ['id:99999999999999999', '99999999999999999', 'expected a rule id, found "99999999999999999"', undefined],
    ['id:1,phase:6', '6', 'unknown phase "6"', 'expected 1 to 5, request, response or logging'],
    ['id:1,severity:critcal', 'critcal', 'unknown severity "critcal"', 'did you mean CRITICAL?'],
    [
      'id:1,severity:8',
      '8',
      'unknown severity "8"',
      'expected 0 to 7 or EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG',
    ],
    ['id:1,status:40', '40', 'expected a status from 100 to 599, found "40"', undefined],
    ['id:1,skip:abc', 'abc', 'expected how many rules to skip, found "abc"', undefined],
    ['id:1,maturity:x', 'x', 'expected a number from 0 to 10, found "x"', undefined],
    ['id:1,t:urlDecodeUni,t:lowercas', 'lowercas', 'unknown transformation "lowercas"', 'did you mean "lowercase"?'],
    ['id:1,allow:all', 'all', 'expected allow, allow:phase or allow:request', undefined],
    ['id:1,proxy:http://x', 'proxy', 'proxy is not supported', 'use deny or redirect'],
    ['id:1,setvar:tz.a=1', 'tz', 'variables of this collection cannot be set', 'did you mean TX?'],
    ['id:1,setvar:tx', 'tx', 'expected the name of a variable', 'expected a name such as tx.score'],
    ['id:1,setvar:tx.=1', 'tx.=1', 'expected the name of a variable', 'expected a name such as tx.score'],
    ['id:1,setvar:!tx.a=1', '!tx.a=1', 'a variable is either unset or given a value', undefined],
    ['id:1,initcol:ip', 'ip', 'expected a collection and its key, as ip=%{REMOTE_ADDR}', undefined],
    ['id:1,ctl:ruleEngin=Off', 'ruleEngin', 'unknown ctl "ruleEngin"', 'did you mean "ruleEngine"?'],
    ['id:1,ctl:ruleEngine', 'ruleEngine', 'ruleEngine needs a value', 'write ruleEngine=…'],
    ['id:1,ctl:ruleEngine=Of', 'Of', 'expected On, Off, DetectionOnly', undefined],
    [
      'id:1,ctl:ruleRemoveById=5-1',
      '5-1',
      'ruleRemoveById needs a rule id or a range',
      'such as 942100 or 942000-942999',
    ],
    ['id:1,ctl:requestBodyLimit=x', 'x', 'requestBodyLimit needs a number', undefined],
    [
      'id:1,ctl:ruleRemoveTargetById=1',
      'ruleRemoveTargetById',
      'ruleRemoveTargetById needs a variable',
      'write ruleRemoveTargetById=…;ARGS:name',
    ],
    ['id:1,ctl:ruleRemoveTargetById=1;!ARGS:x', '!ARGS:x', 'expected variables without ! and &', undefined],
    ['id:1,ctl:ruleRemoveTargetById=1;ARG:x', 'ARG', 'unknown variable ARG', 'did you mean ARGS?'],
  ])('%s is refused, marked at %j: %s', (actions, marked, message, hint) => {
    const text = `SecRule ARGS "@rx a" "${actions}"`
    const { place, length, ...problem } = errorOf(text).problems[0]!
    expect(text.slice(place.column - 1).slice(0, length)).toBe(marked)
    expect(problem).toMatchObject({ message, hint })
  })

  test.each([
    ['exec:/bin/x', 'exec has no effect: no script is run'],
    [
      "expirevar:'ip.x=60'",
      'expirevar has no effect: variables live as long as their transaction, or as the collection does',
    ],
    ['sanitiseMatched', 'sanitiseMatched has no effect: there is no audit log; events are masked in any case'],
    ['deny,pass', 'deny is overruled by pass, which follows'],
    ['ctl:hashEngine=On', 'hashEngine has no effect: links are not signed'],
  ])('%s is told as a warning', (action, message) => {
    const { warnings } = parse(`SecRule ARGS "@rx a" "id:1,${action}"`)
    expect(warnings.map((warning) => warning.message)).toEqual([message])
  })
})
