import type { Logger } from '../../base/log.ts'
import { type MediaTypeName, parseMediaType, readingOf } from '../../openapi/media-types.ts'
import type { Operation } from '../../openapi/operation.ts'
import { parseSelector } from '../../openapi/select.ts'
import type { Program, Refinement } from '../../waf/index.ts'
import { readRange, readTarget } from './exclusions.ts'
import type { ExclusionOptions, WafOptions } from './options.ts'
import { requestShape } from './shape.ts'

/** The program of one operation, as it is at a moment: exclusions end. */
export type ProgramAt = (nowMs: number) => Program

/** An exclusion, read. */
export interface Exclusion {
  readonly selects: (operation: Operation) => boolean
  readonly refinement: NonNullable<Refinement['exclusions']>[number]
  /** Milliseconds since the epoch; `Infinity`: never. */
  readonly endsAt: number
}

export function readExclusions(options: readonly ExclusionOptions[], base: Program, log: Logger): readonly Exclusion[] {
  return options.map((one) => {
    const { rule, tag, target, match, expires } = one
    const ids = rule === undefined ? undefined : readRange(rule)
    const isThere = base.rules.some(
      ({ rule: { id, tags } }) =>
        (ids !== undefined && id >= ids[0] && id <= ids[1]) || (tag !== undefined && tags.includes(tag)),
    )
    if (!isThere) log.warn('An exclusion of the firewall names no rule that there is.', { rule, tag })
    return {
      selects: match === undefined ? () => true : parseSelector(match),
      refinement: {
        ...(ids !== undefined && { ids }),
        ...(tag !== undefined && { tag }),
        ...(target !== undefined && { targets: [readTarget(target)] }),
      },
      // A day is over where it ends last (UTC-12).
      endsAt: expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(`${expires}T12:00:00Z`),
    }
  })
}

/** Refines programs for operations; those that come to the same are one. */
export function refiner(
  base: Program,
  options: WafOptions,
  exclusions: readonly Exclusion[],
): (operation: Operation) => ProgramAt {
  const shared = new Map<string, Program>()
  return (operation) => {
    const chosen = exclusions.filter(({ selects }) => selects(operation))
    const variables = { ...thresholds(options), ...(options.specAware && documentVariables(operation)) }
    const shape = options.specAware && operation.kind === 'listed' ? requestShape(operation) : undefined
    const refine = (nowMs: number): Program => {
      const inForce = chosen.filter(({ endsAt }) => endsAt > nowMs)
      const refinement: Refinement = {
        variables,
        requestBodyNoFilesBytesMax: options.maxBody,
        // In `observe` a rule that refuses must not keep the ones after it from being seen.
        ...(options.mode === 'observe' && base.settings.engine === 'On' && { engine: 'DetectionOnly' }),
        ...(inForce.length > 0 && { exclusions: inForce.map(({ refinement: one }) => one) }),
        ...(shape !== undefined && { shape }),
      }
      if (shape !== undefined) return base.refine(refinement)
      const key = `${JSON.stringify(variables)} ${inForce.map((one) => exclusions.indexOf(one)).join()}`
      const known = shared.get(key) ?? base.refine(refinement)
      shared.set(key, known)
      return known
    }
    let program = refine(Date.now())
    let until = Math.min(...chosen.map(({ endsAt }) => endsAt).filter((endsAt) => endsAt > Date.now()))
    return (nowMs) => {
      if (nowMs >= until) {
        program = refine(nowMs)
        until = Math.min(...chosen.map(({ endsAt }) => endsAt).filter((endsAt) => endsAt > nowMs))
      }
      return program
    }
  }
}

/** In the words of the OWASP CRS, and in those of our own rules. */
function thresholds({ thresholds: { inbound, outbound } }: WafOptions): Record<string, string> {
  return {
    ...(inbound !== undefined && {
      inbound_anomaly_score_threshold: `${inbound}`,
      portcullis_inbound_threshold: `${inbound}`,
    }),
    ...(outbound !== undefined && {
      outbound_anomaly_score_threshold: `${outbound}`,
      portcullis_outbound_threshold: `${outbound}`,
    }),
  }
}

/** What the OWASP CRS asks an administrator for and a document knows: methods and media types. */
function documentVariables({ kind, allow, requestBody }: Operation): Record<string, string> {
  if (kind === 'unlisted-path') return {}
  const methods = new Set([...allow, ...(allow.includes('GET') ? ['HEAD'] : []), 'OPTIONS'])
  const types = requestBody?.content.map(({ type }) => type.split(';', 1)[0]!.trim()) ?? []
  // A range cannot be said in the rules' words; then their own list stands.
  const listed = types.length > 0 && types.every((type) => /^[\w.+-]+\/[\w.+-]+$/.test(type))
  return {
    ...(allow.length > 0 && { allowed_methods: [...methods].join(' ') }),
    ...(listed && { allowed_request_content_type: types.map((type) => `|${type.toLowerCase()}|`).join(' ') }),
  }
}

/** How a body is inspected, by its Content-Type. */
export interface BodyKind {
  /** Bytes that the document takes as such, an image or an archive: nothing in them is text. */
  readonly opaque: boolean
  /** Files in it are not counted. */
  readonly multipart: boolean
}

const typesKept = 256
const unknownKind: BodyKind = { opaque: false, multipart: false }

/** Tells how bodies of an operation are inspected. Only what the document lists as bytes is taken for bytes. */
export function bodyKinds({ requestBody }: Operation): (contentType: string | undefined) => BodyKind {
  const bytes = (requestBody?.content ?? []).flatMap(({ type }) => {
    const range = parseMediaType(type)
    return range !== undefined && isBytes(range) ? [range] : []
  })
  const known = new Map<string, BodyKind>()
  return (contentType) => {
    if (contentType === undefined) return unknownKind
    const before = known.get(contentType)
    if (before !== undefined) return before
    const type = parseMediaType(contentType)
    const reading = type === undefined ? undefined : readingOf(type)
    const kind: BodyKind = {
      opaque: reading === 'opaque' && bytes.some((range) => covers(range, type!)),
      multipart: reading === 'multipart',
    }
    if (known.size < typesKept) known.set(contentType, kind)
    return kind
  }
}

/** `image/*` and `application/octet-stream` are bytes; `application/*` may be anything. */
function isBytes(range: MediaTypeName): boolean {
  if (range.subtype === '*') return ['image', 'audio', 'video', 'font'].includes(range.type)
  return readingOf(range) === 'opaque'
}

function covers(range: MediaTypeName, type: MediaTypeName): boolean {
  return range.essence === type.essence || (range.subtype === '*' && range.type === type.type)
}
