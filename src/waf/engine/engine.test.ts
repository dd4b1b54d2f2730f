import { describe, expect, test } from 'vitest'
import { programOf as compile, idsOf, type Sent, send } from './fixture.ts'
import { logLine } from './log-line.ts'
import type { Program, ProgramOptions, Refinement } from './program.ts'

const form = ['Content-Type', 'application/x-www-form-urlencoded']
const json = ['Content-Type', 'application/json']

describe.each(['plain', 'fast'] as const)('the %s evaluator:', (evaluator) => {
  function programOf(text: string, options: Partial<ProgramOptions> = {}): Program {
    return compile(text, { evaluator, ...options })
  }

  /** TX:name after an exchange. */
  function scoreOf(rules: string, uri: string, sent?: Sent, name = 'score'): string | undefined {
    return send(programOf(rules), uri, sent).variable(name)
  }

  describe('scores', () => {
    test.each([
      ['once for each value that matches', '/?a=x&b=x&c=y', '10'],
      ['once for each of two arguments of one name', '/?a=x&a=x', '10'],
      ['not at all where nothing matches', '/?a=y', undefined],
    ])('are added %s', (_, uri, score) => {
      expect(scoreOf('SecRule ARGS "@streq x" "id:1,phase:1,pass,setvar:tx.score=+5"', uri)).toBe(score)
    })

    test('are added through macros, names without regard to case, missing ones as 0', () => {
      const rules = `
      SecAction "id:1,phase:1,pass,nolog,setvar:'tx.Critical=5',setvar:'tx.total=1'"
      SecAction "id:2,phase:1,pass,nolog,setvar:'TX.Total=+%{tx.critical}',setvar:'tx.total=+%{tx.missing}',setvar:'tx.total=-2'"`
      expect(scoreOf(rules, '/', {}, 'total')).toBe('4')
    })

    test('of names made of macros belong to each value', () => {
      const rules = `
      SecRule ARGS_NAMES "@unconditionalMatch" "id:1,phase:1,pass,nolog,setvar:'tx.count_%{MATCHED_VAR}=+1'"
      SecRule TX:/^count_/ "@gt 1" "id:2,phase:1,pass,msg:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"`
      const { matches } = send(programOf(rules), '/?a=1&b=2&A=3')
      expect(matches.map(({ message }) => message)).toEqual(['TX:count_a=2'])
    })

    test('are unset with an exclamation mark', () => {
      const rules = `
      SecAction "id:1,phase:1,pass,nolog,setvar:tx.score=1"
      SecAction "id:2,phase:1,pass,nolog,setvar:!tx.score"
      SecRule &TX:score "@eq 0" "id:3,phase:1,pass"`
      const sent = send(programOf(rules), '/')
      expect([sent.variable('score'), idsOf(sent)]).toEqual([undefined, [3]])
    })

    test('stay bounded where a rule doubles a text with each match', () => {
      const rules = `
      SecAction "id:1,phase:1,pass,nolog,setvar:tx.score=12345678"
      SecRule ARGS "@unconditionalMatch" "id:2,phase:1,pass,nolog,setvar:'tx.score=%{tx.score}%{tx.score}'"`
      const uri = `/?${Array.from({ length: 60 }, (_, i) => `a${i}`).join('&')}`
      expect(scoreOf(rules, uri)).toHaveLength(65_536)
    })

    test('keep the highest severity that was seen', () => {
      const rules = `
      SecRule ARGS:a "@streq x" "id:1,phase:1,pass,severity:ERROR"
      SecRule ARGS:b "@streq x" "id:2,phase:1,pass,severity:CRITICAL"
      SecRule ARGS:c "@streq x" "id:3,phase:1,pass,severity:NOTICE"
      SecRule HIGHEST_SEVERITY "@unconditionalMatch" "id:9,phase:1,pass,msg:'%{MATCHED_VAR}'"`
      const seen = (uri: string) => send(programOf(rules), uri).matches.at(-1)?.message
      expect([seen('/'), seen('/?a=x'), seen('/?a=x&b=x&c=x'), seen('/?c=x')]).toEqual(['255', '3', '2', '5'])
    })
  })

  describe('multiMatch', () => {
    const rule = (actions: string) =>
      `SecRule ARGS "@contains x" "id:1,phase:1,pass,${actions},t:none,t:lowercase,t:urlDecodeUni,t:removeNulls,setvar:tx.score=+5"`

    test.each([
      ['a value that no transformation changes counts once', '/?a=x', '5'],
      ['each stage that changes the value and matches counts', '/?a=Ax%2541', '15'],
      ['a stage that comes to match late counts alone', '/?a=%2578', '5'],
      ['a stage that matches no longer counts while it did', '/?a=X%2578', '10'],
    ])('%s', (_, uri, score) => {
      expect(scoreOf(rule('multiMatch'), uri)).toBe(score)
    })

    test('without it only the last stage counts', () => {
      expect(scoreOf(rule('log'), '/?a=Ax%2541')).toBe('5')
    })
  })

  describe('a chain', () => {
    const chain = `
    SecRule ARGS "@rx ^(\\w+)!" "id:1,phase:1,pass,capture,setvar:tx.head=+1,msg:'said %{TX.1}',logdata:'%{MATCHED_VAR_NAME}',chain"
      SecRule REQUEST_METHOD "@streq GET" "setvar:tx.tail=+1"`

    test('matches where all of its members do, and is one match', () => {
      const sent = send(programOf(chain), '/?a=hello!&b=bye!')
      expect(sent.matches).toMatchObject([
        { message: 'said bye', data: 'REQUEST_METHOD', variable: 'REQUEST_METHOD', value: 'GET', captured: 'bye!' },
      ])
      expect([sent.variable('head'), sent.variable('tail')]).toEqual(['2', '1'])
    })

    test('runs setvar of a member at its own match, even if a later member does not match', () => {
      const sent = send(programOf(chain), '/?a=hello!', { method: 'PUT' })
      expect([sent.variable('head'), sent.variable('tail'), sent.matches]).toEqual(['1', undefined, []])
    })

    test('gives each member as MATCHED_VARS what those before it matched, each time it did', () => {
      const rules = `
      SecRule ARGS "@contains a" "id:1,phase:1,pass,chain"
        SecRule MATCHED_VARS "@contains b" "setvar:tx.second=+1,chain"
          SecRule MATCHED_VARS "@contains c" "setvar:tx.third=+1,chain"
            SecRule MATCHED_VARS_NAMES "@unconditionalMatch" "setvar:tx.fourth=+1"`
      const sent = send(programOf(rules), '/?p=a&q=ab&r=abc&s=ac&t=bc')
      expect(['second', 'third', 'fourth'].map((name) => sent.variable(name))).toEqual(['2', '3', '9'])
      expect(sent.matches).toMatchObject([{ variable: 'ARGS:r', value: 'ARGS:r' }])
    })

    test('does not see what a rule before it matched', () => {
      const rules = `
      SecRule ARGS "@contains a" "id:1,phase:1,pass,nolog"
      SecRule MATCHED_VARS "@unconditionalMatch" "id:2,phase:1,pass"`
      expect(idsOf(send(programOf(rules), '/?p=a'))).toEqual([])
    })

    test('may test the value that the member before it transformed', () => {
      const rules = `
      SecRule ARGS "@contains union" "id:1,phase:1,pass,t:lowercase,chain"
        SecRule MATCHED_VAR "@streq a union b"`
      expect(idsOf(send(programOf(rules), '/?p=A+UNION+B'))).toEqual([1])
    })

    test('runs ctl of a member at its own match', () => {
      const rules = `
      SecRule ARGS:a "@streq x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=9,chain"
        SecRule ARGS:b "@streq x"
      SecAction "id:9,phase:1,pass,log"`
      expect([idsOf(send(programOf(rules), '/?a=x')), idsOf(send(programOf(rules), '/'))]).toEqual([[], [9]])
    })
  })

  describe('captures', () => {
    test('of a rule leave none of an earlier one behind, and stay for later rules', () => {
      const rules = `
      SecRule ARGS:a "@rx (.)(.)(.)" "id:1,phase:1,pass,nolog,capture"
      SecRule ARGS:b "@rx (.)" "id:2,phase:1,pass,nolog,capture"
      SecRule ARGS:b "@rx (.)" "id:3,phase:1,pass,nolog"
      SecRule TX:1 "@unconditionalMatch" "id:4,phase:1,pass,msg:'%{TX.0}|%{TX.1}|%{TX.2}|%{TX.3}'"`
      expect(send(programOf(rules), '/?a=xyz&b=pq').matches[0]?.message).toBe('p|p||')
    })

    test('are made by the value that matched last', () => {
      const rules = `SecRule ARGS "@rx ^a(.)" "id:1,phase:1,pass,capture,logdata:'%{TX.1} of %{MATCHED_VAR_NAME}'"`
      expect(send(programOf(rules), '/?p=a1&q=a2').matches.map(({ data }) => data)).toEqual([
        '1 of ARGS:p',
        '2 of ARGS:q',
      ])
    })
  })

  describe('negation', () => {
    test.each([
      ['/?a=x', []],
      ['/?a=y', [1]],
      ['/', []],
    ])('turns the answer for each value around, and where there is no value nothing matches: %s', (uri, ids) => {
      expect(idsOf(send(programOf('SecRule ARGS:a "!@streq x" "id:1,phase:1,pass"'), uri))).toEqual(ids)
    })
  })

  describe('targets', () => {
    test.each([
      ['ARGS:Q', '/?q=x&Q=x&r=x', ['ARGS:q', 'ARGS:Q']],
      ['ARGS:/^q\\d/', '/?q1=x&Q2=x&q=x', ['ARGS:q1', 'ARGS:Q2']],
      ['ARGS|!ARGS:q', '/?q=x&r=x', ['ARGS:r']],
      ['ARGS|!ARGS:/^q/', '/?q1=x&r=x&Q2=x', ['ARGS:r']],
      ['ARGS_NAMES|!ARGS:x', '/?x=1', ['ARGS_NAMES:x']],
      ['ARGS|ARGS_GET', '/?q=x', ['ARGS:q', 'ARGS_GET:q']],
      ['REQUEST_HEADERS|!REQUEST_HEADERS:Host', '/', ['REQUEST_HEADERS:X-A']],
      ['REQUEST_COOKIES|REQUEST_COOKIES_NAMES', '/', ['REQUEST_COOKIES:sid', 'REQUEST_COOKIES_NAMES:x']],
    ])('%s of %s are %s', (targets, uri, variables) => {
      const program = programOf(`SecRule ${targets} "@streq x" "id:1,phase:1,pass"`)
      const headers = ['X-A', 'x', 'Cookie', 'sid=x; x=1']
      expect(send(program, uri, { headers }).matches.map(({ variable }) => variable)).toEqual(variables)
    })

    test.each([
      ['&ARGS', '/?a=1&b=2', '2', '&ARGS'],
      ['&ARGS:a', '/?a=1&b=2&A=3', '2', '&ARGS:a'],
      ['&REQUEST_HEADERS:Missing', '/', '0', '&REQUEST_HEADERS:missing'],
      ['&ARGS|!ARGS:b', '/?a=1&b=2', '1', '&ARGS'],
    ])('%s of %s is %s', (target, uri, count, variable) => {
      const program = programOf(`SecRule ${target} "@eq ${count}" "id:1,phase:1,pass"`)
      expect(send(program, uri).matches).toMatchObject([{ variable, value: count }])
    })
  })

  describe('variables', () => {
    /** What a variable holds, member by member, in phase 2. */
    function read(variable: string, uri: string, sent?: Sent, phase = 2): Record<string, string> | string[] {
      const program = programOf(`
      SecResponseBodyAccess On
      SecRule ${variable} "@unconditionalMatch" "id:1,phase:${phase},pass"`)
      return send(program, uri, sent).matches.map(({ variable, value }) => `${variable}=${value}`)
    }

    test.each([
      ['REQUEST_LINE', 'GET /a%20b/c.php?q=%41#top HTTP/1.1'],
      ['REQUEST_URI_RAW', '/a%20b/c.php?q=%41#top'],
      ['REQUEST_URI', '/a%20b/c.php?q=%41'],
      ['REQUEST_FILENAME', '/a b/c.php'],
      ['REQUEST_BASENAME', 'c.php'],
      ['QUERY_STRING', 'q=%41'],
      ['REQUEST_METHOD', 'GET'],
      ['REQUEST_PROTOCOL', 'HTTP/1.1'],
      ['REMOTE_ADDR', '192.0.2.7'],
      ['REMOTE_PORT', '40000'],
      ['SERVER_NAME', 'shop.example'],
      ['SERVER_PORT', '443'],
      ['UNIQUE_ID', 'request-1'],
      ['TIME_EPOCH', '1700000000'],
      ['ARGS_COMBINED_SIZE', '2'],
      ['REQBODY_PROCESSOR', ''],
      ['REQUEST_BODY_LENGTH', '0'],
      ['REMOTE_USER', 'ada'],
      ['AUTH_TYPE', 'Basic'],
    ])('%s of a request is %s', (variable, value) => {
      const headers = ['Authorization', `Basic ${btoa('ada:secret')}`]
      expect(read(variable, '/a%20b/c.php?q=%41#top', { headers })).toEqual([`${variable}=${value}`])
    })

    test('of a form are its arguments beside those of the query, and REQUEST_BODY', () => {
      const sent = { headers: form, body: 'b=2&b=%33' }
      expect(read('ARGS|ARGS_GET|ARGS_POST', '/?a=1', sent)).toEqual([
        'ARGS:a=1',
        'ARGS:b=2',
        'ARGS:b=3',
        'ARGS_GET:a=1',
        'ARGS_POST:b=2',
        'ARGS_POST:b=3',
      ])
      expect(read('REQUEST_BODY|REQUEST_BODY_LENGTH|REQBODY_PROCESSOR', '/', sent)).toEqual([
        'REQUEST_BODY=b=2&b=%33',
        'REQUEST_BODY_LENGTH=9',
        'REQBODY_PROCESSOR=URLENCODED',
      ])
    })

    test('of JSON are its leaves, two of one name both, and there is no REQUEST_BODY', () => {
      const sent = { headers: json, body: '{"a":{"b":["x"]},"c":1,"c":2}' }
      expect(read('ARGS:/[bc]\\.0$|^json.c$/|ARGS:json.c', '/', sent)).toContain('ARGS:json.c=1')
      expect(read('ARGS:json.a.b.0|ARGS:json.c', '/', sent)).toEqual([
        'ARGS:json.a.b.0=x',
        'ARGS:json.c=1',
        'ARGS:json.c=2',
      ])
      expect(read('REQUEST_BODY', '/', sent)).toEqual([])
    })

    test('of a body that cannot be read are REQBODY_ERROR and what was read of it', () => {
      const sent = { headers: json, body: '{"a":"x",' }
      expect(read('REQBODY_ERROR|ARGS:json.a', '/', sent)).toEqual(['REQBODY_ERROR=1', 'ARGS:json.a=x'])
    })

    test('of multipart are its fields and files', () => {
      const headers = ['Content-Type', 'multipart/form-data; boundary=b']
      const part = (disposition: string, content: string) =>
        `--b\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`
      const body = `${part('name="a"', '1')}${part('name="f"; filename="x.php"', '<?php')}--b--\r\n`
      expect(
        read('ARGS|FILES|FILES_NAMES|FILES_SIZES|FILES_COMBINED_SIZE|MULTIPART_STRICT_ERROR', '/', { headers, body }),
      ).toEqual([
        'ARGS:a=1',
        'FILES:f=x.php',
        'FILES_NAMES:f=f',
        'FILES_SIZES:f=5',
        'FILES_COMBINED_SIZE=5',
        'MULTIPART_STRICT_ERROR=0',
      ])
      expect(read('MULTIPART_PART_HEADERS:f', '/', { headers, body })).toEqual([
        'MULTIPART_PART_HEADERS:f=Content-Disposition: form-data; name="f"; filename="x.php"',
      ])
    })

    test('of XML are its text and its attributes', () => {
      const sent = { headers: ['Content-Type', 'application/xml'], body: '<a href="u"><b>text</b></a>' }
      expect(read('XML:/*|XML://@*', '/', sent)).toEqual(['XML:/*=text', 'XML://@*=u'])
      expect(read('XML:/a/b/text()', '/', sent)).toEqual(['XML:/*=text'])
    })

    test('of XML are its runs of text, and all text as one where none of them matches', () => {
      const seen = (body: string) => {
        const rules = 'SecRule XML:/* "@rx union.select|^a$" "id:1,phase:2,pass,setvar:tx.score=+1"'
        const sent = send(programOf(rules), '/', { headers: ['Content-Type', 'text/xml'], body })
        return [sent.variable('score'), ...sent.matches.map(({ value }) => value)]
      }
      expect(seen('<x><y>union select</y><y>b</y></x>')).toEqual(['1', 'union select'])
      expect(seen('<x>a<y>b</y>a</x>')).toEqual(['2', 'a', 'a'])
      expect(seen('<x>union<y> </y>select</x>')).toEqual(['1', 'union select'])
    })

    test('of a response are there once it is', () => {
      const reply = { status: 503, headers: ['Content-Type', 'text/html; charset=utf-8'], body: 'oops' }
      const variables = 'RESPONSE_STATUS|RESPONSE_HEADERS|RESPONSE_CONTENT_TYPE|RESPONSE_BODY|RESPONSE_CONTENT_LENGTH'
      expect(read(variables, '/', { reply }, 2)).toEqual([])
      expect(read(variables, '/', { reply }, 4)).toEqual([
        'RESPONSE_STATUS=503',
        'RESPONSE_HEADERS:Content-Type=text/html; charset=utf-8',
        'RESPONSE_CONTENT_TYPE=text/html',
        'RESPONSE_BODY=oops',
        'RESPONSE_CONTENT_LENGTH=4',
      ])
    })
  })

  describe('macros', () => {
    test.each([
      ['%{REQUEST_HEADERS.host}', 'shop.example'],
      ['%{request_method} %{ARGS.q} of %{REMOTE_ADDR}', 'GET x of 192.0.2.7'],
      ['%{rule.id}/%{rule.severity}', '1/2'],
      ['%{ARGS.missing}-%{tx.missing}', '-'],
      ['100%{} %{no such} %{NO_SUCH.thing}', '100%{} %{no such} %{NO_SUCH.thing}'],
    ])('%s becomes %s', (macro, text) => {
      const program = programOf(`SecRule ARGS:q "@streq x" "id:1,phase:1,pass,severity:2,msg:'${macro}'"`)
      expect(send(program, '/?q=x').matches[0]?.message).toBe(text)
    })

    test('in an operator are expanded for each request', () => {
      const program = programOf(`
      SecAction "id:1,phase:1,pass,nolog,setvar:'tx.allowed=GET HEAD'"
      SecRule REQUEST_METHOD "!@within %{tx.allowed}" "id:2,phase:1,pass"
      SecRule ARGS:to "!@endsWith %{request_headers.host}" "id:3,phase:1,pass"`)
      expect(idsOf(send(program, '/?to=http://shop.example'))).toEqual([])
      expect(idsOf(send(program, '/?to=http://other.example', { method: 'PUT' }))).toEqual([2, 3])
    })

    test('that make no sense to an operator are told, and a negated rule then matches', () => {
      const program = programOf(`
      SecRule REMOTE_ADDR "@ipMatch %{ARGS.ip}" "id:1,phase:1,pass"
      SecRule REMOTE_ADDR "!@ipMatch %{ARGS.ip}" "id:2,phase:1,pass"`)
      const sent = send(program, '/?ip=nonsense')
      expect(idsOf(sent)).toEqual([2])
      expect(sent.events.map(({ kind }) => kind)).toEqual(['rule', 'rule'])
    })
  })

  describe('the order of rules', () => {
    const rules = (actions: string) => `
    SecAction "id:1,phase:1,${actions}"
    SecAction "id:2,phase:1,pass,log"
    SecMarker HERE
    SecAction "id:3,phase:1,pass,log"
    SecAction "id:4,phase:1,pass,log"
    SecAction "id:5,phase:2,pass,log"
    SecAction "id:6,phase:3,pass,log"
    SecAction "id:7,phase:5,pass,log"`

    test.each([
      ['pass,nolog', [2, 3, 4, 5, 6, 7]],
      ['pass,nolog,skip:2', [4, 5, 6, 7]],
      ['pass,nolog,skip:9', [5, 6, 7]],
      ['pass,nolog,skipAfter:HERE', [3, 4, 5, 6, 7]],
      ['pass,nolog,skipAfter:NOWHERE', [5, 6, 7]],
      ['allow:phase,nolog', [5, 6, 7]],
      ['allow:request,nolog', [6, 7]],
      ['allow,nolog', [7]],
      ['deny,nolog', [7]],
      ['pass,nolog,ctl:ruleEngine=Off', []],
      ['pass,nolog,ctl:ruleRemoveById=2-4', [5, 6, 7]],
    ])('after %s goes on with %s', (actions, ids) => {
      expect(idsOf(send(programOf(rules(actions)), '/'))).toEqual(ids)
    })

    test('does not jump back to a marker that stands before', () => {
      const program = programOf(`
      SecMarker HERE
      SecAction "id:1,phase:1,pass,log,skipAfter:HERE"
      SecAction "id:2,phase:1,pass,log"`)
      expect(idsOf(send(program, '/'))).toEqual([1])
    })

    test('jumps only where the rule matches', () => {
      const program = programOf(`
      SecRule ARGS:a "@streq x" "id:1,phase:1,pass,nolog,skipAfter:END"
      SecAction "id:2,phase:1,pass,log"
      SecMarker END`)
      expect([idsOf(send(program, '/?a=x')), idsOf(send(program, '/?a=y'))]).toEqual([[], [2]])
    })
  })

  describe('what becomes of a request', () => {
    test.each([
      ['deny', { ruleId: 1, action: 'deny', status: 403 }],
      ['deny,status:418', { ruleId: 1, action: 'deny', status: 418 }],
      ['drop', { ruleId: 1, action: 'drop' }],
      [
        "redirect:'https://x.example/?from=%{REQUEST_URI}'",
        { ruleId: 1, action: 'redirect', redirect: 'https://x.example/?from=/a' },
      ],
      ['pass', undefined],
    ])('%s', (actions, interruption) => {
      const sent = send(programOf(`SecAction "id:1,phase:1,log,${actions}"\nSecAction "id:2,phase:2,pass,log"`), '/a')
      if (interruption === undefined) expect(sent.interruption).toBeUndefined()
      else expect(sent.interruption).toMatchObject(interruption)
      expect(idsOf(sent)).toEqual(interruption === undefined ? [1, 2] : [1])
    })

    test('block is what the default action of the phase says', () => {
      const program = programOf(`
      SecDefaultAction "phase:2,log,auditlog,deny,status:429"
      SecRule ARGS "@contains x" "id:1,phase:2,block"`)
      expect(send(program, '/?a=x').interruption).toMatchObject({ status: 429 })
    })

    test('DetectionOnly runs everything, blocks nothing and tells what would have been', () => {
      const program = programOf(`
      SecRuleEngine DetectionOnly
      SecAction "id:1,phase:1,deny,log,status:401"
      SecAction "id:2,phase:2,drop,log"
      SecAction "id:3,phase:2,allow,log"
      SecAction "id:4,phase:4,pass,log"`)
      const sent = send(program, '/')
      expect(idsOf(sent)).toEqual([1, 2, 3, 4])
      expect(sent.interruption).toBeUndefined()
      expect(sent.detected).toEqual({ ruleId: 1, action: 'deny', status: 401 })
    })

    test('the engine can be turned on for one transaction', () => {
      const program = programOf(`
      SecRuleEngine DetectionOnly
      SecRule ARGS:strict "@eq 1" "id:1,phase:1,pass,nolog,ctl:ruleEngine=On"
      SecAction "id:2,phase:2,deny,log"`)
      expect([send(program, '/?strict=1').interruption?.ruleId, send(program, '/').interruption]).toEqual([
        2,
        undefined,
      ])
    })

    test('the logging phase runs after an interruption and cannot make one', () => {
      const program = programOf('SecAction "id:1,phase:1,deny,nolog"\nSecAction "id:2,phase:5,deny,log"')
      const sent = send(program, '/')
      expect([idsOf(sent), sent.interruption?.ruleId]).toEqual([[2], 1])
      expect(send(programOf('SecAction "id:2,phase:5,deny,log"'), '/').interruption).toBeUndefined()
    })

    test('with the engine off nothing runs', () => {
      expect(idsOf(send(programOf('SecRuleEngine Off\nSecAction "id:1,phase:1,deny,log"'), '/'))).toEqual([])
    })
  })

  describe('matches', () => {
    test('are told of rules that log, noauditlog or not, with what they matched', () => {
      const program = programOf(`
      SecRule ARGS "@rx (?i)union" "id:1,phase:1,pass,capture,t:urlDecodeUni,msg:'SQL',logdata:'%{TX.0} in %{MATCHED_VAR_NAME}',severity:2,tag:'a',tag:'b'"
      SecAction "id:2,phase:1,pass,nolog"
      SecAction "id:3,phase:1,pass,noauditlog,msg:'three'"`)
      expect(send(program, '/?q=1+UNION+2').matches).toMatchObject([
        {
          message: 'SQL',
          data: 'UNION in ARGS:q',
          variable: 'ARGS:q',
          value: '1 UNION 2',
          captured: 'UNION',
          tags: ['a', 'b'],
          severity: 2,
        },
        { message: 'three', variable: '', value: '', captured: undefined },
      ])
    })

    test('of one rule are at most ten, while its scores count all', () => {
      const uri = `/?${Array.from({ length: 50 }, (_, i) => `a${i}=x`).join('&')}`
      const sent = send(programOf('SecRule ARGS "@streq x" "id:1,phase:1,pass,setvar:tx.score=+1"'), uri)
      expect([sent.matches.length, sent.variable('score')]).toEqual([10, '50'])
    })

    test('are one line of a log each, whatever bytes are in them', () => {
      const program = programOf(
        `SecRule ARGS "@contains x" "id:1,phase:1,pass,msg:'M',logdata:'%{MATCHED_VAR}',severity:2,tag:'t'"`,
      )
      const sent = send(program, '/?q=x%0a%22[id "9"]\\')
      expect(logLine(sent.matches[0]!, sent)).toBe(
        '[client 192.0.2.7] ModSecurity: Warning (phase 1). Matched at ARGS:q. [file "test.conf"] [line "3"] [id "1"] [msg "M"] ' +
          '[data "x\\x0a\\"[id \\"9\\"]\\"] [severity "CRITICAL"] [tag "t"] [hostname "198.51.100.1"] [uri "/?q=x%0a%22[id \\"9\\"]\\"] [unique_id "request-1"]',
      )
    })
  })

  describe('exclusions', () => {
    const rules = `
    SecRule ARGS|REQUEST_COOKIES "@contains x" "id:100,phase:2,pass,tag:'sql',tag:'web/sql',msg:'about sql'"
    SecRule ARGS "@contains x" "id:200,phase:2,pass,tag:'xss',chain"
      SecRule MATCHED_VARS|ARGS "@contains x" "setvar:tx.members=+1"
    SecRule &ARGS "@ge 2" "id:300,phase:2,pass,tag:'count'"`

    test.each([
      ['nothing', 'ctl:auditEngine=On', ['100 ARGS:a', '100 ARGS:b', '200 ARGS:b', '300 &ARGS']],
      ['a rule', 'ctl:ruleRemoveById=100', ['200 ARGS:b', '300 &ARGS']],
      ['a range', 'ctl:ruleRemoveById=100-299', ['300 &ARGS']],
      ['a tag', 'ctl:ruleRemoveByTag=sql', ['200 ARGS:b', '300 &ARGS']],
      ['a part of a tag: nothing', 'ctl:ruleRemoveByTag=web', ['100 ARGS:a', '100 ARGS:b', '200 ARGS:b', '300 &ARGS']],
      ['a pattern of tags', 'ctl:ruleRemoveByTag=^(?:sql|xss)$', ['300 &ARGS']],
      ['a message', "ctl:'ruleRemoveByMsg=about sql'", ['200 ARGS:b', '300 &ARGS']],
      ['a target', 'ctl:ruleRemoveTargetById=100;ARGS:A', ['100 ARGS:b', '200 ARGS:b', '300 &ARGS']],
      ['targets of a pattern', 'ctl:ruleRemoveTargetByTag=sql;ARGS:/^[ab]$/', ['200 ARGS:b', '300 &ARGS']],
      ['a whole variable', 'ctl:ruleRemoveTargetByMsg=about sql;ARGS', ['200 ARGS:b', '300 &ARGS']],
      [
        'a target of all members of a chain',
        'ctl:ruleRemoveTargetById=200;ARGS:b',
        ['100 ARGS:a', '100 ARGS:b', '200 ARGS:a', '300 &ARGS'],
      ],
      ['what a count counts', 'ctl:ruleRemoveTargetById=300;ARGS:a', ['100 ARGS:a', '100 ARGS:b', '200 ARGS:b']],
    ])('for one transaction leave out %s', (_, control, expected) => {
      const text = control.startsWith('ctl:r') && control.includes(' ') ? `ctl:'${control.slice(4)}'` : control
      const program = programOf(`SecRule ARGS:a "@unconditionalMatch" "id:1,phase:1,pass,nolog,${text}"${rules}`)
      const seen = (uri: string) => send(program, uri).matches.map(({ rule, variable }) => `${rule.id} ${variable}`)
      expect(seen('/?a=x&b=x')).toEqual(expected)
      // The next transaction knows nothing of it.
      expect(seen('/?c=x')).toEqual(['100 ARGS:c', '200 ARGS:c'])
    })

    test('at load come after the rules that they change', () => {
      const program = programOf(`${rules}
      SecRuleRemoveByTag ^xss$
      SecRuleUpdateTargetById 100 "!ARGS:a"
      SecRuleRemoveById 300`)
      expect(send(program, '/?a=x&b=x').matches.map(({ variable }) => variable)).toEqual(['ARGS:b'])
    })

    test.each<[string, Refinement['exclusions'] & object, string[]]>([
      ['rules by id', [{ ids: [100, 200] }], ['300 &ARGS']],
      ['rules by tag', [{ tag: 'xss' }, { tag: 'count' }], ['100 ARGS:a', '100 ARGS:b']],
      [
        'targets',
        [{ tag: 'sql', targets: [{ variable: 'ARGS', selector: { kind: 'name', name: 'a' }, count: false }] }],
        ['100 ARGS:b', '200 ARGS:b', '300 &ARGS'],
      ],
    ])('of a refined program are %s, and the program it was made of stays', (_, exclusions, expected) => {
      const program = programOf(rules)
      const refined = program.refine({ exclusions })
      const seen = (of: typeof program) =>
        send(of, '/?a=x&b=x').matches.map(({ rule, variable }) => `${rule.id} ${variable}`)
      expect(seen(refined)).toEqual(expected)
      expect(seen(program)).toEqual(['100 ARGS:a', '100 ARGS:b', '200 ARGS:b', '300 &ARGS'])
    })

    test('of a refined program and of a transaction add up', () => {
      const program = programOf(
        `SecRule ARGS:off "@eq 1" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=200,ctl:ruleRemoveTargetById=100;ARGS:b"${rules}`,
      )
      const target = { variable: 'ARGS', selector: { kind: 'name', name: 'a' }, count: false } as const
      const refined = program.refine({ exclusions: [{ ids: [300, 300] }, { ids: [100, 100], targets: [target] }] })
      const seen = (uri: string) => send(refined, uri).matches.map(({ rule, variable }) => `${rule.id} ${variable}`)
      expect(seen('/?a=x&b=x&c=x&off=1')).toEqual(['100 ARGS:c'])
      expect(seen('/?a=x&b=x&c=x')).toEqual(['100 ARGS:b', '100 ARGS:c', '200 ARGS:c'])
    })
  })

  describe('a refined program', () => {
    test('begins with other variables, and rules that ask first keep them', () => {
      const program = programOf(
        `
      SecRule &TX:level "@eq 0" "id:1,phase:1,pass,nolog,setvar:tx.level=1"
      SecRule TX:level "@ge 3" "id:2,phase:1,pass"`,
        { variables: { other: 'x' } },
      )
      const refined = program.refine({ variables: { level: '4' } })
      expect([idsOf(send(program, '/')), idsOf(send(refined, '/'))]).toEqual([[], [2]])
      expect([send(program, '/').variable('level'), send(refined, '/').variable('other')]).toEqual(['1', 'x'])
    })

    test('passes by values that a document proves harmless and names that it lists, where a rule looks at a whole collection for something', () => {
      const program = programOf(`
      SecRule ARGS|REQUEST_HEADERS|REQUEST_COOKIES "@contains x" "id:1,phase:2,pass"
      SecRule ARGS:n "@contains x" "id:2,phase:2,pass"
      SecRule ARGS "!@contains y" "id:3,phase:2,pass"
      SecRule &ARGS "@eq 2" "id:4,phase:2,pass"
      SecRule ARGS_NAMES "@contains n" "id:5,phase:2,pass"`)
      const isShort = (value: string) => value.length < 3
      const shape = {
        query: new Map([['n', isShort]]),
        headers: new Map([['x-n', isShort]]),
        cookies: new Map([['n', isShort]]),
        json: { properties: new Map([['n', { check: isShort }]]) },
      }
      const seen = (uri: string, sent: Sent = {}) =>
        send(program.refine({ shape }), uri, sent).matches.map(({ rule, variable }) => `${rule.id} ${variable}`)
      const others = ['2 ARGS:n', '3 ARGS:n', '3 ARGS:m', '4 &ARGS']
      expect(seen('/?n=x&m=x', { headers: ['X-N', 'x', 'X-M', 'x', 'Cookie', 'n=x; m=xx'] })).toEqual([
        '1 ARGS:m',
        '1 REQUEST_HEADERS:Host',
        '1 REQUEST_HEADERS:X-M',
        '1 REQUEST_HEADERS:Cookie',
        '1 REQUEST_COOKIES:m',
        ...others,
      ])
      expect(seen('/?n=xxxx&m=x')).toEqual(['1 ARGS:n', '1 ARGS:m', '1 REQUEST_HEADERS:Host', ...others])
      expect(seen('/?nn=y')).toContain('5 ARGS_NAMES:nn')
      expect(seen('/', { headers: json, body: '{"n":{"n":1}}' })).toContain('5 ARGS_NAMES:json.n.n')
      expect(seen('/', { headers: json, body: '{"n":"x","m":"x"}' })).toContain('1 ARGS:json.m')
      expect(seen('/', { headers: json, body: '{"n":"x","m":"x"}' })).not.toContain('1 ARGS:json.n')
    })
  })

  describe('the body of a request', () => {
    test.each([
      ['application/x-www-form-urlencoded', 'URLENCODED'],
      ['multipart/form-data; boundary=b', 'MULTIPART'],
      ['application/json; charset=utf-8', 'JSON'],
      ['application/problem+json', 'JSON'],
      ['text/xml', 'XML'],
      ['application/soap+xml', 'XML'],
      ['text/plain', ''],
    ])('of type %s has the processor %s before the first rule', (type, processor) => {
      const program = programOf(`SecRule REQBODY_PROCESSOR "@streq ${processor}" "id:1,phase:1,pass"`)
      expect(idsOf(send(program, '/', { headers: ['Content-Type', type] }))).toEqual([1])
    })

    test('of an unknown type is seen where rules force it', () => {
      const rules = 'SecRule REQUEST_BODY|ARGS "@contains x" "id:9,phase:2,pass"'
      const sent = { headers: ['Content-Type', 'text/plain'], body: 'q=x' }
      expect(idsOf(send(programOf(rules), '/', sent))).toEqual([])
      const forced = programOf(`SecAction "id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On"\n${rules}`)
      expect(send(forced, '/', sent).matches.map(({ variable }) => variable)).toEqual(['REQUEST_BODY', 'ARGS:q'])
    })

    test('is read by the processor that rules choose in phase 1', () => {
      const program = programOf(`
      SecRule REQUEST_HEADERS:X-Json "@eq 1" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
      SecRule ARGS:json.q "@streq x" "id:2,phase:2,pass"`)
      const body = '{"q":"x"}'
      expect(idsOf(send(program, '/', { headers: ['X-Json', '1'], body }))).toEqual([2])
      expect(idsOf(send(program, '/', { body }))).toEqual([])
    })

    test('is not looked at where access is off', () => {
      const program = programOf(`
      SecRequestBodyAccess Off
      SecRule ARGS|REQUEST_BODY "@unconditionalMatch" "id:1,phase:2,pass"
      SecRule REQUEST_BODY_LENGTH "@eq 3" "id:2,phase:2,pass"`)
      const begun = program.begin({ ...send(program, '/').head })
      begun.requestHead()
      expect(begun.wantsRequestBody()).toBe(false)
      expect(idsOf(send(program, '/', { headers: form, body: 'q=x' }))).toEqual([2])
    })

    test.each([
      ['Reject', 10, undefined, []],
      ['Reject', 11, { ruleId: 0, action: 'deny', status: 413 }, ['requestBodyLimit']],
      ['ProcessPartial', 11, undefined, []],
    ])('with SecRequestBodyLimitAction %s and %s bytes where 10 are allowed', (action, bytes, interruption, events) => {
      const program = programOf(`
      SecRequestBodyLimit 10
      SecRequestBodyLimitAction ${action}
      SecRule ARGS:q|INBOUND_DATA_ERROR "@unconditionalMatch" "id:1,phase:2,pass"`)
      const sent = send(program, '/', { headers: form, body: `q=${'x'.repeat(bytes - 2)}` })
      if (interruption === undefined) expect(sent.interruption).toBeUndefined()
      else expect(sent.interruption).toMatchObject(interruption)
      expect(sent.events.map(({ kind }) => kind)).toEqual(events)
      const seen = interruption === undefined ? ['x'.repeat(8), String(Number(bytes > 10))] : []
      expect(sent.matches.map(({ value }) => value)).toEqual(seen)
    })
  })

  describe('the body of a response', () => {
    const program = programOf(`
    SecResponseBodyAccess On
    SecResponseBodyMimeType text/html application/json
    SecRule RESPONSE_BODY "@contains secret" "id:1,phase:4,deny,status:502"`)
    const replied = (headers: string[]) =>
      send(program, '/', { reply: { headers, body: 'a secret' } }).interruption?.status

    test.each([
      [['Content-Type', 'text/html; charset=utf-8'], 502],
      [['Content-Type', 'Application/JSON'], 502],
      [['Content-Type', 'image/png'], undefined],
      [[], undefined],
      [['Content-Type', 'text/html', 'Content-Encoding', 'gzip'], undefined],
      [['Content-Type', 'text/html', 'Content-Encoding', 'identity'], 502],
    ])('with headers %j: %s', (headers, status) => {
      expect(replied(headers)).toBe(status)
      const begun = program.begin(send(program, '/').head)
      begun.requestHead()
      begun.requestBody(undefined)
      begun.responseHead({ status: 200, protocol: 'HTTP/1.1', headers })
      expect(begun.wantsResponseBody()).toBe(status !== undefined)
    })

    test.each([
      ['Reject', { status: 500 }, []],
      ['ProcessPartial', undefined, ['0123456789', '1']],
    ])('beyond its limit with action %s', (action, interruption, seen) => {
      const limited = programOf(`
      SecResponseBodyAccess On
      SecResponseBodyMimeType text/html
      SecResponseBodyLimit 10
      SecResponseBodyLimitAction ${action}
      SecRule RESPONSE_BODY|OUTBOUND_DATA_ERROR "@unconditionalMatch" "id:1,phase:4,pass"`)
      const sent = send(limited, '/', { reply: { body: '0123456789abc' } })
      if (interruption === undefined) expect(sent.interruption).toBeUndefined()
      else expect(sent.interruption).toMatchObject(interruption)
      expect(sent.matches.map(({ value }) => value)).toEqual(seen)
    })
  })

  describe('persistent collections', () => {
    const rules = `
    SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
    SecAction "id:2,phase:1,pass,nolog,setvar:ip.requests=+1"
    SecRule IP:requests "@ge 2" "id:3,phase:1,pass,msg:'%{ip.requests}'"`

    test('live as long as a transaction where nobody keeps them', () => {
      const program = programOf(rules)
      expect([idsOf(send(program, '/')), idsOf(send(program, '/'))]).toEqual([[], []])
    })

    test('go on from one transaction to the next where there is a store', () => {
      const kept = new Map<string, ReadonlyMap<string, string>>()
      const store = {
        load: (collection: string, key: string) => kept.get(`${collection} ${key}`),
        save: (collection: string, key: string, values: ReadonlyMap<string, string>) => {
          kept.set(`${collection} ${key}`, values)
        },
      }
      const program = programOf(rules, { store })
      send(program, '/')
      expect(send(program, '/').matches.map(({ message }) => message)).toEqual(['2'])
      expect(send(program, '/', { client: { address: '192.0.2.8', port: 1 } }).matches).toEqual([])
      expect([...kept.keys()]).toEqual(['IP 192.0.2.7', 'IP 192.0.2.8'])
    })
  })

  describe('the budget of a request', () => {
    const rules = 'SecRule ARGS "@rx (?:a|b)*c" "id:1,phase:1,pass"\nSecAction "id:2,phase:5,pass,log"'

    test.each([
      ['values', { valuesMax: 3 }, '/?a&b&c'],
      ['bytes', { bytesMax: 100 }, `/?q=${'x'.repeat(100)}`],
      ['steps', { stepsMax: 100 }, `/?q=${'ab'.repeat(100)}`],
    ])('of %s blocks where it does not suffice, and says so', (_, budget, uri) => {
      const sent = send(programOf(rules, { budget }), uri)
      expect(sent.interruption).toEqual({ ruleId: 0, action: 'deny', status: 403 })
      expect([sent.events.map(({ kind }) => kind), idsOf(sent)]).toEqual([['budget'], [2]])
      expect(send(programOf(rules, { budget }), '/?q').interruption).toBeUndefined()
    })

    test('lets the request pass where that is stated, and says so all the same', () => {
      const sent = send(programOf(rules, { budget: { stepsMax: 100 }, onBudget: 'pass' }), `/?q=${'ab'.repeat(100)}`)
      expect([sent.interruption, sent.events.length, idsOf(sent)]).toEqual([undefined, 1, [2]])
    })

    test('is for each request, not for all of them', () => {
      const program = programOf(rules, { budget: { stepsMax: 1_000 } })
      for (let i = 0; i < 50; i++) expect(send(program, `/?q=${'ab'.repeat(50)}`).events).toEqual([])
    })

    test('of time is measured by the clock that was handed in, without the time between phases', () => {
      let time = 0
      let perLook = 0
      const uri = `/?${Array.from({ length: 180 }, () => 'a=aaaa').join('&')}`
      const now = () => {
        time += perLook
        return time
      }
      const program = programOf('SecRule ARGS:a "@rx a{4}" "id:1,phase:2,pass,nolog"', {
        now,
        budget: { millisecondsMax: 100 },
      })
      const begun = (wait: number) => {
        const transaction = program.begin(send(program, uri).head)
        transaction.requestHead()
        time += 10_000
        perLook = wait
        const interruption = transaction.requestBody(undefined)
        perLook = 0
        return interruption
      }
      expect([begun(10), begun(60)]).toEqual([undefined, { ruleId: 0, action: 'deny', status: 403 }])
    })

    test('of time is looked at between the values of one rule, too', () => {
      let time = 0
      const now = () => {
        time += 10
        return time
      }
      const uri = `/?${Array.from({ length: 900 }, (_, i) => `a${i}=aaaa`).join('&')}`
      const program = programOf('SecRule ARGS "@rx a{4}" "id:1,phase:1,pass"', {
        now,
        budget: { millisecondsMax: 100 },
      })
      const sent = send(program, uri)
      expect(sent.events.map(({ detail }) => detail)).toEqual(['rules took more than 100 ms'])
    })

    test('of time is looked at between the tests of one long value, too', () => {
      let time = 0
      const now = () => {
        time += 10
        return time
      }
      const many = Array.from(
        { length: 60 },
        (_, i) => `SecRule ARGS "@rx [b-y]{${i + 1}}z" "id:${i + 1},phase:2,pass"`,
      )
      const uri = `/?q=${'by'.repeat(3_000)}z`
      const program = programOf(many.join('\n'), { now, budget: { millisecondsMax: 100 } })
      const transaction = program.begin(send(program, uri).head)
      transaction.requestHead()
      transaction.requestBody(undefined)
      const looks = evaluator === 'fast' ? 1 : 0
      expect(transaction.events.filter(({ kind }) => kind === 'budget')).toHaveLength(looks)
    })

    test('of one phase that is spent leaves nothing for the next', () => {
      const program = programOf(`${rules}\nSecRule ARGS "@rx (?:a|b)*d" "id:3,phase:2,deny"`, {
        budget: { stepsMax: 250 },
        onBudget: 'pass',
      })
      expect(send(program, `/?q=${'ab'.repeat(75)}d`).events.map(({ kind }) => kind)).toEqual(['budget'])
    })
  })

  test('a trace tells each test that was made', () => {
    const program = programOf(`
    SecRule ARGS "@streq x" "id:1,phase:1,pass,t:lowercase,chain"
      SecRule REQUEST_METHOD "@streq POST"`)
    const told: unknown[] = []
    const transaction = program.begin(send(program, '/?a=X&b=y').head, {
      trace: (rule, _, variable, value, matched) => told.push([rule.id, variable, value, matched]),
    })
    transaction.requestHead()
    expect(told).toEqual([
      [1, 'ARGS:a', 'x', true],
      [1, 'ARGS:b', 'y', false],
      [1, 'REQUEST_METHOD', 'GET', false],
    ])
  })

  test('whoever asks is told of each rule that is evaluated', () => {
    const program = programOf(
      `
    SecRule ARGS "@streq x" "id:1,phase:1,pass,nolog,skipAfter:END"
    SecAction "id:2,phase:1,pass,nolog"
    SecMarker END
    SecAction "id:3,phase:1,pass,nolog"`,
      { evaluator: 'plain' },
    )
    const evaluated: number[] = []
    program.begin(send(program, '/?a=x').head, { evaluated: ({ id }) => evaluated.push(id) }).requestHead()
    expect(evaluated).toEqual([1, 3])
  })
})
