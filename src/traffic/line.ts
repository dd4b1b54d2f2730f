import type { IncomingHttpHeaders } from 'node:http'
import { Lru } from '../base/lru.ts'
import {
  isHarmless,
  masked,
  matchedData,
  matchedVariable,
  pathMask,
  scrub,
  scrubAddress,
  sensitiveWords,
} from './mask.ts'
import type { Passage, RuleMatch } from './passage.ts'
import type { TrafficRecord } from './record.ts'

/** What may stand in a record: an allow-list. Everything else is masked. */
export interface RecordSettings {
  readonly requestHeaders: readonly string[]
  readonly responseHeaders: readonly string[]
  readonly query: readonly string[]
}

/** An allow-list made ready, with bounded caches of what has been escaped and masked before. Made once per load. */
export interface RecordPolicy {
  readonly request: HeaderWriter
  readonly response: HeaderWriter
  readonly query: (query: string) => string
  readonly path: (route: string, path: string) => string
  /** What is the same for every exchange of an operation: from `"api"` to `"path":"`. */
  readonly operation: (passage: Passage) => string
}

/** Makes an allow-list ready for use by `toLine` and `toRecord`. */
export function recordPolicy(settings: RecordSettings): RecordPolicy {
  return {
    request: headerWriter(settings.requestHeaders),
    response: headerWriter(settings.responseHeaders),
    query: queryMask(settings.query),
    path: pathMasks(),
    operation: operationFragments(),
  }
}

/** The record of an exchange as one line of NDJSON, without the line's end. All masking happens here. */
export function toLine(passage: Passage, policy: RecordPolicy): string {
  // Concatenation of known fields, in place of JSON.stringify on an object: see docs/decisions/activity-lines.md.
  let line =
    `{"v":1,"time":"${time(passage.receivedAt)}Z","id":"${escaped(passage.id)}${policy.operation(passage)}` +
    `${escaped(policy.path(passage.route, passage.path))}",` +
    `${passage.query === '' ? '' : `"query":"${escaped(policy.query(passage.query))}",`}"status":${number(passage.status)}` +
    `,"durationMs":${milliseconds(passage.durationMs)}` +
    `${passage.upstreamMs === undefined ? '' : `,"upstreamMs":${milliseconds(passage.upstreamMs)}`}` +
    `,"requestBytes":${number(passage.requestBytes)},"responseBytes":${number(passage.responseBytes)}` +
    `,"client":"${escaped(passage.address)}"`
  if (passage.user !== undefined) line += identity(users, passage.user)
  if (passage.application !== undefined) line += identity(applications, passage.application)
  if (passage.credential !== undefined) line += identity(credentials, passage.credential)
  line = policy.response.ofList(
    policy.request.ofObject(`${line},"requestHeaders":{`, passage.requestHeaders),
    passage.responseHeaders,
  )
  if (passage.denial !== undefined) {
    line += `,"denial":{"code":${quote(passage.denial.code)}${evidence(passage.denial.evidence)}}`
  }
  if (passage.observed.length > 0) {
    line += `,"observed":[${passage.observed.map((denial) => quote(denial.code)).join(',')}]`
  }
  if (passage.matches.length > 0) line += matches(passage.matches)
  if (passage.decision !== undefined) line += `,"decision":${safeJson(passage.decision) ?? 'null'}`
  if (passage.fault !== undefined) line += `,"fault":${quote(passage.fault)}`
  if (passage.traceId !== undefined) line += `,"traceId":${quote(passage.traceId)}`
  return `${line}}`
}

/** The record of an exchange as an object: what its line says, no more. */
export function toRecord(passage: Passage, policy: RecordPolicy): TrafficRecord {
  // One implementation of masking, not two that drift apart; objects are wanted for few exchanges.
  return JSON.parse(toLine(passage, policy)) as TrafficRecord
}

/** A value of unknown form as JSON: bounded, and with every text in it scrubbed. `undefined` when there is nothing. */
export function safeJson(value: unknown, bytesMax = 4_096): string | undefined {
  if (value === undefined) return undefined
  try {
    const seen: unknown[] = []
    let nodes = 0
    const text = JSON.stringify(value, function (this: unknown, key: string, item: unknown) {
      if (++nodes > 500) return undefined
      if (typeof item === 'string') return sensitiveKey.test(key) ? masked : scrub(item)
      if (typeof item === 'bigint') return item.toString()
      if (item instanceof Error) return { name: item.name, message: scrub(item.message) }
      if (item instanceof Map || item instanceof Set) return [...item].slice(0, 50)
      // A Buffer has been turned into a list of numbers by the time it comes here.
      if ((this as Record<string, unknown>)[key] instanceof Uint8Array) return masked
      if (typeof item === 'object' && item !== null) {
        // `this` holds `item`; what lies above `this` is the way down to it.
        while (seen.length > 0 && seen.at(-1) !== this) seen.pop()
        if (seen.includes(item) || seen.length > 8) return masked
        seen.push(item)
      }
      return item
    })
    if (text === undefined) return undefined
    return text.length <= bytesMax ? text : JSON.stringify(`${text.slice(0, bytesMax)}…`)
  } catch {
    return '"unprintable"'
  }
}

/** Of more rules than these, the first stand in the line. */
const matchesMax = 20
const tagsMax = 16

function matches(found: readonly RuleMatch[]): string {
  const texts = found.slice(0, matchesMax).map(({ rule, message, severity, score, tags, variable, data }) => {
    const shown = data === undefined ? undefined : matchedData(variable, data)
    return (
      `{"rule":${number(rule)},"message":${quote(scrub(message.slice(0, 256)))}` +
      `${severity === undefined ? '' : `,"severity":${quote(severity)}`},"score":${number(score)}` +
      `,"variable":${quote(matchedVariable(variable))}${shown === undefined ? '' : `,"data":${quote(shown)}`}` +
      `,"tags":[${tags.slice(0, tagsMax).map((tag) => quote(tag.slice(0, 128)))}]}`
    )
  })
  return `,"matches":[${texts}]`
}

const sensitiveKey = /^(?:authorization|cookie|set-cookie|password|secret|token|key|apiKey|jwt|body)$/i

function evidence(value: unknown): string {
  const text = safeJson(value)
  return text === undefined ? '' : `,"evidence":${text}`
}

/** Names of users and applications repeat; masking them each time would cost more than the rest of the line. */
interface Identities {
  readonly field: string
  readonly written: Lru<string, string>
}

const identities = (field: string, entriesMax: number): Identities => ({ field, written: new Lru({ entriesMax }) })
const users = identities('user', 8_192)
const applications = identities('application', 2_048)
const credentials = identities('credential', 256)

function identity({ field, written }: Identities, name: string): string {
  let text = written.get(name)
  if (text === undefined) {
    // The user's id is what the line is for, so an e-mail address or a number may stand; a token or a key may not.
    const shown = /^eyJ|^(?:pk|sk|ghp|gho|ghs|glpat|xox[a-z])[_-]/.test(name) ? scrub(name) : name.slice(0, 256)
    text = `,"${field}":${quote(shown)}`
    if (name.length <= 1_024) written.set(name, text)
  }
  return text
}

let secondOfPrefix = Number.NaN
let prefix = ''

/** RFC 3339 with milliseconds. The part up to the second is made once a second. */
function time(ms: number): string {
  const second = Math.floor(ms / 1_000)
  if (second !== secondOfPrefix) {
    prefix = Number.isFinite(second) ? new Date(second * 1_000).toISOString().slice(0, 20) : '1970-01-01T00:00:00.'
    secondOfPrefix = second
  }
  const rest = Math.floor(ms - second * 1_000)
  return `${prefix}${rest > 99 ? rest : rest > 9 ? `0${rest}` : `00${rest || 0}`}`
}

function number(value: number): string {
  return Number.isFinite(value) ? `${value}` : '0'
}

const thousandths = Array.from({ length: 1_000 }, (_, n) => `.${String(n).padStart(3, '0')}`)

/** To the microsecond: what follows is noise, and long to print. Two small integers print faster than a fraction. */
function milliseconds(value: number): string {
  const micros = Math.round(value * 1_000)
  if (!(micros >= 0 && micros < 2 ** 31)) return number(Math.round(value))
  return ((micros / 1_000) | 0) + thousandths[micros % 1_000]!
}

const needsEscape = /[^\x20-\x7e]|["\\]/

/** A string as JSON. */
function quote(text: string): string {
  return `"${escaped(text)}"`
}

/** What stands between the quotes of a JSON string. Nearly all is plain ASCII, and stays the same string. */
function escaped(text: string): string {
  return needsEscape.test(text) ? JSON.stringify(text).slice(1, -1) : text
}

/** Appends headers as the members of a JSON object to what is already written. */
export interface HeaderWriter {
  readonly ofObject: (before: string, headers: IncomingHttpHeaders) => string
  readonly ofList: (before: string, headers: readonly string[]) => string
}

/** How one header is written, by its name as it came. The values seen before are kept with their masked form. */
interface HeaderRule {
  /** The name as it is written, quoted, with its colon; the masked value behind it where it is not shown. */
  readonly text: string
  readonly shown: Lru<string, string> | undefined
  readonly scrub: (value: string) => string
  lastValue: string
  lastShown: string
}

/** Names that are remembered; callers choose them, so what comes later is worked out each time. */
const rulesMax = 1_024
const headersMax = 200
const addressHeaders = new Set(['referer', 'location', 'content-location', 'link', 'refresh', 'origin'])
/** Values up to this length are kept with their masked form; 512 of them at most for each header. */
const cachedCharsMax = 512

function headerWriter(listed: readonly string[]): HeaderWriter {
  const listedNames = new Set(listed.map((name) => name.toLowerCase()))
  const rules = new Map<string, HeaderRule>()

  function ruleOf(name: string): HeaderRule {
    const known = rules.get(name)
    if (known !== undefined) return known
    const lower = name.toLowerCase()
    const isShown = listedNames.has(lower)
    const isPlain = isShown || (lower.length <= 40 && plainHeader.test(lower))
    const rule: HeaderRule = {
      text: `${quote(isPlain ? lower : masked)}:${isShown ? '' : `"${masked}"`}`,
      shown: isShown ? new Lru({ entriesMax: 512 }) : undefined,
      scrub: addressHeaders.has(lower) ? scrubAddress : scrub,
      lastValue: '',
      lastShown: '""',
    }
    if (rules.size < rulesMax && name.length <= 128) rules.set(name, rule)
    return rule
  }

  function write(name: string, value: string): string {
    const rule = ruleOf(name)
    const cache = rule.shown
    if (cache === undefined) return rule.text
    if (value === rule.lastValue) return rule.text + rule.lastShown
    let shown = cache.get(value)
    if (shown === undefined) {
      shown = quote(rule.scrub(value))
      if (value.length <= cachedCharsMax) cache.set(value, shown)
    }
    if (value.length <= cachedCharsMax) {
      rule.lastValue = value
      rule.lastShown = shown
    }
    return rule.text + shown
  }

  return {
    ofObject(before, headers) {
      let text = before
      let count = 0
      for (const name in headers) {
        const value = headers[name]
        // HTTP/2 pseudo-headers are the method and the target, which the record has.
        if (value === undefined || name.charCodeAt(0) === 58) continue
        if (++count > headersMax) break
        if (count > 1) text += ','
        text += write(name, typeof value === 'string' ? value : value.join(', '))
      }
      return `${text}},"responseHeaders":{`
    },
    ofList(before, headers) {
      let text = before
      const end = Math.min(headers.length - 1, headersMax * 2)
      for (let i = 0; i < end; i += 2) {
        // Several of one name: the first stands, as an object cannot hold two.
        if (i > 0 && repeats(headers, i)) continue
        if (i > 0) text += ','
        text += write(headers[i]!, headers[i + 1]!)
      }
      return `${text}}`
    },
  }
}

/** Words, with a short number at the end of one: `x-api-key`, `x-amz-content-sha256`. A caller can put a secret into a name. */
const plainHeader = /^[a-z]{1,20}\d{0,3}(?:-[a-z]{1,20}\d{0,3})*$/

function repeats(headers: readonly string[], at: number): boolean {
  const name = headers[at]!
  for (let i = 0; i < at; i += 2) {
    const other = headers[i]!
    if (other.length === name.length && (other === name || other.toLowerCase() === name.toLowerCase())) return true
  }
  return false
}

const partsMax = 50

function queryMask(listed: readonly string[]): (query: string) => string {
  const listedNames = new Set(listed)
  /** By raw name: `name=***`, or `undefined`-like empty text when its value may be shown. */
  const names = new Lru<string, string>({ entriesMax: 1_024 })
  return (query) => {
    let shown = ''
    let from = 0
    for (let count = 0; from <= query.length; count++) {
      if (count >= partsMax) return `${shown}&…`
      const and = query.indexOf('&', from)
      const end = and < 0 ? query.length : and
      const equals = query.indexOf('=', from)
      if (count > 0) shown += '&'
      if (end > from) {
        if (equals < 0 || equals > end) {
          // A bare word may be a value as well as a name.
          const word = query.slice(from, end)
          shown += listedNames.has(word) ? word : masked
        } else {
          const name = query.slice(from, equals)
          let hidden = names.get(name)
          if (hidden === undefined) {
            const harmless = listedNames.has(decoded(name))
            hidden = harmless
              ? ''
              : `${plainName.test(name) && isHarmless(name.replace(sensitiveWords, '')) ? name : masked}=${masked}`
            if (name.length <= 128) names.set(name, hidden)
          }
          if (hidden === '') {
            const value = query.slice(equals + 1, end)
            shown += `${name}=${isHarmless(value) ? value : masked}`
          } else shown += hidden
        }
      }
      if (and < 0) break
      from = and + 1
    }
    return shown
  }
}

const plainName = /^[\w.[\]$~-]{1,40}$/

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

function pathMasks(): (route: string, path: string) => string {
  const masks = new Lru<string, (path: string) => string>({ entriesMax: 20_000 })
  return (route, path) => {
    let mask = masks.get(route)
    if (mask === undefined) {
      mask = pathMask(route)
      masks.set(route, mask)
    }
    return mask(path)
  }
}

interface OperationFragment {
  readonly api: string
  readonly version: string | undefined
  readonly method: string
  readonly protocol: string
  readonly route: string
  readonly text: string
}

const fragmentsMax = 20_000

function operationFragments(): (passage: Passage) => string {
  let count = 0
  const byOperation = new Map<string, OperationFragment[]>()
  return (passage) => {
    let fragments = byOperation.get(passage.operation)
    if (fragments !== undefined) {
      for (const known of fragments) {
        if (
          known.method === passage.method &&
          known.api === passage.api &&
          known.version === passage.version &&
          known.protocol === passage.protocol &&
          known.route === passage.route
        ) {
          return known.text
        }
      }
    }
    const { api, version, operation, method, protocol, route } = passage
    const text =
      `","api":${quote(api)}${version === undefined ? '' : `,"version":${quote(version)}`},"operation":${quote(operation)}` +
      `,"method":${quote(method)},"protocol":${quote(protocol)},"route":${quote(route)},"path":"`
    if (count++ >= fragmentsMax) {
      byOperation.clear()
      fragments = undefined
      count = 0
    }
    if (fragments === undefined) {
      fragments = []
      byOperation.set(operation, fragments)
    }
    // Methods of unlisted operations are the caller's choice, so this list is kept short.
    if (fragments.length < 32) fragments.push({ api, version, method, protocol, route, text })
    return text
  }
}
