import { STATUS_CODES } from 'node:http'
import { Lru } from '../base/lru.ts'
import { prefersXml } from './negotiate.ts'

/** What went wrong with a request, for its sender. A Denial of the gate is one. */
export interface Problem {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly errors?: readonly ProblemError[] | undefined
}

/** One place in the request that does not fit. */
export interface ProblemError {
  readonly pointer: string
  readonly in: string
  readonly detail: string
}

export interface ProblemOptions {
  /** The request's id, given as `instance`. */
  readonly id: string
  /** The request's `Accept`. */
  readonly accept: string | undefined
  /** What `type` begins with; the problem's code follows: `https://…/denials.md#`. */
  readonly docsBase: string
}

export interface RenderedProblem {
  readonly contentType: 'application/problem+json' | 'application/problem+xml'
  readonly body: string
}

/**
 * The text around the request's id, made once for each kind of refusal: refusals must cost a third of a forwarded
 * request at most, also under attack.
 */
interface Parts extends Problem {
  readonly docsBase: string
  readonly json: Frame
  readonly xml: Frame
}

interface Frame {
  readonly before: string
  readonly after: string
  readonly end: string
}

/** By detail, since one code may have a few (one for each limit); bounded because a detail may be computed. */
const cache = new Lru<string, Parts>({ entriesMax: 1_024 })

/** A problem document (RFC 9457), in JSON, or in XML for a client that would rather have it. */
export function renderProblem(problem: Problem, options: ProblemOptions): RenderedProblem {
  const { id, accept, docsBase } = options
  let parts = cache.get(problem.detail)
  if (
    parts === undefined ||
    parts.code !== problem.code ||
    parts.status !== problem.status ||
    parts.docsBase !== docsBase
  ) {
    parts = render(problem, docsBase)
    cache.set(problem.detail, parts)
  }
  if (prefersXml(accept)) {
    const { before, after, end } = parts.xml
    const errors = problem.errors === undefined ? '' : xmlErrors(problem.errors)
    return { contentType: 'application/problem+xml', body: before + escapeXml(id) + after + errors + end }
  }
  const { before, after, end } = parts.json
  const errors = problem.errors === undefined ? '' : jsonErrors(problem.errors)
  const instance = plainId.test(id) ? id : JSON.stringify(id).slice(1, -1)
  return { contentType: 'application/problem+json', body: before + instance + after + errors + end }
}

/** The gate's own ids need no escaping. */
const plainId = /^[\w-]*$/

function render({ status, code, detail }: Problem, docsBase: string): Parts {
  const type = docsBase + code
  const title = STATUS_CODES[status] ?? 'Error'
  const fields = JSON.stringify({ type, title, status, detail })
  return {
    status,
    code,
    detail,
    docsBase,
    json: {
      before: `${fields.slice(0, -1)},"instance":"`,
      after: `","code":${JSON.stringify(code)}`,
      end: '}\n',
    },
    // The format and its namespace are those of RFC 9457, appendix B.
    xml: {
      before:
        `<?xml version="1.0" encoding="UTF-8"?>\n<problem xmlns="urn:ietf:rfc:7807"><type>${escapeXml(type)}</type>` +
        `<title>${escapeXml(title)}</title><status>${status}</status><detail>${escapeXml(detail)}</detail><instance>`,
      after: `</instance><code>${escapeXml(code)}</code>`,
      end: '</problem>\n',
    },
  }
}

function jsonErrors(errors: readonly ProblemError[]): string {
  return `,"errors":${JSON.stringify(errors.map((error) => ({ pointer: error.pointer, in: error.in, detail: error.detail })))}`
}

function xmlErrors(errors: readonly ProblemError[]): string {
  let items = ''
  for (const error of errors) {
    items += `<i><pointer>${escapeXml(error.pointer)}</pointer><in>${escapeXml(error.in)}</in><detail>${escapeXml(error.detail)}</detail></i>`
  }
  return `<errors>${items}</errors>`
}

/** Text for an XML 1.0 document: marks escaped, characters that it cannot hold (2.2) replaced. */
export function escapeXml(text: string): string {
  // A reader turns a bare carriage return into a line feed (2.11).
  return text.replace(needsEscape, (character) => escapes[character] ?? '\ufffd')
}

const needsEscape =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that must not get through
  /[&<>"'\r\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\r': '&#13;',
}
