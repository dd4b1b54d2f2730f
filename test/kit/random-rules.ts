import type { Program, Refinement, RequestHead, ResponseHead, Transaction } from '../../src/waf/engine/index.ts'
import type { RequestShape } from '../../src/waf/engine/program.ts'
import type { InjectionDetector } from '../../src/waf/injection/index.ts'

/*
 * Rule sets and exchanges out of a seed, small enough to be read when they fail and dense enough that their rules get into each
 * other's way: they share a few names of arguments, headers and TX, jump, take each other out, and read what others have set.
 */

/** Numbers from 0 up to, without, a bound. */
export type Random = (bound: number) => number

/** Mulberry32: the same numbers for the same seed. */
export function randomOf(seed: number): Random {
  let state = Math.imul(seed + 1, 0x9e3779b9) | 0
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound)
  }
}

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)]!
}

/** Finds injections by a few bytes each, among them one that every injection has: what has none is not asked for. */
export const injection: InjectionDetector = {
  sqli: (values) => values.map((value) => (value.includes("SQLI'") ? 'fingerprint' : undefined)),
  xss: (values) => values.map((value) => value.includes('XSS<')),
  both: (sqli, xss) => ({ sqli: injection.sqli(sqli), xss: injection.xss(xss) }),
}

const txNames = ['a', 'b', 'c', 'score', 'level', '1']
const values = [
  'x',
  'y',
  'Xy',
  'yx',
  '1',
  '2',
  '0',
  '12',
  'a=b',
  '../x',
  '%78',
  'x%2bY',
  '<X>',
  "x' or 1",
  'eHk=',
  'x/**/y',
]
const moreValues = [
  "SQLI'",
  'XSS<',
  '\\x78',
  '&#120;',
  '',
  ' x ',
  'x\0y',
  '\xc3\xa9x',
  'xyxyxyxy',
  'union  select',
  'x--',
  'x/**/',
]

const requestTargets = [
  ...['ARGS', 'ARGS:p', 'ARGS:q', 'ARGS:/^x/', 'ARGS_NAMES', 'ARGS_GET', 'ARGS_POST', 'ARGS_POST_NAMES', 'ARGS_GET:p'],
  ...['REQUEST_HEADERS', 'REQUEST_HEADERS:x-a', 'REQUEST_HEADERS:/^x-/', 'REQUEST_HEADERS_NAMES', 'REQUEST_COOKIES'],
  ...[
    'REQUEST_COOKIES:p',
    'REQUEST_COOKIES_NAMES',
    'REQUEST_URI',
    'REQUEST_METHOD',
    'REQUEST_BODY',
    'REQUEST_FILENAME',
  ],
  ...[
    'QUERY_STRING',
    'REQUEST_LINE',
    'XML:/*',
    'XML://@*',
    'FILES',
    'FILES_NAMES',
    'ARGS_COMBINED_SIZE',
    'REQBODY_ERROR',
  ],
]
const responseTargets = ['RESPONSE_STATUS', 'RESPONSE_BODY', 'RESPONSE_HEADERS', 'RESPONSE_HEADERS:x-a']
const countTargets = ['&ARGS', '&ARGS:p', '&ARGS:/^x/', '&REQUEST_HEADERS:x-a', '&TX:a', '&TX:level', '&TX', '&TX:/^c/']
const txTargets = ['TX:a', 'TX:b', 'TX:score', 'TX:level', 'TX:1', 'TX:a|TX:b', 'TX:0']
const oddTargets = [
  'TX',
  'TX:/^[ab]/',
  'MATCHED_VAR',
  'MATCHED_VAR_NAME',
  'MATCHED_VARS',
  'RULE:id',
  'HIGHEST_SEVERITY',
  'IP:hits',
]
const exclusions = [
  '!ARGS:q',
  '!ARGS:/^x/',
  '!REQUEST_HEADERS:x-a',
  '!REQUEST_HEADERS:Cookie',
  '!TX:a',
  '!REQUEST_COOKIES:/p/',
]

const textOperators = [
  ...[
    '@rx x',
    '@rx (?i)^(x)(y)?',
    '@rx [xy]{2,}',
    '@rx \\bx\\b',
    '@rx ^$',
    '@rx [^a-z]',
    '@rx (.)(.)(.)',
    '@rx x\\s*y',
    '@rx \\x00',
  ],
  ...[
    '@rx <[^>]*>',
    '@rx (?i)union\\s+select',
    '@rx .',
    '@rx ^(?:x|y)*$',
    '@streq x',
    '@streq y',
    '@contains x',
    '@contains xy',
  ],
  ...[
    '@beginsWith x',
    '@endsWith y',
    '@within x y xy 1 2',
    '@pm x union 12',
    '@pm xyz',
    '@strmatch or',
    '@containsWord x',
  ],
  ...['@unconditionalMatch', '@noMatch', '@validateByteRange 32-126', '@validateUrlEncoding', '@validateUtf8Encoding'],
  ...[
    '@detectSQLi',
    '@detectXSS',
    '@streq %{tx.a}',
    '@contains %{tx.b}',
    '@rx ^%{tx.a}',
    '@within %{tx.a} %{tx.b} x',
    '@rx %{tx.1}',
  ],
  ...['@streq %{MATCHED_VAR}', '@streq %{REQUEST_HEADERS.x-a}', '@rxGlobal x.'],
]
const numberOperators = [
  '@eq 0',
  '@eq 1',
  '@ge 1',
  '@gt 2',
  '@lt 2',
  '@le 1',
  '@ge %{tx.level}',
  '@eq %{tx.score}',
  '@lt 12',
  '@eq 403',
]

const transformations = [
  ...[
    'lowercase',
    'uppercase',
    'urlDecodeUni',
    'urlDecode',
    'htmlEntityDecode',
    'jsDecode',
    'cssDecode',
    'base64Decode',
  ],
  ...[
    'removeNulls',
    'replaceNulls',
    'removeWhitespace',
    'compressWhitespace',
    'trim',
    'replaceComments',
    'removeComments',
  ],
  ...[
    'removeCommentsChar',
    'normalizePath',
    'normalizePathWin',
    'cmdLine',
    'length',
    'sha1',
    'hexEncode',
    'utf8toUnicode',
  ],
  ...['escapeSeqDecode', 'base64DecodeExt', 'sqlHexDecode', 'urlEncode'],
]

const sets = [
  ...[
    'tx.a=1',
    'tx.a=x',
    'tx.b=%{tx.a}',
    'tx.b=0',
    'tx.c=%{MATCHED_VAR}',
    'tx.score=+5',
    'tx.score=+%{tx.level}',
    'tx.score=-1',
  ],
  ...[
    'tx.level=2',
    'tx.level=0',
    '!tx.a',
    '!tx.level',
    'tx.c_%{tx.a}=+1',
    'tx.%{tx.b}=1',
    'tx.c_%{MATCHED_VAR}=1',
    'tx.1=x',
  ],
  ...['ip.hits=+1', 'tx.a=%{tx.1}', 'tx.b=%{MATCHED_VAR_NAME}', 'tx.score=%{ARGS.p}', 'tx.level=1', 'tx.a=1', 'tx.a=('],
]

/** `rules` in a file that `parseRules` takes, some of the rules being chains. */
export function randomRules(random: Random): string {
  const count = 3 + random(12)
  const lines = [
    `SecRuleEngine ${random(5) === 0 ? 'DetectionOnly' : 'On'}`,
    'SecRequestBodyAccess On',
    'SecResponseBodyAccess On',
  ]
  lines.push('SecResponseBodyMimeType text/plain text/html', 'SecDefaultAction "phase:2,log,pass"')
  let phase = 1
  for (let id = 1; id <= count; id++) {
    if (random(4) === 0) phase = Math.min(5, phase + 1)
    if (random(8) === 0) lines.push(`SecMarker M${random(3)}`)
    const own = random(10) === 0 ? 1 + random(5) : phase
    lines.push(...randomRule(random, id, own, count))
  }
  lines.push('SecMarker M0', 'SecMarker M1')
  if (random(10) === 0) lines.push(`SecRuleRemoveById ${1 + random(count)}`)
  if (random(10) === 0) lines.push(`SecRuleUpdateTargetById ${1 + random(count)} "${pick(random, exclusions)}"`)
  return lines.join('\n')
}

function randomRule(random: Random, id: number, phase: number, count: number): string[] {
  const actions = [
    `id:${id}`,
    `phase:${phase}`,
    randomDisruption(random),
    random(3) === 0 ? 'nolog' : 'log',
    `tag:t${random(3)}`,
  ]
  if (random(3) === 0) actions.push(`msg:'${pick(random, messages)}'`)
  if (random(3) === 0) actions.push(`logdata:'${pick(random, messages)}'`)
  if (random(5) === 0) actions.push(`severity:${pick(random, ['CRITICAL', 'NOTICE', 'WARNING'])}`)
  if (random(7) === 0) actions.push(`skipAfter:M${random(3)}`)
  else if (random(9) === 0) actions.push(`skip:${1 + random(3)}`)
  if (random(25) === 0) actions.push('initcol:ip=%{REMOTE_ADDR}')
  if (random(6) === 0) return [`SecAction "${[...actions, ...randomEffects(random, count)].join(',')}"`]
  // Much of what a course is made of: quiet rules on TX alone.
  const quiet = random(3) === 0
  const own = quiet
    ? [`id:${id}`, `phase:${phase}`, 'pass', 'nolog', ...actions.filter((one) => one.startsWith('skip'))]
    : actions
  const members = random(4) === 0 ? 1 + random(2) : 0
  const lines = [randomCondition(random, phase, own, count, quiet, members > 0)]
  for (let member = 1; member <= members; member++) {
    lines.push(randomCondition(random, phase, [], count, quiet && random(3) > 0, member < members))
  }
  return lines
}

const messages = [
  '%{MATCHED_VAR} in %{MATCHED_VAR_NAME}',
  '%{TX.0}|%{TX.1}|%{TX.2}',
  '%{tx.a} %{tx.score}',
  '%{RULE.id}',
  '%{REQUEST_METHOD}',
]

function randomDisruption(random: Random): string {
  if (random(4) > 0) return 'pass'
  return pick(random, [
    'deny',
    'block',
    'allow',
    'allow:phase',
    'allow:request',
    'drop',
    'deny,status:400',
    'redirect:/x%{tx.a}',
  ])
}

function randomCondition(
  random: Random,
  phase: number,
  actions: readonly string[],
  count: number,
  ofTx: boolean,
  isChained: boolean,
): string {
  const all = [...actions]
  const kind = ofTx ? 0 : random(12)
  let targets: string[]
  let operator: string
  if (kind < 2) {
    targets = [
      pick(
        random,
        random(3) === 0 ? countTargets.filter((one) => one.startsWith('&TX:a') || one.startsWith('&TX:l')) : txTargets,
      ),
    ]
    operator = pick(random, random(2) === 0 ? numberOperators : textOperators)
  } else if (kind === 2) {
    targets = [pick(random, oddTargets)]
    operator = pick(random, textOperators)
  } else if (kind === 3) {
    targets = [pick(random, countTargets)]
    operator = pick(random, numberOperators)
  } else {
    const pool = phase > 2 && random(2) === 0 ? responseTargets : requestTargets
    targets = Array.from({ length: 1 + random(3) }, () => pick(random, pool))
    operator = pick(random, textOperators)
  }
  if (random(4) === 0) targets.push(pick(random, exclusions))
  for (let left = [0, 0, 1, 1, 2, 3][random(6)]!; left > 0; left--) all.push(`t:${pick(random, transformations)}`)
  if (random(6) === 0) all.push('multiMatch')
  if (random(4) === 0) all.push('capture')
  all.push(...randomEffects(random, count))
  if (isChained) all.push('chain')
  const negated = random(6) === 0 ? '!' : ''
  return `SecRule ${targets.join('|')} "${negated}${operator}"${all.length === 0 ? '' : ` "${all.join(',')}"`}`
}

function randomEffects(random: Random, count: number): string[] {
  const effects: string[] = []
  for (let left = random(3); left > 0; left--) effects.push(`setvar:'${pick(random, sets)}'`)
  if (random(7) === 0) effects.push(`ctl:${randomControl(random, count)}`)
  return effects
}

function randomControl(random: Random, count: number): string {
  const id = 1 + random(count)
  switch (random(10)) {
    case 0:
      return `ruleEngine=${pick(random, ['Off', 'On', 'DetectionOnly'])}`
    case 1:
      return `ruleRemoveById=${id}-${id + random(3)}`
    case 2:
      return `ruleRemoveByTag=t${random(3)}`
    case 3:
      return `ruleRemoveTargetByTag=t${random(3)};${pick(random, ['ARGS:p', 'TX:a', 'ARGS', 'REQUEST_HEADERS:x-a', 'TX'])}`
    case 4:
    case 5:
    case 6:
      return `ruleRemoveTargetById=${id};${pick(random, ['ARGS:p', 'ARGS:/^x/', 'TX:a', 'TX:level', 'REQUEST_COOKIES', 'TX'])}`
    case 7:
      return pick(random, [
        'requestBodyProcessor=XML',
        'requestBodyAccess=Off',
        'forceRequestBodyVariable=On',
        'auditEngine=Off',
      ])
    default:
      return `ruleRemoveById=${id}`
  }
}

/** What refines a program: other beginnings, rules and targets taken out, values and names that a document knows. */
export function randomRefinement(random: Random): Refinement {
  const text = (name: string) => ({ variable: name, selector: undefined, count: false })
  const named = (variable: string, name: string) => ({
    variable,
    selector: { kind: 'name', name } as const,
    count: false,
  })
  const targets = [
    text('ARGS'),
    named('ARGS', 'p'),
    named('TX', 'a'),
    named('TX', 'level'),
    named('REQUEST_HEADERS', 'x-a'),
    text('TX'),
  ]
  const isShort = (value: string) => value.length < 3
  const shape: RequestShape = {
    query: new Map([['p', isShort]]),
    form: new Map([['q', isShort]]),
    headers: new Map([['x-a', isShort]]),
    cookies: new Map([['p', () => true]]),
    json: {
      properties: new Map([
        ['p', { check: isShort }],
        ['x1', { items: { check: isShort } }],
      ]),
    },
  }
  return {
    ...(random(2) === 0 && { variables: { [pick(random, txNames)]: pick(random, ['0', '1', '2', 'x']) } }),
    ...(random(2) === 0 && {
      exclusions: Array.from({ length: 1 + random(2) }, () => ({
        ...(random(2) === 0 ? { ids: [1 + random(8), 8] as const } : { tag: `t${random(3)}` }),
        ...(random(3) > 0 && { targets: [pick(random, targets)] }),
      })),
    }),
    ...(random(2) === 0 && { shape }),
    ...(random(6) === 0 && { engine: pick(random, ['On', 'DetectionOnly', 'Off'] as const) }),
  }
}

/** One exchange, and which of its phases come to pass. */
export interface RandomExchange {
  readonly head: RequestHead
  readonly body: Buffer | undefined
  readonly reply: ResponseHead
  readonly replyBody: Buffer | undefined
  /** The phases that are called: a client that goes away ends an exchange anywhere; who has no reply's body may leave it out. */
  readonly phases: readonly number[]
}

export function randomExchange(random: Random): RandomExchange {
  const value = () => (random(8) === 0 ? value1() + value1() : value1())
  const value1 = () => pick(random, random(3) === 0 ? moreValues : values)
  const name = () => pick(random, ['p', 'q', 'P', 'x1', 'x', 'Xz'])
  const pairs = (most: number) => Array.from({ length: random(most) }, () => [name(), value()] as const)
  const encoded = (text: string) => (random(3) === 0 ? text.replace(/[&#%+ ]/g, '') : escapeBytes(text))
  const form = (list: readonly (readonly [string, string])[]) =>
    list.map(([key, text]) => `${key}=${encoded(text)}`).join('&')
  const headers = ['Host', 'shop.example']
  for (const [key, text] of pairs(4)) headers.push(pick(random, ['X-A', 'X-B', 'Y']), random(2) === 0 ? text : key)
  if (random(2) === 0)
    headers.push(
      'Cookie',
      pairs(3)
        .map(([key, text]) => `${key}=${text}`)
        .join('; '),
    )
  const kind = random(5)
  const body = bodyOf(kind, pairs(5), form)
  if (kind > 0) headers.push('Content-Type', types[kind]!)
  const phases = [1, 2, 3, 4, 5].filter((phase) => phase === 1 || phase === 5 || random(8) > 0)
  return {
    head: {
      method: kind === 0 ? 'GET' : 'POST',
      uri: `${pick(random, ['/', '/x', '/X/../y', '/x%78'])}?${form(pairs(4))}`,
      protocol: 'HTTP/1.1',
      headers,
      client: { address: '192.0.2.7', port: 40_000 },
      server: { address: '198.51.100.1', port: 443 },
      id: 'request-1',
      receivedAt: 1_700_000_000_000,
    },
    body: body === undefined ? undefined : Buffer.from(body, 'latin1'),
    reply: {
      status: pick(random, [200, 403, 500]),
      protocol: 'HTTP/1.1',
      headers: ['Content-Type', 'text/html', 'X-A', value()],
    },
    replyBody: random(3) === 0 ? undefined : Buffer.from(value() + value(), 'latin1'),
    phases,
  }
}

const types = [
  '',
  'application/x-www-form-urlencoded',
  'application/json',
  'multipart/form-data; boundary=bb',
  'application/xml',
]

function bodyOf(
  kind: number,
  pairs: readonly (readonly [string, string])[],
  form: (pairs: readonly (readonly [string, string])[]) => string,
): string | undefined {
  switch (kind) {
    case 0:
      return undefined
    case 1:
      return form(pairs)
    case 2:
      return Buffer.from(
        JSON.stringify(
          Object.fromEntries(pairs.map(([key, text], at) => [key, at === 1 ? [text, { q: text }] : text])),
        ),
      ).toString('latin1')
    case 3:
      return `${pairs.map(([key, text], at) => `--bb\r\nContent-Disposition: form-data; name="${key}"${at === 1 ? '; filename="x.y"' : ''}\r\n\r\n${text}\r\n`).join('')}--bb--\r\n`
    default:
      return `<r>${pairs.map(([key, text]) => `<e a="${key}">${text.replace(/[<&]/g, '')}</e>`).join('')}</r>`
  }
}

/** Percent-encodes bytes, as a browser does code points. */
export function escapeBytes(text: string): string {
  return text.replace(/[^\w.-]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** Takes an exchange through its phases, as far as rules let it. A generator, so that several can go side by side. */
export function* run(
  program: Program,
  { head, body, reply, replyBody, phases }: RandomExchange,
): Generator<undefined, Transaction> {
  const transaction = program.begin(head)
  const steps: Readonly<Record<number, () => unknown>> = {
    1: () => transaction.requestHead(),
    2: () => transaction.requestBody(body),
    3: () => transaction.responseHead(reply),
    4: () => transaction.responseBody(replyBody),
  }
  for (const phase of phases) {
    if (steps[phase]?.() !== undefined) break
    yield
  }
  transaction.end()
  return transaction
}

/** All that a transaction tells of what rules made of it. */
export function accountOf(program: Program, transaction: Transaction): unknown {
  const { matches, interruption, detected, events, auditEngine } = transaction
  return {
    matches: matches.map(({ rule, message, data, variable, value, captured }) => [
      rule.id,
      message,
      data,
      variable,
      value,
      captured,
    ]),
    interruption,
    detected,
    events,
    auditEngine,
    tx: program.layout.names
      .map((name) => [name, transaction.variable(name)])
      .filter(([, value]) => value !== undefined),
  }
}
