import type { IncomingMessage } from 'node:http'
import type { RuleMatch } from '../traffic/passage.ts'
import type { IncomingRequest } from './arrival.ts'
import type { Peer } from './peer.ts'
import type { Program } from './program.ts'
import type { Mount } from './router.ts'

/**
 * A request that was refused before it had an operation: by the parser, for its target or its headers, or because nothing
 * is served there. As far as it can be told; nothing of it is sure, and nothing of it goes anywhere.
 */
export interface Stray {
  readonly id: string
  readonly method: string
  /** As it stood in the request line. */
  readonly rawTarget: string
  /** As it stood there too; `HTTP/0.9` where there was none. */
  readonly protocol: string
  /** Name, value, name, value …, a character for each byte. */
  readonly rawHeaders: readonly string[]
  /** What of the body came with the head. */
  readonly body: Buffer | undefined
  readonly peer: Peer
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
}

/** What can be told of a request from its bytes or its parsed head. */
export type StrayMessage = Omit<Stray, 'id' | 'peer' | 'receivedAt'>

/** Of a request line that names none: it is what HTTP/0.9 called a simple request. */
const versionless = 'HTTP/0.9'

const packetBytesMax = 65_536
const headersMax = 200

/**
 * Reads a request that no strict parser takes, in the widest way in which somebody else might: any method, anything as a
 * target, bare line feeds, folded lines, lines without a colon. For looking at, never for acting on.
 */
export function readStray(packet: Buffer): StrayMessage {
  const text = packet.toString('latin1', 0, packetBytesMax)
  let at = 0
  while (text[at] === '\r' || text[at] === '\n') at++
  const lineEnd = endOfLine(text, at)
  const head = readRequestLine(lineOf(text, at, lineEnd))
  const rawHeaders: string[] = []
  at = lineEnd + 1
  for (;;) {
    // The packet ends within the head.
    if (at >= text.length) return { ...head, rawHeaders, body: undefined }
    const end = endOfLine(text, at)
    const line = lineOf(text, at, end)
    at = end + 1
    if (line === '') break
    // One reader takes it for the end of a line, another for a part of it: there is nothing to tell of it.
    if (line.includes('\r')) continue
    const first = line.charCodeAt(0)
    if ((first === 0x20 || first === 0x09) && rawHeaders.length > 0)
      rawHeaders[rawHeaders.length - 1] += ` ${line.trim()}`
    else if (rawHeaders.length < headersMax * 2) {
      const colon = line.indexOf(':')
      if (colon === -1) rawHeaders.push(line, '')
      else rawHeaders.push(line.slice(0, colon), trimmed(line.slice(colon + 1)))
    }
  }
  return { ...head, rawHeaders, body: bodyOf(packet.subarray(at, packetBytesMax), rawHeaders) }
}

/** Whether a packet begins with a request line without a version. Its sender could not read a status line either. */
export function isSimpleRequest(packet: Buffer): boolean {
  return /^(?:\r?\n)*[A-Z]{1,32} \/\S{0,8000} ?\r?\n/.test(packet.toString('latin1', 0, 8_192))
}

/** The head of a request that was parsed, but goes no further. */
export function strayOf(request: IncomingRequest): StrayMessage {
  const { method = '', url = '', httpVersion } = request as IncomingMessage
  const http2 = 'stream' in request
  const rawHeaders = http2 ? withoutPseudo(request.rawHeaders, request.headers[':authority']) : request.rawHeaders
  return { method, rawTarget: url, protocol: http2 ? 'HTTP/2' : `HTTP/${httpVersion}`, rawHeaders, body: undefined }
}

function withoutPseudo(rawHeaders: readonly string[], authority: string | undefined): readonly string[] {
  let start = 0
  while (rawHeaders[start]?.charCodeAt(0) === 0x3a) start += 2
  return authority === undefined ? rawHeaders.slice(start) : ['host', authority, ...rawHeaders.slice(start)]
}

function readRequestLine(line: string): { method: string; rawTarget: string; protocol: string } {
  const space = line.indexOf(' ')
  if (space === -1) return { method: line, rawTarget: '', protocol: versionless }
  const rest = line.slice(space + 1)
  const last = rest.lastIndexOf(' ')
  const protocol = last === -1 ? '' : rest.slice(last + 1)
  return protocol.slice(0, 5).toUpperCase() === 'HTTP/'
    ? { method: line.slice(0, space), rawTarget: rest.slice(0, last), protocol }
    : { method: line.slice(0, space), rawTarget: rest.trimEnd(), protocol: versionless }
}

/** Where the line ends: at its line feed, or with the text. */
function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from)
  return end === -1 ? text.length : end
}

function lineOf(text: string, from: number, end: number): string {
  return text.slice(from, end > from && text.charCodeAt(end - 1) === 0x0d ? end - 1 : end)
}

/** Without the blanks around it (RFC 9112, 5). */
function trimmed(value: string): string {
  let from = 0
  let to = value.length
  while (isBlank(value.charCodeAt(from))) from++
  while (to > from && isBlank(value.charCodeAt(to - 1))) to--
  return value.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function bodyOf(rest: Buffer, rawHeaders: readonly string[]): Buffer | undefined {
  let length: string | undefined
  let chunked = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.trim().toLowerCase()
    if (name === 'content-length') length ??= rawHeaders[i + 1]
    else if (name === 'transfer-encoding') chunked ||= /chunked/i.test(rawHeaders[i + 1]!)
  }
  if (chunked) return dechunk(rest)
  // Without a length there is no body (RFC 9112, 6.3).
  if (length === undefined || rest.length === 0) return undefined
  const bytes = /^\d{1,15}$/.test(length) ? Number(length) : rest.length
  return rest.subarray(0, bytes)
}

/** The chunks that can be read; what cannot is taken as it is. */
function dechunk(coded: Buffer): Buffer | undefined {
  const pieces: Buffer[] = []
  let at = 0
  while (at < coded.length) {
    const end = coded.indexOf(10, at)
    const size = end === -1 ? undefined : /^\s*([0-9a-f]{1,8})/i.exec(coded.toString('latin1', at, end))
    if (size === undefined || size === null) {
      pieces.push(coded.subarray(at))
      break
    }
    const bytes = Number.parseInt(size[1]!, 16)
    if (bytes === 0) break
    pieces.push(coded.subarray(end + 1, end + 1 + bytes))
    at = end + 1 + bytes
    while (coded[at] === 13 || coded[at] === 10) at++
  }
  return pieces.length === 0 ? undefined : Buffer.concat(pieces)
}

/** Looks at strays for the guards that ask for it. Says what they found, which changes nothing for the caller. */
export type StrayLook = (stray: Stray) => readonly RuleMatch[]

const nothing: readonly RuleMatch[] = []

/**
 * Finds the guards that look at strays: those of the API that the stray's host and path lead to, as far as they can be told,
 * else of the first that has any. `undefined` where no guard asks.
 */
export function strayLook(mounts: readonly Mount[]): StrayLook | undefined {
  const looking = mounts.filter(({ unlistedPath }) => unlistedPath.stray.length > 0)
  if (looking.length === 0) return undefined
  return (stray) => {
    const found = programFor(stray, looking).stray.flatMap((look) => look(stray))
    return found.length === 0 ? nothing : found
  }
}

function programFor({ rawHeaders, rawTarget }: Stray, mounts: readonly Mount[]): Program {
  const at = rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'host')
  const host = at === -1 ? '' : rawHeaders[at + 1]!.toLowerCase().replace(/:\d*$/, '')
  const path = rawTarget.replace(/^https?:\/\/[^/]*/i, '')
  let best = mounts[0]!
  let bestFit = -1
  for (const mount of mounts) {
    if (!path.startsWith(mount.prefix)) continue
    const fit =
      mount.prefix.length + (mount.hosts?.includes(host) === true ? 10_000 : mount.hosts === undefined ? 1 : 0)
    if (fit <= bestFit) continue
    best = mount
    bestFit = fit
  }
  return best.unlistedPath
}

/** What looking at strays may cost: a share of one core, so that bad requests never cost us more than whoever sends them. */
export interface StrayBudget {
  /** Runs `look` and returns what it found; nothing, unlooked, when the time is spent. */
  readonly spend: <T>(look: () => readonly T[]) => readonly T[]
}

const savedMsMax = 500

/** `share` of the time, of which at most half a second's worth is saved up. */
export function createStrayBudget(share: number, nowMs: () => number = () => performance.now()): StrayBudget {
  let left = savedMsMax
  let since = nowMs()
  return {
    spend(look) {
      const before = nowMs()
      left = Math.min(savedMsMax, left + (before - since) * share)
      since = before
      if (left <= 0) return []
      try {
        return look()
      } finally {
        left -= nowMs() - before
      }
    },
  }
}
