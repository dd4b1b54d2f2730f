import { parseCookies } from '../body/cookies.ts'
import { requestLine } from '../body/target.ts'
import type { BodyValues, MultipartFlags } from '../body/values.ts'
import { lowerCase } from '../seclang/known.ts'
import { type Member, member, membersOfArguments, namesOf, noMembers, wholeMember } from './member.ts'
import type { State } from './state.ts'

/** A variable's place in `variables`. */
export type VariableId = number

/** A variable or collection as rules name it. */
export interface Variable {
  readonly name: string
  /** Its members are made once for a transaction; or, where rules change it, each time they are asked for. */
  readonly lasting: boolean
  /** Comes with the request's body: what was made of it before is made anew. */
  readonly ofBody: boolean
  /** Its members' names say which variable they are of: those of MATCHED_VARS. */
  readonly labelled: boolean
  readonly read: (state: State) => readonly Member[]
}

const variables: Variable[] = []
const ids = new Map<string, VariableId>()

/** The id of a variable, by its upper-case name. */
export function variableId(name: string): VariableId | undefined {
  return ids.get(name)
}

export function variableOf(id: VariableId): Variable {
  return variables[id]!
}

/** The members of a variable in one transaction, none selected or left out. */
export function membersOf(state: State, id: VariableId): readonly Member[] {
  const known = state.members[id]
  if (known !== undefined) return known
  const variable = variables[id]!
  const members = variable.read(state)
  if (variable.lasting) state.members[id] = members
  return members
}

/** Forgets what hung on a body that was not there yet. */
export function forgetBody(state: State): void {
  for (const id of bodyIds) state.members[id] = undefined
}

/** How a member is called in events and by MATCHED_VAR_NAME: `ARGS:q`, `REQUEST_URI`. */
export function labelOf(id: VariableId, { name }: Member): string {
  const variable = variables[id]!
  if (variable.labelled) return name
  return name === '' ? variable.name : `${variable.name}:${name}`
}

type Kind = 'lasting' | 'body' | 'changing'

function define(name: string, kind: Kind, read: Variable['read'], labelled = false): VariableId {
  const id = variables.length
  variables.push({ name, lasting: kind !== 'changing', ofBody: kind === 'body', labelled, read })
  ids.set(name, id)
  return id
}

/** A variable of one value; `undefined`: it has none, and rules see nothing. */
function defineScalar(name: string, kind: Kind, read: (state: State) => string | undefined): VariableId {
  return define(name, kind, (state) => {
    const value = read(state)
    return value === undefined ? noMembers : [member('', value)]
  })
}

// The request's head.

defineScalar('REQUEST_METHOD', 'lasting', ({ head }) => head.method)
defineScalar('REQUEST_PROTOCOL', 'lasting', ({ head }) => head.protocol)
defineScalar('REQUEST_LINE', 'lasting', ({ head }) => requestLine(head.method, head.uri, head.protocol))
defineScalar('REQUEST_URI', 'lasting', ({ target }) => target.uri)
defineScalar('REQUEST_URI_RAW', 'lasting', ({ target }) => target.uriRaw)
defineScalar('REQUEST_FILENAME', 'lasting', ({ target }) => target.filename)
defineScalar('REQUEST_BASENAME', 'lasting', ({ target }) => target.basename)
defineScalar('QUERY_STRING', 'lasting', ({ target }) => target.queryString)
defineScalar('PATH_INFO', 'lasting', ({ target }) => target.filename)
defineScalar('UNIQUE_ID', 'lasting', ({ head }) => head.id)
defineScalar('REMOTE_ADDR', 'lasting', ({ head }) => head.client.address)
defineScalar('REMOTE_HOST', 'lasting', ({ head }) => head.client.address)
defineScalar('REMOTE_PORT', 'lasting', ({ head }) => String(head.client.port))
defineScalar('REMOTE_USER', 'lasting', basicUser)
defineScalar('AUTH_TYPE', 'lasting', (state) => /^\S+/.exec(state.requestHeader('authorization') ?? '')?.[0])
defineScalar('SERVER_ADDR', 'lasting', ({ head }) => head.server.address)
defineScalar('SERVER_PORT', 'lasting', ({ head }) => String(head.server.port))
defineScalar('SERVER_NAME', 'lasting', (state) => state.head.server.name ?? hostName(state.requestHeader('host')))
defineScalar('MODSEC_BUILD', 'lasting', () => '030000100')

const requestHeaders = define('REQUEST_HEADERS', 'lasting', (state) => headerMembers(state.head.headers, state))
define('REQUEST_HEADERS_NAMES', 'lasting', (state) => namesOf(membersOf(state, requestHeaders)))
const requestCookies = define('REQUEST_COOKIES', 'lasting', cookieMembers)
define('REQUEST_COOKIES_NAMES', 'lasting', (state) => namesOf(membersOf(state, requestCookies)))
const argsGet = define('ARGS_GET', 'lasting', queryMembers)
const argsGetNames = define('ARGS_GET_NAMES', 'lasting', (state) => namesOf(membersOf(state, argsGet)))

// The request's body, and what joins it with the head.

const argsPost = define('ARGS_POST', 'body', bodyMembers)
const argsPostNames = define('ARGS_POST_NAMES', 'body', (state) => namesOf(membersOf(state, argsPost)))
const args = define('ARGS', 'body', (state) => joined(membersOf(state, argsGet), membersOf(state, argsPost)))
define('ARGS_NAMES', 'body', (state) => joined(membersOf(state, argsGetNames), membersOf(state, argsPostNames)))
defineScalar('ARGS_COMBINED_SIZE', 'body', (state) => {
  let size = 0
  for (const { name, value } of membersOf(state, args)) size += name.length + value.length
  return String(size)
})
defineScalar('REQUEST_BODY', 'body', (state) => state.bodyText)
defineScalar('REQUEST_BODY_LENGTH', 'body', ({ bodyBytes }) => String(bodyBytes))
defineScalar('FULL_REQUEST_LENGTH', 'body', (state) => String(fullHead(state).length + state.bodyBytes))
defineScalar('FULL_REQUEST', 'body', (state) => fullHead(state) + (state.rawBody ?? ''))
defineScalar('INBOUND_DATA_ERROR', 'body', ({ bodyCut }) => flag(bodyCut))
defineScalar('URLENCODED_ERROR', 'body', ({ query, body }) =>
  flag(query.invalidEncoding || body?.invalidEncoding === true),
)
defineScalar('REQBODY_PROCESSOR', 'changing', ({ processor }) => processor)
for (const name of ['REQBODY_ERROR', 'REQBODY_PROCESSOR_ERROR']) {
  defineScalar(name, 'body', ({ bodyError }) => flag(bodyError !== undefined))
}
for (const name of ['REQBODY_ERROR_MSG', 'REQBODY_PROCESSOR_ERROR_MSG']) {
  defineScalar(name, 'body', ({ bodyError }) => bodyError ?? '')
}
define('XML', 'body', xmlMembers)

const files = define(
  'FILES',
  'body',
  filesMembers(({ field, filename }) => member(field, filename)),
)
define(
  'FILES_NAMES',
  'body',
  filesMembers(({ field }) => member(field, field)),
)
define(
  'FILES_SIZES',
  'body',
  filesMembers(({ field, content }) => member(field, String(content.length))),
)
define(
  'FILES_TMP_CONTENT',
  'body',
  filesMembers(({ field, content }) => member(field, content)),
)
// Nothing is written to disk.
define('FILES_TMPNAMES', 'body', () => noMembers)
define('MULTIPART_FILENAME', 'body', (state) => membersOf(state, files))
define(
  'MULTIPART_NAME',
  'body',
  filesMembers(({ field }) => member(field, field)),
)
defineScalar('FILES_COMBINED_SIZE', 'body', ({ body }) => {
  return String(body?.files.reduce((sum, { content }) => sum + content.length, 0) ?? 0)
})
define('MULTIPART_PART_HEADERS', 'body', ({ body }) => membersOfArguments(body?.partHeaders ?? []))
for (const [name, which] of [
  ['BOUNDARY_QUOTED', 'boundaryQuoted'],
  ['BOUNDARY_WHITESPACE', 'boundaryWhitespace'],
  ['CRLF_LF_LINES', 'crlfLfLines'],
  ['DATA_AFTER', 'dataAfter'],
  ['DATA_BEFORE', 'dataBefore'],
  ['FILE_LIMIT_EXCEEDED', 'fileLimitExceeded'],
  ['HEADER_FOLDING', 'headerFolding'],
  ['INVALID_HEADER_FOLDING', 'invalidHeaderFolding'],
  ['INVALID_PART', 'invalidPart'],
  ['INVALID_QUOTING', 'invalidQuoting'],
  ['LF_LINE', 'lfLine'],
  ['MISSING_SEMICOLON', 'missingSemicolon'],
  ['SEMICOLON_MISSING', 'missingSemicolon'],
  ['STRICT_ERROR', 'strictError'],
  ['UNMATCHED_BOUNDARY', 'unmatchedBoundary'],
] as const satisfies readonly (readonly [string, keyof MultipartFlags])[]) {
  defineScalar(`MULTIPART_${name}`, 'body', ({ body }) => String(Number(body?.multipart?.[which] ?? 0)))
}

// The response.

defineScalar('RESPONSE_STATUS', 'changing', ({ response }) => text(response?.status))
defineScalar('STATUS', 'changing', ({ response }) => text(response?.status))
defineScalar('RESPONSE_PROTOCOL', 'changing', ({ response }) => response?.protocol)
defineScalar('STATUS_LINE', 'changing', ({ response }) => response && `${response.protocol} ${response.status}`)
const responseHeaders = define('RESPONSE_HEADERS', 'changing', (state) => {
  state.responseMembers ??= state.response && headerMembers(state.response.headers)
  return state.responseMembers ?? noMembers
})
define('RESPONSE_HEADERS_NAMES', 'changing', (state) => namesOf(membersOf(state, responseHeaders)))
defineScalar('RESPONSE_CONTENT_TYPE', 'changing', (state) => state.responseHeader('content-type')?.split(';')[0])
defineScalar('RESPONSE_CONTENT_LENGTH', 'changing', (state) => {
  return text(state.responseBodyBytes) ?? state.responseHeader('content-length')
})
define('RESPONSE_BODY', 'changing', (state) => state.responseBodyMembers)
defineScalar('OUTBOUND_DATA_ERROR', 'changing', ({ responseCut }) => flag(responseCut))

// What rules do.

export const txId: VariableId = define('TX', 'changing', ({ tx }) => tx.members())
defineScalar('MATCHED_VAR', 'changing', ({ matchedValue }) => matchedValue)
defineScalar('MATCHED_VAR_NAME', 'changing', ({ matchedName }) => matchedName)
define('MATCHED_VARS', 'changing', ({ matchedBefore }) => matchedBefore, true)
define('MATCHED_VARS_NAMES', 'changing', ({ matchedBefore }) => namesOf(matchedBefore), true)
defineScalar('HIGHEST_SEVERITY', 'changing', ({ highestSeverity }) => String(highestSeverity))
define('RULE', 'changing', ({ rule }) => {
  if (rule === undefined) return noMembers
  const { id, revision, severity, message, logData } = rule.rule
  return [
    ['id', String(id)],
    ['rev', revision],
    ['severity', text(severity)],
    ['msg', message],
    ['logdata', logData],
  ].flatMap(([name, value]) => (value === undefined ? [] : [member(name!, value)]))
})
for (const name of ['ENV', 'GLOBAL', 'IP', 'RESOURCE', 'SESSION', 'USER']) {
  define(name, 'changing', ({ stores }) => {
    return [...(stores.get(name) ?? [])].map(([name, value]) => member(name, value))
  })
}
for (const [name, collection] of [
  ['SESSIONID', 'SESSION'],
  ['USERID', 'USER'],
  ['WEBAPPID', ''],
] as const) {
  defineScalar(name, 'changing', ({ storeKeys }) => storeKeys.get(collection) ?? '')
}

// Time is the clock of the machine's zone, as rules for office hours mean it.

defineScalar('DURATION', 'changing', ({ head, program }) => {
  return String(program.now === undefined ? 0 : Math.max(0, Math.round(program.now() - head.receivedAt)))
})
defineScalar('TIME_EPOCH', 'lasting', ({ head }) => String(Math.floor(head.receivedAt / 1000)))
for (const [name, read] of [
  ['TIME', (date: Date) => [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':')],
  ['TIME_DAY', (date: Date) => date.getDate()],
  ['TIME_HOUR', (date: Date) => date.getHours()],
  ['TIME_MIN', (date: Date) => date.getMinutes()],
  ['TIME_MON', (date: Date) => date.getMonth()],
  ['TIME_SEC', (date: Date) => date.getSeconds()],
  ['TIME_WDAY', (date: Date) => date.getDay()],
  ['TIME_YEAR', (date: Date) => date.getFullYear()],
] as const) {
  defineScalar(name, 'lasting', ({ head }) => String(read(new Date(head.receivedAt))))
}

// Known, and without a value here: they are of engines that look addresses up or match with PCRE.

for (const name of ['GEO', 'MSC_PCRE_ERROR', 'WEBSERVER_ERROR_LOG']) define(name, 'lasting', () => noMembers)
defineScalar('MSC_PCRE_LIMITS_EXCEEDED', 'lasting', () => '0')

const bodyIds = variables.flatMap(({ ofBody }, id) => (ofBody ? [id] : []))

function flag(is: boolean): string {
  return is ? '1' : '0'
}

function text(value: number | undefined): string | undefined {
  return value === undefined ? undefined : String(value)
}

function twoDigits(number: number): string {
  return String(number).padStart(2, '0')
}

function joined(first: readonly Member[], then: readonly Member[]): readonly Member[] {
  if (first.length === 0) return then
  return then.length === 0 ? first : [...first, ...then]
}

/** Raw pairs as members. */
function headerMembers(pairs: readonly string[], state?: State): readonly Member[] {
  const checks = state?.shape?.headers
  const members = new Array<Member>(pairs.length >> 1)
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const name = pairs[i]!
    const value = pairs[i + 1]!
    const check = checks?.get(lowerCase(name))
    members[i >> 1] = member(name, value, undefined, check?.(value) ?? false, name, check !== undefined)
  }
  return members
}

function cookieMembers(state: State): readonly Member[] {
  const { headers } = state.head
  const values: string[] = []
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]!.length === 6 && lowerCase(headers[i]!) === 'cookie') values.push(headers[i + 1]!)
  }
  if (values.length === 0) return noMembers
  return checked(membersOfArguments(parseCookies(values)), state.shape?.cookies)
}

function queryMembers(state: State): readonly Member[] {
  return checked(membersOfArguments(state.query.arguments), state.shape?.query)
}

function bodyMembers(state: State): readonly Member[] {
  const { body, shape, processor } = state
  if (body === undefined) return noMembers
  const found = membersOfArguments(body.arguments)
  if (processor === 'JSON') return joined(found, membersOfArguments(body.proved, true))
  return checked(found, shape?.form)
}

/** The members again, those marked that the document proves harmless. */
function checked(
  members: readonly Member[],
  checks: ReadonlyMap<string, (value: string) => boolean> | undefined,
): readonly Member[] {
  if (checks === undefined) return members
  return members.map((one) => {
    const check = checks.get(one.name)
    return check === undefined ? one : member(one.name, one.value, undefined, check(one.value), one.name, true)
  })
}

function filesMembers(toMember: (file: BodyValues['files'][number]) => Member): Variable['read'] {
  return ({ body }) => (body === undefined || body.files.length === 0 ? noMembers : body.files.map(toMember))
}

/**
 * `/*` each run of text and, where there are several, all of them as one: what elements within a payload tear apart is
 * found as in ModSecurity, what begins or ends with an element as in Coraza. `//@*` each attribute, `/doctype` for rules
 * against XXE.
 */
function xmlMembers({ body }: State): readonly Member[] {
  const xml = body?.xml
  if (xml === undefined) return noMembers
  const { texts, whole, attributes, doctype } = xml
  return [
    ...texts.map((value) => member('/*', value)),
    ...(whole === undefined ? [] : [wholeMember('/*', whole)]),
    ...attributes.map((value) => member('//@*', value)),
    ...(doctype === undefined ? [] : [member('/doctype', doctype)]),
  ]
}

function fullHead({ head }: State): string {
  const { headers } = head
  let lines = `${requestLine(head.method, head.uri, head.protocol)}\n`
  for (let i = 0; i + 1 < headers.length; i += 2) lines += `${headers[i]}: ${headers[i + 1]}\n`
  return `${lines}\n`
}

function hostName(host: string | undefined): string {
  return host?.replace(/:\d*$/, '') ?? ''
}

function basicUser(state: State): string | undefined {
  const encoded = /^basic\s+([\w+/=-]+)/i.exec(state.requestHeader('authorization') ?? '')?.[1]
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('latin1').split(':', 1)[0]
}
