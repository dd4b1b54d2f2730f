import { hash } from 'node:crypto'
import { clientNetwork } from '../../base/ip.ts'
import { JsonError } from '../../base/json.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import type { Operation } from '../../openapi/operation.ts'
import { compileValue, type RuleScope, type Value } from '../../rules/index.ts'
import { readsBody, readsCaller } from '../rule-scope.ts'

const fixedParts = ['principal', 'application', 'ip', 'operation', 'everyone'] as const
type FixedPart = (typeof fixedParts)[number]
const namedPart = /^(claim|header|query|path|body)\.[\w$-]+(?:\.[\w$-]+)*$/

export const keyWords = `${fixedParts.join(', ')}, claim.NAME, header.NAME, query.NAME, path.NAME, body.NAME`

/** What has a budget of its own. */
export interface Key {
  /** Words, joined by `+`; none for an expression. */
  readonly parts: readonly string[]
  readonly expression: Value<Exchange> | undefined
  /** It tells only those apart who have proved who they are. */
  readonly needsPrincipal: boolean
  readonly readsBody: boolean
  /** One client may meet several budgets, so that it is worth telling it which one this was. */
  readonly isPartitioned: boolean
}

/** Whether a key is written in words, such as `ip+body.username`; anything else is an expression of the rules language. */
export function isInWords(written: string): boolean {
  return written.split('+').every((part) => isFixed(part) || namedPart.test(part))
}

/** Reads `ip+body.username`, or an expression such as `claims.tenant + country`. Throws `RuleError`. */
export function readKey(written: string, scope: RuleScope<Exchange>): Key {
  if (!isInWords(written)) {
    const expression = compileValue(written, scope)
    return {
      parts: [],
      expression,
      needsPrincipal: readsCaller(expression.uses),
      readsBody: readsBody(expression.uses),
      isPartitioned: true,
    }
  }
  const parts = written.split('+')
  return {
    parts,
    expression: undefined,
    needsPrincipal: parts.some((part) => /^(?:principal|application|claim\.)/.test(part)),
    readsBody: parts.some((part) => part.startsWith('body.')),
    isPartitioned: parts.length > 1 || !['principal', 'application', 'ip', 'everyone'].includes(parts[0]!),
  }
}

/** A longer key is kept as its hash: a caller must not fill memory with one header. */
const keyLengthMax = 200

/** How an exchange's key is read at one operation: `prefix`, then what tells budgets apart. */
export function keyReader(
  { parts, expression }: Key,
  prefix: string,
  operation: Operation,
): (exchange: Exchange) => string {
  if (expression !== undefined) {
    // Where it says nothing each address has a budget: leaving out a header must not buy one without end.
    return (exchange) => {
      const value = expression(exchange)
      const key = value === undefined ? ` ?${clientNetwork(exchange.address)}` : ` =${foldCase(String(value))}`
      return bounded(prefix, key)
    }
  }
  if (parts.length === 1) {
    if (parts[0] === 'principal') {
      // The one on every request's way: a key that is made once needs no joining and no hashing (0.4 µs saved).
      const keys = new WeakMap<Principal, string>()
      return ({ principal }) => {
        let key = keys.get(principal!)
        if (key === undefined) {
          key = bounded(prefix, ` ${principal!.via} ${principal!.subject}`)
          keys.set(principal!, key)
        }
        return key
      }
    }
    if (parts[0] === 'ip') return ({ address }) => `${prefix} ${clientNetwork(address)}`
    if (parts[0] === 'everyone') return () => prefix
  }
  const readers = parts.map((part) => partReader(part, operation))
  return (exchange) => {
    let key = ''
    for (const read of readers) {
      const value = read(exchange)
      // The length keeps `a` + `bc` apart from `ab` + `c`.
      key += ` ${value.length} ${value}`
    }
    return bounded(prefix, key)
  }
}

function bounded(prefix: string, key: string): string {
  return key.length <= keyLengthMax ? prefix + key : `${prefix} #${hash('sha256', key, 'base64url')}`
}

/** What is missing counts as empty: leaving a header out must not buy a budget without end. */
function partReader(part: string, operation: Operation): (exchange: Exchange) => string {
  if (isFixed(part)) return fixedReaders[part](operation)
  const [kind, ...path] = part.split('.')
  const name = path.join('.')
  switch (kind) {
    case 'claim':
      return ({ principal }) => textOf(at(principal?.claims, path))
    case 'header':
      return ({ headers }) => String(headers[name.toLowerCase()] ?? '')
    case 'query':
      return (exchange) => foldCase(exchange.query().find(([key]) => key === name)?.[1] ?? '')
    case 'path': {
      const index = [...operation.path.matchAll(/\{([^{}]*)\}/g)].findIndex((match) => match[1] === name)
      // `a@b` and `a%40b` are one name to whoever decodes; the target is known to decode.
      return ({ pathValues }) => foldCase(decodeURIComponent(pathValues[index] ?? ''))
    }
    default:
      return (exchange) => foldCase(bodyValue(exchange, path))
  }
}

const fixedReaders: Readonly<Record<FixedPart, (operation: Operation) => (exchange: Exchange) => string>> = {
  principal: () => (exchange) => `${exchange.principal!.via} ${exchange.principal!.subject}`,
  application: () => (exchange) => exchange.principal!.application ?? exchange.principal!.subject,
  ip: () => (exchange) => clientNetwork(exchange.address),
  operation: (operation) => {
    const id = `${operation.version ?? ''} ${operation.id}`
    return () => id
  },
  everyone: () => () => '',
}

function isFixed(part: string): part is FixedPart {
  return (fixedParts as readonly string[]).includes(part)
}

/** A field of a JSON or form body; a body that cannot be read has none, and is refused by others. */
function bodyValue(exchange: Exchange, path: readonly string[]): string {
  const type = exchange.headers['content-type'] ?? ''
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) {
    const form = new URLSearchParams(exchange.requestBody?.toString('utf8') ?? '')
    return form.get(path.join('.')) ?? ''
  }
  try {
    return textOf(at(exchange.json(), path))
  } catch (error) {
    if (error instanceof JsonError) return ''
    throw error
  }
}

/** `Alice`, `alice ` and `ＡＬＩＣＥ` are one user to most upstreams: they share a budget. */
function foldCase(text: string): string {
  return text.slice(0, 4_096).normalize('NFKC').trim().toLowerCase()
}

function at(value: unknown, path: readonly string[]): unknown {
  let found = value
  for (const name of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    found = (found as Record<string, unknown>)[name]
  }
  return found
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : ''
}
