import { charsetOf } from './charset.ts'
import { flattenJson, type ShapeNode } from './json.ts'
import { parseMultipart } from './multipart.ts'
import { parseUrlEncoded } from './urlencoded.ts'
import type { BodyLimits, BodyValues } from './values.ts'
import { parseXml } from './xml.ts'

/** What a processor must know beside the body. */
export interface BodyContext {
  /** The request's Content-Type as it came; empty where there is none. */
  readonly contentType: string
  readonly limits: BodyLimits
  /** What a schema says of a JSON body; only JSON heeds it. */
  readonly shape?: ShapeNode | undefined
}

/** Makes values of a body of at least one byte. Never throws. */
export type BodyProcessor = (text: string, context: BodyContext) => BodyValues

/** By the name that `ctl:requestBodyProcessor` and REQBODY_PROCESSOR know them by. */
export const processors: ReadonlyMap<string, BodyProcessor> = new Map<string, BodyProcessor>([
  ['URLENCODED', readUrlEncoded],
  ['MULTIPART', readMultipart],
  ['JSON', readJson],
  ['XML', readXml],
])

const xmlType = /^(?:(?:application\/(?:soap\+)?|text\/)xml|[\w.+-]+\/[\w.+-]+\+xml(?:[;,\s]|$))/
const jsonType = /^application\/(?:json|[\w.+-]+\+json(?:[;,\s]|$))/

/**
 * Which processor a Content-Type asks for: what ModSecurity sets itself (URLENCODED, MULTIPART) and what the rules of its recommended
 * configuration set (200000, 200001 and 200006), with every type that ends in `+xml` besides.
 */
export function processorFor(contentType: string): 'URLENCODED' | 'MULTIPART' | 'JSON' | 'XML' | undefined {
  const type = contentType.toLowerCase()
  if (type.startsWith('application/x-www-form-urlencoded')) return 'URLENCODED'
  if (type.startsWith('multipart/form-data')) return 'MULTIPART'
  if (jsonType.test(type)) return 'JSON'
  if (xmlType.test(type)) return 'XML'
  return undefined
}

const none: readonly never[] = []

function readUrlEncoded(text: string, { limits }: BodyContext): BodyValues {
  const read = parseUrlEncoded(text, limits)
  return {
    arguments: read.arguments,
    proved: none,
    files: none,
    partHeaders: none,
    multipart: undefined,
    xml: undefined,
    invalidEncoding: read.invalidEncoding,
    noFilesBytes: text.length,
    error: read.error,
  }
}

function readMultipart(text: string, { contentType, limits }: BodyContext): BodyValues {
  const read = parseMultipart(text, contentType, limits)
  return {
    arguments: read.arguments,
    proved: none,
    files: read.files,
    partHeaders: read.partHeaders,
    multipart: read.flags,
    xml: undefined,
    invalidEncoding: false,
    noFilesBytes: read.noFilesBytes,
    error: read.error,
  }
}

function readJson(text: string, { contentType, limits, shape }: BodyContext): BodyValues {
  const read = flattenJson(text, limits, shape, charsetOf(contentType))
  return {
    arguments: read.arguments,
    proved: read.proved,
    files: none,
    partHeaders: none,
    multipart: undefined,
    xml: undefined,
    invalidEncoding: false,
    noFilesBytes: text.length,
    error: read.error,
  }
}

function readXml(text: string, { contentType, limits }: BodyContext): BodyValues {
  const { texts, whole, attributes, doctype, error } = parseXml(text, limits, charsetOf(contentType))
  return {
    arguments: none,
    proved: none,
    files: none,
    partHeaders: none,
    multipart: undefined,
    xml: { texts, whole, attributes, doctype },
    invalidEncoding: false,
    noFilesBytes: text.length,
    error,
  }
}
