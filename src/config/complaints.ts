import { ConfigError, type ErrorCode, type Place } from '../base/errors.ts'
import { nearest } from '../base/suggest.ts'
import { z } from './language.ts'
import { alternatives, child, keysOf } from './shapes.ts'
import { find, type Tree } from './tree.ts'

type Issue = z.core.$ZodIssue

/** What a complaint needs to know to name the place and to suggest. */
export interface Context {
  readonly tree: Tree
  readonly shape: z.core.$ZodType
  /** Puts placeholders back where their values stand in a text. */
  readonly redact: (text: string) => string
  /** What the tree is, where it is not the whole configuration: `x-portcullis`. */
  readonly name?: string
}

/** Keys whose values are not repeated in messages and frames, even where somebody wrote the secret itself. */
export const secretKey = /secret|passw|passphrase|(^|[^a-z])token$|[a-z]Token$|privateKey|sealWith/i

/** Tells what a schema found wrong in the words and places of the file. One issue may hold several complaints. */
export function complaintsOf(issues: readonly Issue[], context: Context): ConfigError[] {
  return issues.flatMap((issue) => complaint(issue, issue.path, context))
}

/** `limits.default`, `listen[0].tls`: how a path is called in a message. The API's own name is left to the frame. */
export function labelOf(path: readonly PropertyKey[]): string {
  const shown = path[0] === 'apis' && path.length > 2 ? path.slice(2) : path
  return shown
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`
      const text = String(step)
      if (!/^[\w-]+$/.test(text)) return `[${JSON.stringify(text)}]`
      return index === 0 ? text : `.${text}`
    })
    .join('')
}

/** Where a reader should look for what stands (or is missing) at a path. */
export function placeOf(tree: Tree, path: readonly PropertyKey[]): Place {
  for (let length = path.length; length > 0; length--) {
    const entry = find(tree, path.slice(0, length))
    // A map or list begins on a later line than the key that names it, and may be long: the key is what to look at.
    if (entry !== undefined)
      return entry.tree.kind === 'scalar' && length === path.length ? scalarPlace(entry) : entry.keyPlace
  }
  return { ...tree.place, length: 1 }
}

function scalarPlace(entry: { keyPlace: Place; tree: Tree }): Place {
  return entry.tree.kind === 'scalar' && entry.tree.value === null ? entry.keyPlace : entry.tree.place
}

function complaint(issue: Issue, path: readonly PropertyKey[], context: Context): ConfigError[] {
  const entry = find(context.tree, path)
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(key, path, context))
  if (entry === undefined && path.length > 0) return [missingKey(path, context)]
  if (issue.code === 'invalid_union') {
    const branch = likeliest(issue)
    if (branch !== undefined) return branch.flatMap((inner) => complaint(inner, [...path, ...inner.path], context))
  }
  if (issue.code === 'invalid_key' || issue.code === 'invalid_element') {
    const inner = issue.issues[0]
    const what = inner === undefined ? 'not allowed' : expectation([inner])
    const place = find(context.tree, path)?.keyPlace ?? placeOf(context.tree, path)
    return [new ConfigError('P1009', `the key ${quote(String(path.at(-1)))}: ${what}`, { place })]
  }

  const { tree } = context
  const at = entry?.tree ?? tree
  const label = path.length === 0 ? 'the configuration' : labelOf(path)
  const place = placeOf(tree, path)
  const found = foundText(at, String(path.at(-1) ?? ''))
  if (path.length === 1 && path[0] === 'version') {
    return [new ConfigError('P1016', `this program reads version 1, found ${found}`, { place, hint: 'version: 1' })]
  }
  const flat = flatten(issue)
  const expected = context.redact(expectation(flat))
  const code: ErrorCode = flat.every((one) => one.code === 'invalid_type') ? 'P1008' : 'P1009'
  const written = at.kind === 'scalar' && typeof at.value === 'string' ? at.value : undefined
  const words = flat.flatMap((one) => (one.code === 'invalid_value' ? one.values.map(String) : []))
  const meant = written === undefined || words.includes(written) ? undefined : nearest(written, words)
  const within = withinText(issue, at)
  const hint = within?.hint ?? (meant === undefined ? descriptionAt(path, context) : `did you mean "${meant}"?`)
  // A guard's own words say what was found, or need not.
  const message = flat.every((one) => one.code === 'custom')
    ? `${label}: ${expected}`
    : `${label}: ${expected}, found ${found}`
  return [new ConfigError(code, message, { place: within?.place ?? place, ...(hint === undefined ? {} : { hint }) })]
}

/** Where in a text something is wrong, for shapes that read a language: their issues say at which character. */
function withinText(
  issue: Issue,
  at: Tree,
): { readonly place: Place | undefined; readonly hint: string | undefined } | undefined {
  const { params } = issue as {
    readonly params?: { readonly offset?: number; readonly length?: number; readonly hint?: string }
  }
  if (issue.code !== 'custom' || params?.offset === undefined) return undefined
  if (at.kind !== 'scalar' || typeof at.value !== 'string') return { place: undefined, hint: params.hint }
  return { place: placeWithin(at.place, at.value, params.offset, params.length), hint: params.hint }
}

/** A part of a text that stands in a file; `undefined` where the text is folded or escaped there, so that no column can be told. */
export function placeWithin(place: Place, text: string, offset: number, length = 1): Place | undefined {
  const quotes = (place.length ?? 0) - text.length
  if (quotes !== 0 && quotes !== 2) return undefined
  return { ...place, column: place.column + quotes / 2 + offset, length }
}

function unknownKey(key: string, path: readonly PropertyKey[], { tree, shape, name }: Context): ConfigError {
  const schemas = at(shape, path)
  const allowed = keysOf(schemas)
  const meant = nearest(key, allowed)
  const where = path.length > 0 ? `in ${labelOf(path)}` : name === undefined ? 'at the top' : `in ${name}`
  const place = find(tree, [...path, key])?.keyPlace ?? placeOf(tree, path)
  const hint =
    meant === undefined
      ? (homeOf(key, path, shape) ?? plannedHint(key, path) ?? listing(allowed))
      : `did you mean "${meant}"?`
  return new ConfigError('P1007', `unknown key ${quote(key)} ${where}`, {
    place,
    ...(hint === undefined ? {} : { hint }),
  })
}

/** A key one level too deep or too high is the commonest slip that is no slip of letters. */
function homeOf(key: string, path: readonly PropertyKey[], shape: z.core.$ZodType): string | undefined {
  for (let length = path.length - 1; length >= 0; length--) {
    const above = path.slice(0, length)
    if (keysOf(at(shape, above)).includes(key)) {
      return length === 0 ? `"${key}" belongs at the top` : `"${key}" belongs in ${labelOf(above)}`
    }
  }
  for (const inner of keysOf(at(shape, path))) {
    if (keysOf(at(shape, [...path, inner])).includes(key)) return `"${key}" belongs in ${labelOf([...path, inner])}`
  }
  return undefined
}

/** Keys of the whole product that this version does not know yet: whoever copied them from somewhere is told so. */
const plannedKeys: Readonly<Record<'top' | 'api', readonly string[]>> = {
  top: ['admin', 'detect', 'policies', 'record', 'secrets', 'tokenService'],
  api: ['canary', 'payload', 'protect', 'waf'],
}

function plannedHint(key: string, path: readonly PropertyKey[]): string | undefined {
  const place = path.length === 0 ? 'top' : path.length === 2 && path[0] === 'apis' ? 'api' : undefined
  if (key === 'waf' || (place !== undefined && plannedKeys[place].includes(key))) {
    return 'not in this version, which would protect nothing by it: take it out'
  }
  return undefined
}

function listing(allowed: readonly string[]): string | undefined {
  if (allowed.length === 0) return undefined
  const shown = allowed.slice(0, 12)
  return `known here: ${shown.join(', ')}${allowed.length > shown.length ? ', …' : ''}`
}

function missingKey(path: readonly PropertyKey[], context: Context): ConfigError {
  const parent = path.slice(0, -1)
  const where = parent.length === 0 ? 'at the top' : `in ${labelOf(parent)}`
  const key = String(path.at(-1))
  const hint = key === 'version' && parent.length === 0 ? 'version: 1' : descriptionAt(path, context)
  return new ConfigError('P1006', `missing key ${quote(key)} ${where}`, {
    place: placeOf(context.tree, parent),
    ...(hint === undefined ? {} : { hint }),
  })
}

function at(shape: z.core.$ZodType, path: readonly PropertyKey[]): readonly z.core.$ZodType[] {
  return path.reduce<readonly z.core.$ZodType[]>((schemas, step) => child(schemas, step), [shape])
}

/** The option's own sentence, which is the best hint there is for a value that does not fit. */
function descriptionAt(path: readonly PropertyKey[], { shape }: Context): string | undefined {
  for (const schema of at(shape, path)) {
    let inner: z.core.$ZodType | undefined = schema
    while (inner !== undefined) {
      const description = z.globalRegistry.get(inner)?.description
      if (description !== undefined) return description
      inner = (inner._zod.def as { innerType?: z.core.$ZodType }).innerType
    }
    for (const one of alternatives([schema])) {
      const description = z.globalRegistry.get(one)?.description
      if (description !== undefined) return description
    }
  }
  return undefined
}

/** The one branch of a union that the writer had in mind: of those whose kind of value is there, the one that knows the keys. */
function likeliest(issue: Extract<Issue, { code: 'invalid_union' }>): readonly Issue[] | undefined {
  const fitting = issue.errors.filter((branch) => !branch.some(isOtherKind))
  if (fitting.length === 0) return undefined
  const unknown = (branch: readonly Issue[]) =>
    branch.reduce((sum, inner) => sum + (inner.code === 'unrecognized_keys' ? inner.keys.length : 0), 0)
  return fitting.reduce((best, branch) => {
    const more = unknown(branch) - unknown(best)
    return more < 0 || (more === 0 && branch.length < best.length) ? branch : best
  })
}

function isOtherKind(issue: Issue): boolean {
  if (issue.path.length > 0) return false
  if (issue.code === 'invalid_union') return likeliest(issue) === undefined
  return issue.code === 'invalid_type' || issue.code === 'invalid_value'
}

/** The issues of every branch of a union, of which none fits in kind. */
function flatten(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue]
  return issue.errors.flatMap((branch) => branch.filter((one) => one.path.length === 0).flatMap(flatten))
}

const kinds: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list',
  tuple: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  null: 'nothing',
  function: 'a function',
}

const formats: Readonly<Record<string, string>> = {
  url: 'a URL such as https://10.0.0.7:8443',
  email: 'an email address',
  uuid: 'a UUID',
  datetime: 'a date and time such as 2026-12-31T00:00:00Z',
  date: 'a date such as 2026-12-31',
}

function expectation(issues: readonly Issue[]): string {
  const parts = issues.map((issue): string => {
    switch (issue.code) {
      case 'invalid_type':
        return kinds[issue.expected] ?? issue.expected
      case 'invalid_value':
        return issue.values.map((value) => (typeof value === 'string' ? quote(value) : String(value))).join(', ')
      case 'too_small':
        return `${issue.inclusive === false ? 'more than' : 'at least'} ${amount(issue.minimum, issue.origin)}`
      case 'too_big':
        return `${issue.inclusive === false ? 'less than' : 'at most'} ${amount(issue.maximum, issue.origin)}`
      case 'not_multiple_of':
        return `a multiple of ${issue.divisor}`
      case 'invalid_format': {
        const { format } = issue
        const detail = issue as { prefix?: string; suffix?: string; includes?: string; pattern?: string }
        if (format === 'starts_with') return `text that starts with ${quote(detail.prefix ?? '')}`
        if (format === 'ends_with') return `text that ends with ${quote(detail.suffix ?? '')}`
        if (format === 'includes') return `text with ${quote(detail.includes ?? '')} in it`
        return formats[format] ?? (detail.pattern === undefined ? format : `text that matches ${detail.pattern}`)
      }
      case 'invalid_union':
        return 'options' in issue && Array.isArray(issue.options)
          ? issue.options.map(String).map(quote).join(', ')
          : 'another form'
      default:
        return issue.message
    }
  })
  const distinct = [...new Set(parts.flatMap((part) => part.split(', ')))]
  if (issues.every((issue) => issue.code === 'custom')) return parts.join('; ')
  const last = distinct.pop()!
  return `expected ${distinct.length === 0 ? last : `${distinct.join(', ')} or ${last}`}`
}

function amount(limit: number | bigint, origin: string): string {
  if (origin === 'array' || origin === 'set') return `${limit} ${limit === 1 ? 'entry' : 'entries'}`
  if (origin === 'string') return `${limit} ${limit === 1 ? 'character' : 'characters'}`
  return String(limit)
}

function foundText(tree: Tree, key: string): string {
  if (tree.kind === 'map') return 'a map'
  if (tree.kind === 'list') return tree.items.length === 0 ? 'an empty list' : 'a list'
  if (tree.asWritten !== undefined) return quote(tree.asWritten)
  const { value } = tree
  if (value === null) return 'nothing'
  if (secretKey.test(key)) return kinds[typeof value] ?? typeof value
  if (typeof value === 'string') return value === '' ? 'empty text' : quote(value)
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : (kinds[typeof value] ?? typeof value)
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
