import { describe, expect, test } from 'vitest'
import { errorOf, orderOf, parse, ruleOf, rulesOf } from '../../../test/kit/rules.ts'
import { defaultSettings, parseRules, type Source } from './index.ts'

const messagesOf = (text: string) => errorOf(text).problems.map(({ message }) => message)
const warningsOf = (text: string) => parse(text).warnings.map(({ place, message }) => [place.line, message])
const idsOf = (text: string) => rulesOf(parse(text)).map(({ id }) => id)

describe('rules in their order', () => {
  test('stand in their phases, markers in every one', () => {
    const set = parse(`
      SecRule ARGS a id:1,phase:2
      SecMarker "END A"
      SecAction id:2,phase:1
      SecRule ARGS a id:3
      SecMarker END
    `)
    expect(orderOf(set, 1)).toEqual(['marker END A', 'id 2', 'marker END'])
    expect(orderOf(set, 2)).toEqual(['id 1', 'marker END A', 'id 3', 'marker END'])
    expect(orderOf(set, 5)).toEqual(['marker END A', 'marker END'])
  })

  test('are told apart by their ids', () => {
    const error = errorOf('SecRule ARGS a id:1\nSecRule ARGS b id:2\nSecRule ARGS c "phase:1,id:1"')
    expect(error.problems).toMatchObject([
      { message: 'the id 1 stands twice', hint: 'first in rules/own.conf:1', place: { line: 3, column: 28 } },
    ])
  })

  test('need an id, which only a SecAction may go without', () => {
    expect(messagesOf('SecRule ARGS a deny')).toEqual(['a rule needs an id'])
    expect(messagesOf('SecRule ARGS a')).toEqual(['a rule needs an id'])
    expect(ruleOf('SecAction pass').id).toBe(0)
  })

  test('a SecAction looks at nothing and always matches', () => {
    expect(ruleOf('SecAction "id:1,setvar:tx.a=1"').conditions).toMatchObject([
      { targets: [], exclusions: [], operator: { name: 'unconditionalMatch', negated: false, argument: '' } },
    ])
  })

  test.each([
    ['SecRule', 'SecRule needs variables and an operator'],
    ['SecRule ARGS', 'SecRule needs variables and an operator'],
    ['SecRule ARGS a "id:1" x', 'expected the end of the rule'],
    ['SecRule ARGS "@rx a" id:1 , deny', 'expected the end of the rule'],
    ['SecAction', 'SecAction needs a value'],
    ['SecMarker', 'SecMarker needs a value'],
    ['SecMarker ""', 'SecMarker needs a name'],
    ['SecMarker a b', 'a value too many'],
    ['SecResponseBodyMimeTypesClear x', 'SecResponseBodyMimeTypesClear takes no value'],
    ['SecRul ARGS a id:1', 'unknown directive "SecRul"'],
    ['<IfModule x>', 'unknown directive "<IfModule"'],
  ])('%s is refused: %s', (text, message) => {
    expect(messagesOf(text)).toEqual([message])
  })

  test.each([
    ['SecRul ARGS a', 'did you mean SecRule?'],
    ['SecRequestBodyLimt 5', 'did you mean SecRequestBodyLimit?'],
    ['<IfModule x>', 'sections of Apache have no meaning here'],
    ['"id:1,phase:1"', 'does the line above lack a backslash at its end?'],
    ['phase:1,\\\ndeny"', 'does the line above lack a backslash at its end?'],
  ])('%s is told what was probably meant', (text, hint) => {
    expect(errorOf(text).problems[0]).toMatchObject({ hint })
  })
})

describe('SecDefaultAction', () => {
  test('holds for the rules of its phase that follow it', () => {
    const set = parse(`
      SecRule ARGS a "id:1,block"
      SecDefaultAction "phase:2,deny,status:429,nolog,auditlog,t:lowercase,tag:all"
      SecRule ARGS a "id:2,block"
      SecRule ARGS a "id:3,phase:1,block"
      SecRule ARGS a "id:4,pass,log,status:400,t:none,t:trim,tag:own"
      SecRule ARGS a "id:5"
    `)
    const byId = new Map(rulesOf(set).map((rule) => [rule.id, rule]))
    expect(byId.get(1)).toMatchObject({ disruption: 'pass', blocks: true, status: 403, log: true, tags: [] })
    expect(byId.get(2)).toMatchObject({
      disruption: 'deny',
      blocks: true,
      status: 429,
      log: false,
      auditLog: true,
      tags: ['all'],
      conditions: [{ transformations: ['lowercase'] }],
    })
    expect(byId.get(3)).toMatchObject({ disruption: 'pass', blocks: true })
    expect(byId.get(4)).toMatchObject({
      disruption: 'pass',
      blocks: false,
      status: 400,
      log: true,
      tags: ['all', 'own'],
      conditions: [{ transformations: ['trim'] }],
    })
    // What says nothing inherits (reference manual, SecDefaultAction), but only who says block counts as blocking.
    expect(byId.get(5)).toMatchObject({ disruption: 'deny', blocks: false })
  })

  test('that redirects lends its address to block, not to who says redirect', () => {
    const set = parse(`
      SecDefaultAction "phase:1,redirect:/a,status:307"
      SecRule ARGS a "id:1,phase:1,redirect:/b"
      SecRule ARGS a "id:2,phase:1,redirect:/b,block"
      SecRule ARGS a "id:3,phase:1,deny"
    `)
    expect(rulesOf(set).map(({ disruption, redirect, status }) => [disruption, redirect, status])).toEqual([
      ['redirect', '/b', 307],
      ['redirect', '/a', 307],
      ['deny', undefined, 307],
    ])
  })

  test('gives its transformations to every member of a chain', () => {
    const { conditions } = ruleOf(`
      SecDefaultAction "phase:2,pass,t:lowercase"
      SecRule ARGS a "id:1,chain"
      SecRule ARGS b "t:trim,chain"
      SecRule ARGS c "t:none"
    `)
    expect(conditions.map(({ transformations }) => transformations)).toEqual([['lowercase'], ['lowercase', 'trim'], []])
  })

  test.each([
    ['log,pass', 'SecDefaultAction needs a phase'],
    ['phase:2,log', 'SecDefaultAction needs pass, deny, drop, allow or redirect'],
    ['phase:2,block', 'SecDefaultAction needs pass, deny, drop, allow or redirect'],
    ['phase:2,pass,id:1', 'id cannot be the default of all rules: it belongs to one'],
    ["phase:2,pass,msg:'a'", 'msg cannot be the default of all rules: it belongs to one'],
    ['phase:2,pass,chain', 'chain cannot be the default of all rules: it belongs to one'],
    ['phase:7,pass', 'unknown phase "7"'],
  ])('%s is refused: %s', (actions, message) => {
    expect(messagesOf(`SecDefaultAction "${actions}"`)).toEqual([message])
  })

  test('that stands twice for a phase is told, and the later one followed', () => {
    const text = 'SecDefaultAction "phase:2,pass"\nSecDefaultAction "phase:2,deny"\nSecRule ARGS a "id:1,block"'
    expect(ruleOf(text).disruption).toBe('deny')
    expect(warningsOf(text)).toEqual([
      [2, 'SecDefaultAction stands twice for phase 2: rules from here on follow this one'],
    ])
  })
})

describe('a chain', () => {
  const chain = `
    SecRule ARGS a "id:1,phase:1,deny,tag:x,chain,msg:'head',setvar:tx.a=1"
      SecRule TX:a b "chain,capture,t:lowercase,logdata:'%{TX.0}',ctl:ruleEngine=Off"
      SecRule TX:b c "phase:1,setvar:tx.b=1,multiMatch,msg:'member'"
    SecRule ARGS d "id:2"`

  test('is one rule: its first member says what becomes of the request, each what it does itself', () => {
    const [rule, next, ...rest] = rulesOf(parse(chain))
    expect(rest).toEqual([])
    expect(next!.id).toBe(2)
    expect(rule).toMatchObject({
      id: 1,
      phase: 1,
      disruption: 'deny',
      tags: ['x'],
      message: 'head',
      logData: undefined,
    })
    expect(rule!.conditions).toMatchObject([
      { message: 'head', capture: false, setVariables: [{ name: 'a' }], place: { line: 2 } },
      { capture: true, transformations: ['lowercase'], logData: '%{TX.0}', controls: [{ name: 'ruleEngine' }] },
      { multiMatch: true, message: 'member', setVariables: [{ name: 'b' }], place: { line: 4 } },
    ])
  })

  test.each([
    ['deny', 'deny belongs to the first rule of a chain'],
    ['block', 'block belongs to the first rule of a chain'],
    ['skipAfter:END', 'skipAfter belongs to the first rule of a chain'],
    ['skip:1', 'skip belongs to the first rule of a chain'],
    ['id:2', 'id belongs to the first rule of a chain'],
    ['phase:3', 'a chain has one phase: its first rule says 2'],
  ])('takes no %s from a later member: %s', (action, message) => {
    const [problem] = errorOf(`SecRule ARGS a "id:1,chain"\nSecRule ARGS b "${action}"`).problems
    expect(problem).toMatchObject({ message, place: { line: 2 } })
  })

  test.each(['tag:x', 'severity:2', 'nolog', 'status:400', 'ver:1'])('tells that %s has no effect later', (action) => {
    expect(warningsOf(`SecRule ARGS a "id:1,chain"\nSecRule ARGS b "${action}"`)).toEqual([
      [2, `${action.split(':')[0]} has no effect here: it belongs to the first rule of a chain`],
    ])
  })

  test('must be complete before anything else stands', () => {
    const message = 'the chain is not complete: the file ends before its next rule'
    expect(errorOf('SecRule ARGS a "id:1,chain"').problems).toMatchObject([{ message, place: { column: 22 } }])
    expect(messagesOf('SecRule ARGS a "id:1,chain"\nSecMarker B\nSecRule ARGS c id:2')).toEqual([
      'expected the next rule of the chain that begins in line 1',
    ])
    const sources: Source[] = [
      { name: 'a', text: 'SecRule ARGS a "id:1,chain"' },
      { name: 'b', text: 'SecRule ARGS b id:2' },
    ]
    expect(() => parseRules(sources)).toThrow(message)
  })

  test('that begins with a rule that cannot be read is no reason to complain of its members', () => {
    expect(messagesOf('SecRule ARGS "a "id:1,chain"\nSecRule ARGS b\nSecRule ARGS c "id:2"')).toEqual([
      'expected white space after the closing quote',
    ])
    expect(messagesOf('SecRule ARGS "@rxx a" "id:1,chain"\nSecRule ARGS b')).toEqual(['unknown operator "@rxx"'])
  })
})

describe('skipAfter', () => {
  test('that finds no marker behind it is told', () => {
    expect(
      warningsOf('SecMarker A\nSecRule ARGS a "id:1,skipAfter:A"\nSecRule ARGS a "id:2,skipAfter:B"\nSecMarker B'),
    ).toEqual([[2, 'no SecMarker "A" follows: the rest of the phase is skipped']])
  })

  test('lands behind a rule that it names by its id', () => {
    const set = parse('SecRule ARGS a "id:1,skipAfter:2"\nSecRule ARGS b id:2\nSecRule ARGS c id:3')
    expect(orderOf(set, 2)).toEqual(['id 1', 'id 2', 'marker 2', 'id 3'])
    expect(set.warnings).toEqual([])
  })
})

const three = `
  SecRule ARGS a "id:10,tag:attack-sqli,msg:'SQL injection'"
  SecRule ARGS b "id:20,tag:attack-xss,msg:'XSS',chain"
    SecRule ARGS c
  SecAction "id:30,tag:setup"
`

describe('a rule is removed', () => {
  test.each([
    ['SecRuleRemoveById 10', [20, 30]],
    ['SecRuleRemoveById 10 30', [20]],
    ['SecRuleRemoveById "10 30"', [20]],
    ['SecRuleRemoveById 10,30', [20]],
    ['SecRuleRemoveById 15-25', [10, 30]],
    ['SecRuleRemoveById 1-20 30', []],
    ['SecRuleRemoveByTag attack-xss', [10, 30]],
    ['SecRuleRemoveByTag ^attack-', [30]],
    ['SecRuleRemoveByTag "^attack$"', [10, 20, 30]],
    ['SecRuleRemoveByMsg "SQL inj"', [20, 30]],
    ['SecRuleRemoveByMsg ^(XSS|SQL)', [30]],
  ])('by %s', (directive, left) => {
    expect(idsOf(three + directive)).toEqual(left)
  })

  test('and its id is free for another', () => {
    expect(ruleOf('SecRule ARGS a id:1\nSecRuleRemoveById 1\nSecRule ARGS b id:1').place.line).toBe(3)
  })

  test.each([
    ['SecRuleRemoveById 40', 'there is no rule 40: nothing is changed'],
    ['SecRuleRemoveById 40-50', 'there is no rule from 40 to 50: nothing is changed'],
    ['SecRuleRemoveByTag php', 'there is no rule with a tag that "php" matches: nothing is changed'],
    ['SecRuleRemoveByMsg php', 'there is no rule with a message that "php" matches: nothing is changed'],
  ])('only if it is there: %s', (directive, message) => {
    expect(warningsOf(three + directive)).toEqual([[6, message]])
  })

  test('only if it stands above: the order is told', () => {
    const text = 'SecRuleRemoveById 1\nSecRule ARGS a id:1'
    expect(idsOf(text)).toEqual([1])
    expect(warningsOf(text)).toEqual([
      [
        1,
        'there is no rule 1 above this line: nothing is changed. It stands in rules/own.conf:2; move this line behind it',
      ],
    ])
  })

  test.each([
    ['SecRuleRemoveById x', 'expected a rule id or a range'],
    ['SecRuleRemoveById 20-10', 'expected a rule id or a range'],
    ['SecRuleRemoveById', 'SecRuleRemoveById needs a value'],
    ['SecRuleRemoveByTag a(', 'not a pattern: a parenthesis that is not closed'],
    ['SecRuleRemoveByTag a b', 'a value too many'],
  ])('%s is refused: %s', (directive, message) => {
    expect(messagesOf(three + directive)).toEqual([message])
  })
})

describe('what a rule looks at is changed', () => {
  const args = { variable: 'ARGS', selector: undefined, count: false }
  const x = { variable: 'ARGS', selector: { kind: 'name', name: 'x' }, count: false }
  const uri = { variable: 'REQUEST_URI', selector: undefined, count: false }
  const conditionsOf = (directive: string, id: number) =>
    rulesOf(parse(three + directive))
      .find((rule) => rule.id === id)!
      .conditions.map(({ targets, exclusions }) => ({ targets, exclusions }))

  test.each([
    ['SecRuleUpdateTargetById 10 !ARGS:x', 10, [{ targets: [args], exclusions: [x] }]],
    ['SecRuleUpdateTargetById 10 "REQUEST_URI|!ARGS:x|ARGS"', 10, [{ targets: [args, uri], exclusions: [x] }]],
    ['SecRuleUpdateTargetById 1-25 !ARGS:x', 10, [{ targets: [args], exclusions: [x] }]],
    ['SecRuleUpdateTargetById 20 10 "!ARGS:x"', 10, [{ targets: [args], exclusions: [x] }]],
    ['SecRuleUpdateTargetById 10 REQUEST_URI ARGS', 10, [{ targets: [uri], exclusions: [] }]],
    ['SecRuleUpdateTargetByTag attack-.* !ARGS:x', 10, [{ targets: [args], exclusions: [x] }]],
    ['SecRuleUpdateTargetByMsg "^SQL inj" !ARGS:x', 10, [{ targets: [args], exclusions: [x] }]],
    // Of a chain only the first member, unless another is named.
    [
      'SecRuleUpdateTargetById 20 !ARGS:x',
      20,
      [
        { targets: [args], exclusions: [x] },
        { targets: [args], exclusions: [] },
      ],
    ],
    [
      'SecRuleUpdateTargetById 20:1 !ARGS:x',
      20,
      [
        { targets: [args], exclusions: [] },
        { targets: [args], exclusions: [x] },
      ],
    ],
  ])('by %s', (directive, id, conditions) => {
    expect(conditionsOf(directive, id)).toEqual(conditions)
  })

  test.each([
    ['SecRuleUpdateTargetById 20:2 !ARGS:x', 'the chain of rule 20 has 2 members, counted from 0'],
    ['SecRuleUpdateTargetById 30 !ARGS:x', 'rule 30 is a SecAction: it looks at no variable'],
    ['SecRuleUpdateTargetById 10 !ARGS:x ARGS', 'rule 10 would look at nothing'],
    ['SecRuleUpdateTargetById 10 !ARG:x', 'unknown variable ARG'],
    ['SecRuleUpdateTargetById 10', 'SecRuleUpdateTargetById needs 2 values'],
    ['SecRuleUpdateTargetById 10 ARGS TX TX', 'a value too many'],
    ['SecRuleUpdateTargetByTag x', 'SecRuleUpdateTargetByTag needs 2 values'],
  ])('%s is refused: %s', (directive, message) => {
    expect(messagesOf(three + directive)).toEqual([message])
  })

  test('only if the rule is there', () => {
    expect(warningsOf(`${three}SecRuleUpdateTargetById 40 !ARGS:x`)).toEqual([
      [6, 'there is no rule 40: nothing is changed'],
    ])
  })
})

describe('what a rule does is changed', () => {
  test('by actions that are added to its own', () => {
    const rule = ruleOf(`
      SecDefaultAction "phase:2,deny,t:lowercase"
      SecRule ARGS a "id:1,block,t:trim,tag:a,msg:'old',setvar:tx.a=1"
      SecRuleUpdateActionById 1 "pass,nolog,status:400,t:urlDecode,tag:b,msg:'new',setvar:tx.b=1"
    `)
    expect(rule).toMatchObject({
      disruption: 'pass',
      blocks: false,
      log: false,
      status: 400,
      tags: ['a', 'b'],
      message: 'new',
    })
    expect(rule.conditions[0]).toMatchObject({
      transformations: ['lowercase', 'trim', 'urldecode'],
      setVariables: [{ name: 'a' }, { name: 'b' }],
      message: 'new',
    })
  })

  test('of one member of a chain', () => {
    const text = `${three}SecRuleUpdateActionById 20:1 "t:none,t:trim"`
    expect(rulesOf(parse(text))[1]!.conditions.map(({ transformations }) => transformations)).toEqual([[], ['trim']])
    expect(messagesOf(`${three}SecRuleUpdateActionById 20:1 deny`)).toEqual([
      'deny belongs to the first rule of a chain',
    ])
  })

  test.each(['id:11', 'phase:1', 'chain'])('but not its %s', (action) => {
    expect(messagesOf(`${three}SecRuleUpdateActionById 10 ${action}`)).toEqual([
      `the ${action.split(':')[0]} of a rule cannot be changed`,
    ])
  })
})

describe('Include', () => {
  const files: Readonly<Record<string, string>> = {
    'rules/a.conf': 'SecRule ARGS a id:1\nInclude sub/b.conf',
    'rules/sub/b.conf': 'SecRule ARGS b id:2\nSecRule ARGS "@pmFromFile b.data" id:3',
    'rules/loop.conf': 'Include loop.conf',
    'rules/wrong.conf': '\nSecRule ARGS b',
  }
  const include = (pattern: string): Source[] => {
    if (pattern.endsWith('*'))
      return Object.keys(files)
        .slice(0, 1)
        .map((name) => ({ name, text: files[name]! }))
    if (pattern.endsWith('none')) return []
    const text = files[pattern]
    if (text === undefined) throw new Error('there is no such file')
    return [{ name: pattern, text }]
  }

  test('reads the files at its place, names belonging to the folder of the file', () => {
    const read: string[] = []
    const readData = (file: string) => {
      read.push(file)
      return 'x'
    }
    const set = parse('SecRule ARGS c id:4\nInclude a.conf\nSecRule ARGS d id:5', { include, readData })
    expect(rulesOf(set).map(({ id, place }) => [id, place.file])).toEqual([
      [4, 'rules/own.conf'],
      [1, 'rules/a.conf'],
      [2, 'rules/sub/b.conf'],
      [3, 'rules/sub/b.conf'],
      [5, 'rules/own.conf'],
    ])
    expect(read).toEqual(['rules/sub/b.data'])
    expect(() => parse('Include *', { include, readData })).not.toThrow()
    expect(rulesOf(parse('IncludeOptional none', { include }))).toEqual([])
  })

  test.each([
    ['Include x.conf', 'cannot include x.conf: there is no such file'],
    ['Include none', 'there is no such file'],
    ['Include loop.conf', 'rules/loop.conf includes itself'],
    ['Include wrong.conf', 'a rule needs an id'],
    ['Include', 'Include needs a value'],
  ])('%s is refused: %s', (text, message) => {
    expect(errorOf(text, { include }).problems).toMatchObject([{ message }])
  })

  test('goes neither too deep nor on for ever', () => {
    const deeper = (pattern: string) => [{ name: `${pattern}x`, text: `Include ${pattern.split('/').at(-1)}x` }]
    expect(errorOf('Include a', { include: deeper }).message).toContain('more than 16 files inside each other')
    const more = () => Array.from({ length: 1_001 }, (_, index) => ({ name: `f${index}`, text: '' }))
    expect(errorOf('Include a', { include: more }).message).toContain('more than 1000 files')
    expect(messagesOf('Include a')).toEqual(['rules given without a folder cannot include files'])
  })
})

describe('settings', () => {
  test('are on where nothing is said', () => {
    expect(parse('').settings).toEqual(defaultSettings)
    expect(defaultSettings).toMatchObject({ engine: 'On', requestBodyAccess: true, responseBodyAccess: true })
  })

  test('begin with what the caller gives', () => {
    const settings = { responseBodyMimeTypes: ['application/json'], argumentsMax: 5 }
    expect(parse('', { settings }).settings).toEqual({ ...defaultSettings, ...settings })
    expect(parse('SecArgumentsLimit 7', { settings }).settings.argumentsMax).toBe(7)
  })

  test.each([
    ['SecRuleEngine detectiononly', { engine: 'DetectionOnly' }],
    ['SecRequestBodyAccess Off', { requestBodyAccess: false }],
    ['SecResponseBodyAccess "off"', { responseBodyAccess: false }],
    ['SecRequestBodyLimit 5', { requestBodyBytesMax: 5 }],
    ['SecRequestBodyNoFilesLimit 5', { requestBodyNoFilesBytesMax: 5 }],
    ['SecRequestBodyLimitAction ProcessPartial', { requestBodyLimitAction: 'ProcessPartial' }],
    ['SecResponseBodyLimit 5', { responseBodyBytesMax: 5 }],
    ['SecResponseBodyLimitAction Reject', { responseBodyLimitAction: 'Reject' }],
    ['SecRequestBodyJsonDepthLimit 5', { jsonDepthMax: 5 }],
    ['SecArgumentsLimit 5', { argumentsMax: 5 }],
    ['SecArgumentSeparator ";"', { argumentSeparator: ';' }],
    ['SecCollectionTimeout 5', { collectionTimeoutSeconds: 5 }],
    ['SecComponentSignature "A/1"\nSecComponentSignature B\nSecComponentSignature B', { components: ['A/1', 'B'] }],
    ['SecResponseBodyMimeType Text/Plain a/b', { responseBodyMimeTypes: ['text/plain', 'a/b'] }],
    ['SecResponseBodyMimeType a/b\nSecResponseBodyMimeType c/d', { responseBodyMimeTypes: ['a/b', 'c/d'] }],
    ['SecResponseBodyMimeTypesClear', { responseBodyMimeTypes: [] }],
    ['SecResponseBodyMimeTypesClear\nSecResponseBodyMimeType a/b', { responseBodyMimeTypes: ['a/b'] }],
    ['SecRequestBodyLimit 5\nSecRequestBodyLimit 6', { requestBodyBytesMax: 6 }],
  ])('%s', (text, settings) => {
    expect(parse(text)).toMatchObject({ settings, warnings: [] })
  })

  test.each([
    ['SecRuleEngine Maybe', 'expected On or Off or DetectionOnly, found "Maybe"'],
    ['SecRequestBodyAccess', 'SecRequestBodyAccess needs a value'],
    ['SecRequestBodyLimit 5k', 'expected a number of bytes, found "5k"'],
    ['SecArgumentSeparator &&', 'expected one character, such as &'],
    ['SecRemoteRules key https://example.org', 'rules are not fetched from the network'],
    ['SecRuleScript a.lua "id:1"', 'scripts are not run'],
  ])('%s is refused: %s', (text, message) => {
    expect(messagesOf(text)).toEqual([message])
  })

  test.each([
    [
      'SecAuditEngine RelevantOnly',
      'SecAuditEngine has no effect: matches are told in events, which have settings of their own',
    ],
    ['SecTmpDir /tmp/', 'SecTmpDir has no effect: nothing is written to disk'],
    ['SecCookieFormat 1', 'SecCookieFormat has no effect: cookies are read as browsers send them (RFC 6265)'],
  ])('%s is told as a warning', (text, message) => {
    expect(warningsOf(text)).toEqual([[1, message]])
  })

  test.each([
    'SecAuditEngine Off',
    'SecCookieFormat 0',
    'SecStatusEngine off',
    'SecUnicodeMapFile unicode.mapping 20127',
  ])('%s asks for nothing that is not so', (text) => {
    expect(warningsOf(text)).toEqual([])
  })

  test('take the code page of a unicode map', () => {
    const map = '1250  (ANSI)\n00a1:21 00a2:63\n00a3:4c\n\n1251 (Cyrillic)\n0101:61\n'
    const readData = () => map
    const unicodeMap = (page: string) => parse(`SecUnicodeMapFile a.map ${page}`, { readData }).settings.unicodeMap
    expect(unicodeMap('1250')).toEqual(
      new Map([
        [0xa1, 0x21],
        [0xa2, 0x63],
        [0xa3, 0x4c],
      ]),
    )
    expect(unicodeMap('1251')).toEqual(new Map([[0x101, 0x61]]))
    expect(unicodeMap('20127')).toBeUndefined()
    expect(errorOf('SecUnicodeMapFile a.map 437', { readData }).message).toContain('the file has no code page 437')
  })
})
