import type { Program, RequestHead, Trace, Transaction } from '../../waf/engine/index.ts'
import { logLine } from '../../waf/engine/index.ts'
import { type AlbedoReply, albedoReply } from './albedo.ts'
import type { Seen } from './judge.ts'
import type { FtwStage } from './read.ts'

/**
 * What the CRS project sets for its own tests, in the container of its CI: all rules, low limits so that small requests reach
 * them, nothing blocked, responses read. To be put before `crs-setup.conf`.
 */
export const ftwSetup = `
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecAction "id:900005,phase:1,nolog,pass,\\
  ctl:ruleEngine=DetectionOnly,\\
  ctl:ruleRemoveById=910000,\\
  setvar:tx.blocking_paranoia_level=4,\\
  setvar:tx.crs_validate_utf8_encoding=1,\\
  setvar:tx.arg_name_length=100,\\
  setvar:tx.arg_length=400,\\
  setvar:tx.total_arg_length=64000,\\
  setvar:tx.max_num_args=255,\\
  setvar:tx.max_file_size=64100,\\
  setvar:tx.combined_file_sizes=65535"
`

/** Sends a stage's request through rules without a socket, and the reply of the server that the tests were written for. */
export function runInProcess(
  program: Program,
  stage: FtwStage,
  options: { readonly trace?: Trace; readonly id?: string } = {},
): { readonly seen: Seen; readonly transaction: Transaction | undefined } {
  const request = readRequest(stage.request, options.id ?? 'ftw')
  if (request === undefined) return { seen: { status: 400, ids: [], log: [] }, transaction: undefined }
  const { head, body } = request
  const transaction = program.begin(head, options.trace && { trace: options.trace })
  const status = exchange(transaction, request, body)
  transaction.end()
  const { matches } = transaction
  return {
    seen: {
      status: head.protocol === '' ? undefined : status,
      ids: matches.map(({ rule }) => rule.id),
      log: matches.map((match) => logLine(match, transaction)),
    },
    transaction,
  }
}

const nothing: Omit<AlbedoReply, 'status'> = { headers: [], body: Buffer.alloc(0) }

/** All phases but the last; tells the status that a client would see. */
function exchange(transaction: Transaction, request: RawRequest, body: Buffer | undefined): number {
  const stopped = transaction.requestHead() ?? transaction.requestBody(body)
  if (stopped !== undefined) return stopped.status
  const reply = replyTo(request)
  const { status, headers } = reply
  const late =
    transaction.responseHead({ status, protocol: 'HTTP/1.1', headers }) ?? transaction.responseBody(reply.body)
  return late?.status ?? status
}

/** What a client gets where no rule says otherwise: the refusal of the gate, or the answer of the server behind it. */
export function replyTo(request: RawRequest): AlbedoReply {
  const refusal = refusalOf(request)
  const { method, uri } = request.head
  return refusal === undefined ? albedoReply(method, uri, request.body) : { ...nothing, status: refusal }
}

/** A request's bytes, read without asking whether a strict server would. */
export interface RawRequest {
  readonly head: RequestHead
  readonly body: Buffer | undefined
  /** Content-Length beside Transfer-Encoding. */
  readonly framedTwice: boolean
}

/** Reads what can be read; `undefined` where even the lines of the head cannot be told apart. */
export function readRequest(bytes: Buffer, id: string): RawRequest | undefined {
  const text = bytes.toString('latin1')
  const headEnd = text.indexOf('\r\n\r\n')
  const [line = '', ...fields] = text.slice(0, headEnd < 0 ? text.length : headEnd).split('\r\n')
  const parts = /^(\s*\S*) (.*?)(?: (\S*))?$/s.exec(line)
  if (parts === null || fields.some((field) => /[\r\n]/.test(field) || !field.includes(':'))) return undefined
  const headers = fields.flatMap((field) => {
    const colon = field.indexOf(':')
    return [field.slice(0, colon), field.slice(colon + 1).trim()]
  })
  const chunked = /\bchunked\b/i.test(header(headers, 'transfer-encoding') ?? '')
  const rest = bytes.subarray(headEnd + 4)
  const length = Number(header(headers, 'content-length') ?? 0)
  const body = chunked ? dechunked(rest) : rest.subarray(0, Number.isSafeInteger(length) ? length : 0)
  const head: RequestHead = {
    method: parts[1]!,
    uri: parts[2]!,
    protocol: parts[3] ?? '',
    // Transfer-Encoding overrides Content-Length, which is not to be believed then (RFC 9112, section 6.3).
    headers: chunked ? withoutContentLength(headers) : headers,
    client: { address: '127.0.0.1', port: 50_000 },
    server: { address: '127.0.0.1', port: 80 },
    id,
    receivedAt: 0,
  }
  const framedTwice = chunked && header(headers, 'content-length') !== undefined
  return { head, body: body.length === 0 ? undefined : body, framedTwice }
}

function header(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name)
  return at < 0 ? undefined : headers[at + 1]
}

function withoutContentLength(headers: readonly string[]): string[] {
  return headers.filter((_, index) => headers[index - (index % 2)]!.toLowerCase() !== 'content-length')
}

function dechunked(bytes: Buffer): Buffer {
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const length = Number.parseInt(bytes.toString('latin1', at, Math.max(at, lineEnd)), 16)
    if (lineEnd < 0 || !(length > 0)) return Buffer.concat(chunks)
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + length))
    at = lineEnd + 2 + length + 2
  }
}

/** What this project's gate answers to requests that it does not take; `undefined` for those that it does. */
function refusalOf({ head, framedTwice }: RawRequest): number | undefined {
  const { method, uri, protocol, headers } = head
  if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(method) || !/^HTTP\/(?:1\.[01]|[23](?:\.0)?)$/.test(protocol)) return 400
  const target = method === 'CONNECT' ? /^[\w.[\]:-]+:\d+$/ : /^(?:\*$|\/|https?:\/\/)[^\s#]*$/i
  if (!target.test(uri) || /[\0-\x20]/.test(uri)) return 400
  const length = header(headers, 'content-length')
  if (length !== undefined && !/^\d+$/.test(length)) return 400
  // Which of the two counts is anybody's guess, so neither does.
  if (framedTwice) return 400
  if (headers.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'content-type').length > 1) return 400
  const host = header(headers, 'host')
  if (protocol === 'HTTP/1.1' && (host === undefined || !/^[\w.[\]:-]+$/.test(host))) return 400
  return method === 'CONNECT' ? 501 : undefined
}
