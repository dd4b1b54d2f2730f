import { ConfigError } from './errors.ts'

/** Addresses from `first` to `last`: 32-bit words, most significant first; one word for IPv4, four for IPv6. */
export interface IpRange {
  readonly version: 4 | 6
  readonly first: readonly number[]
  readonly last: readonly number[]
}

/**
 * Reads `203.0.113.7`, `10.0.0.0/8`, `2001:db8::/32` or `10.0.0.5-10.0.0.9`. IPv4 mapped into IPv6 is read as IPv4.
 * Throws `ConfigError`; `where` names the place in its message: `ip.deny[3]`.
 */
export function parseIpRange(text: string, where?: string): IpRange {
  const range = readRange(text.trim())
  if (range !== undefined) return range
  const found = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
  const expected = `expected an IP range such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32, found ${found}`
  throw new ConfigError('P1030', where === undefined ? expected : `${where}: ${expected}`)
}

function readRange(text: string): IpRange | undefined {
  const dash = text.indexOf('-')
  if (dash > 0) {
    const first = readAddress(text.slice(0, dash).trim())
    const last = readAddress(text.slice(dash + 1).trim())
    if (first === undefined || last === undefined || first.length !== last.length) return undefined
    return compareWords(first, last) > 0 ? undefined : rangeOf(first, last)
  }
  const slash = text.indexOf('/')
  if (slash === -1) {
    const address = readAddress(text)
    return address === undefined ? undefined : rangeOf(address, address)
  }
  const base = readAddress(text.slice(0, slash))
  const prefixText = text.slice(slash + 1)
  if (base === undefined || !/^\d{1,3}$/.test(prefixText)) return undefined
  // A prefix of a mapped address counts from the start of the IPv6 form: ::ffff:10.0.0.0/104 is 10.0.0.0/8.
  const prefix = Number(prefixText) - (base.length === 1 && text.includes(':') ? 96 : 0)
  if (prefix < 0 || prefix > base.length * 32) return undefined
  const first = base.map((word, index) => (word & maskOf(prefix - index * 32)) >>> 0)
  const last = base.map((word, index) => (word | ~maskOf(prefix - index * 32)) >>> 0)
  return rangeOf(first, last)
}

function rangeOf(first: readonly number[], last: readonly number[]): IpRange {
  return { version: first.length === 1 ? 4 : 6, first, last }
}

/** The mask of one word of which `bits` lead; more than 32 and less than 0 are cut off. */
function maskOf(bits: number): number {
  if (bits <= 0) return 0
  return bits >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - bits)) >>> 0
}

function readAddress(text: string): readonly number[] | undefined {
  const four = readIpv4(text)
  if (four !== -1) return [four]
  // A zone is a local matter of one host (RFC 4007, 6): it has no place in a list.
  if (text.includes('%') || !readIpv6(text, scratch)) return undefined
  return isMapped(scratch) ? [scratch[3]!] : [...scratch]
}

function compareWords(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return 0
}

/**
 * Many ranges, asked often: sorted, merged and kept as plain words, 8 bytes for a range of IPv4 and 32 for one of
 * IPv6. A look-up parses the address and searches by halves, without allocation.
 */
export class RangeSet {
  /** How many separate ranges are left after merging. */
  readonly size: number
  readonly #first4: Uint32Array
  readonly #last4: Uint32Array
  readonly #first6: Uint32Array
  readonly #last6: Uint32Array

  constructor(ranges: Iterable<IpRange>) {
    const byVersion: { readonly 4: IpRange[]; readonly 6: IpRange[] } = { 4: [], 6: [] }
    for (const range of ranges) byVersion[range.version].push(range)
    const four = merge(byVersion[4])
    const six = merge(byVersion[6])
    this.size = four.length + six.length
    this.#first4 = packWords(four, 1, 'first')
    this.#last4 = packWords(four, 1, 'last')
    this.#first6 = packWords(six, 4, 'first')
    this.#last6 = packWords(six, 4, 'last')
  }

  /** Whether an address, as text, lies in one of the ranges. What is no address lies in none. */
  has(address: string): boolean {
    if (this.size === 0) return false
    const four = readIpv4(address)
    if (four !== -1) return this.#has4(four)
    if (!readIpv6(address, scratch)) return false
    return isMapped(scratch) ? this.#has4(scratch[3]!) : this.#has6(scratch)
  }

  #has4(address: number): boolean {
    const first = this.#first4
    let low = 0
    let high = first.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (first[middle]! <= address) low = middle + 1
      else high = middle
    }
    return low > 0 && address <= this.#last4[low - 1]!
  }

  #has6(address: Uint32Array): boolean {
    const first = this.#first6
    const lead = address[0]!
    let low = 0
    let high = first.length >>> 2
    while (low < high) {
      const middle = (low + high) >>> 1
      const at = middle << 2
      // The first 32 bits usually tell; the rest is looked at only where they are the same.
      const difference = first[at]! - lead
      if (difference < 0 || (difference === 0 && compareAt(first, at, address) <= 0)) low = middle + 1
      else high = middle
    }
    return low > 0 && compareAt(this.#last6, (low - 1) << 2, address) >= 0
  }
}

/** Holds no range: nobody is trusted, nobody is denied. */
export const noRanges = new RangeSet([])

function packWords(ranges: readonly IpRange[], wordsEach: number, end: 'first' | 'last'): Uint32Array {
  const words = new Uint32Array(ranges.length * wordsEach)
  for (let i = 0; i < ranges.length; i++) words.set(ranges[i]![end], i * wordsEach)
  return words
}

function compareAt(words: Uint32Array, at: number, address: Uint32Array): number {
  for (let i = 0; i < 4; i++) {
    const difference = words[at + i]! - address[i]!
    if (difference !== 0) return difference
  }
  return 0
}

function merge(ranges: IpRange[]): IpRange[] {
  ranges.sort((a, b) => compareWords(a.first, b.first))
  const merged: IpRange[] = []
  for (const range of ranges) {
    const before = merged.at(-1)
    if (before === undefined || compareWords(range.first, before.last) > 0) merged.push(range)
    else if (compareWords(range.last, before.last) > 0) merged[merged.length - 1] = rangeOf(before.first, range.last)
  }
  return merged
}

/** The words of the address under the eye: steps run one at a time, so one place is enough. */
const scratch = new Uint32Array(4)

/** Whether the words of an IPv6 address are an IPv4 address's (RFC 4291, 2.5.5.2). */
function isMapped(words: Uint32Array): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff
}

/**
 * An IPv4 address in its four decimal parts as a number, or -1. A leading zero, which is octal to some readers, and the
 * shortened and hexadecimal forms (RFC 6943, 3.1.1) are refused.
 */
function readIpv4(text: string): number {
  const length = text.length
  if (length < 7 || length > 15) return -1
  return readIpv4From(text, 0, length)
}

function readIpv4From(text: string, start: number, end: number): number {
  let value = 0
  let part = 0
  let digits = 0
  let dots = 0
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x2e) {
      if (digits === 0 || ++dots > 3) return -1
      value = value * 256 + part
      part = 0
      digits = 0
    } else {
      if (code < 0x30 || code > 0x39 || (digits > 0 && part === 0)) return -1
      part = part * 10 + code - 0x30
      if (++digits > 3 || part > 255) return -1
    }
  }
  return dots === 3 && digits > 0 ? value * 256 + part : -1
}

/** Writes the four words of an IPv6 address (RFC 4291, 2.2), its zone left aside, or says that it is none. */
function readIpv6(text: string, words: Uint32Array): boolean {
  const zone = text.indexOf('%')
  const end = zone === -1 ? text.length : zone
  if (end < 2 || end > 45) return false
  words.fill(0)
  let groups = 0
  // How many groups stand before `::`.
  let gap = -1
  let i = 0
  if (text.charCodeAt(0) === 0x3a) {
    if (text.charCodeAt(1) !== 0x3a) return false
    gap = 0
    i = 2
  }
  while (i < end) {
    const start = i
    let value = 0
    while (i < end) {
      const digit = hexDigit(text.charCodeAt(i))
      if (digit === -1) break
      value = (value << 4) | digit
      if (++i - start > 4) return false
    }
    if (i < end && text.charCodeAt(i) === 0x2e) {
      const four = readIpv4From(text, start, end)
      if (four === -1 || groups > 6) return false
      setGroup(words, groups++, Math.floor(four / 65_536))
      setGroup(words, groups++, four % 65_536)
      break
    }
    if (i === start || groups === 8) return false
    setGroup(words, groups++, value)
    if (i === end) break
    if (text.charCodeAt(i) !== 0x3a) return false
    i++
    if (i === end) return false
    if (text.charCodeAt(i) === 0x3a) {
      if (gap !== -1) return false
      gap = groups
      i++
    }
  }
  if (gap === -1) return groups === 8
  if (groups === 8) return false
  // The groups after `::` move to the end.
  const shift = 8 - groups
  for (let group = groups - 1; group >= gap; group--) {
    setGroup(words, group + shift, getGroup(words, group))
    setGroup(words, group, 0)
  }
  return true
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function getGroup(words: Uint32Array, group: number): number {
  const word = words[group >> 1]!
  return (group & 1) === 0 ? word >>> 16 : word & 0xffff
}

function setGroup(words: Uint32Array, group: number, value: number): void {
  const word = words[group >> 1]!
  words[group >> 1] = (group & 1) === 0 ? (word & 0xffff) | (value << 16) : (word & 0xffff_0000) | value
}

/** One spelling for each address (RFC 5952), mapped IPv4 as IPv4, no zone; `undefined` for what is no address. */
export function canonicalAddress(text: string): string | undefined {
  if (readIpv4(text) !== -1) return text
  if (!readIpv6(text, scratch)) return undefined
  if (isMapped(scratch)) {
    const four = scratch[3]!
    return `${four >>> 24}.${(four >>> 16) & 255}.${(four >>> 8) & 255}.${four & 255}`
  }
  let longestAt = -1
  let longest = 1
  for (let at = 0; at < 8; at++) {
    let zeros = 0
    while (at + zeros < 8 && getGroup(scratch, at + zeros) === 0) zeros++
    if (zeros > longest) {
      longest = zeros
      longestAt = at
    }
    at += zeros
  }
  let out = ''
  for (let group = 0; group < 8; group++) {
    if (group === longestAt) {
      out += '::'
      group += longest - 1
    } else {
      out += `${out === '' || out.endsWith(':') ? '' : ':'}${getGroup(scratch, group).toString(16)}`
    }
  }
  return out
}

/**
 * What to count a client by: an IPv4 address itself, an IPv6 address by its first 64 bits, since one subscriber holds
 * at least that many (RFC 6177).
 */
export function clientNetwork(address: string): string {
  if (address.indexOf(':') === -1 || !readIpv6(address, scratch)) return address
  if (isMapped(scratch)) return canonicalAddress(address) ?? address
  let prefix = ''
  for (let group = 0; group < 4; group++) prefix += `${getGroup(scratch, group).toString(16)}:`
  return `${prefix}:/64`
}

/** The headers in which proxies say whom they speak for, by lower-case name, as node:http folds them. */
export interface ForwardingHeaders {
  readonly forwarded?: string | undefined
  readonly 'x-forwarded-for'?: string | string[] | undefined
}

/**
 * The client's honest address: the connection's, unless that is a trusted proxy's. Then the hops that `Forwarded`
 * (RFC 7239) or `X-Forwarded-For` name are walked from the right, through trusted ones only, and the first other one
 * is the client. `undefined` when nobody can tell: `Forwarded` is broken, or the two headers tell different stories,
 * and so one of them came from the client. Refuse such a request.
 */
export function clientAddress(
  socketAddress: string,
  headers: ForwardingHeaders,
  trusted: RangeSet,
): string | undefined {
  // Nobody trusted, the usual case; node writes IPv4 on a dual-stack socket as ::ffff:192.0.2.1.
  const peer = socketAddress.indexOf(':') === -1 ? socketAddress : (canonicalAddress(socketAddress) ?? socketAddress)
  if (!trusted.has(peer)) return peer
  const forwarded = headers.forwarded
  const list = headers['x-forwarded-for']
  const byList = list === undefined ? undefined : walkList(peer, typeof list === 'string' ? list : list.join(), trusted)
  if (forwarded === undefined || forwarded === '') return byList ?? peer
  const byForwarded = walkForwarded(peer, forwarded, trusted)
  return byList === undefined || byList === byForwarded ? byForwarded : undefined
}

function walkList(peer: string, list: string, trusted: RangeSet): string | undefined {
  if (list.trim() === '') return undefined
  let client = peer
  let end = list.length
  while (end >= 0) {
    const comma = end === 0 ? -1 : list.lastIndexOf(',', end - 1)
    const hop = addressOfNode(list.slice(comma + 1, end).trim())
    // Squid writes `unknown`; whatever lies further left, nobody vouches for it.
    if (hop === undefined) return client
    client = hop
    if (!trusted.has(hop)) return client
    end = comma
  }
  return client
}

function walkForwarded(peer: string, forwarded: string, trusted: RangeSet): string | undefined {
  const hops = forwardedNodes(forwarded)
  // A client can leave a quote open on purpose, so that the hop which a trusted proxy adds is swallowed.
  if (hops === undefined) return undefined
  let client = peer
  for (let i = hops.length - 1; i >= 0; i--) {
    const hop = addressOfNode(hops[i]!)
    if (hop === undefined) return client
    client = hop
    if (!trusted.has(hop)) return client
  }
  return client
}

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711` (RFC 7239, 6); `unknown` and `_hidden` are none. */
function addressOfNode(node: string): string | undefined {
  if (node.startsWith('[')) {
    const end = node.indexOf(']')
    if (end === -1 || !/^(:\w{1,6})?$/.test(node.slice(end + 1))) return undefined
    return canonicalAddress(node.slice(1, end))
  }
  const colon = node.indexOf(':')
  if (colon === -1 || node.indexOf(':', colon + 1) !== -1) return canonicalAddress(node)
  return /^:\d{1,5}$/.test(node.slice(colon)) ? canonicalAddress(node.slice(0, colon)) : undefined
}

const forwardedPair = /\s*([!#$%&'*+.^_`|~\w-]+)=(?:([!#$%&'*+.^_`|~\w:[\]-]+)|"((?:[^"\\]|\\.)*)")\s*([;,]|$)/y

/** The `for` of each element in order, '' where it is missing; `undefined` when the header is not of RFC 7239's form. */
function forwardedNodes(forwarded: string): string[] | undefined {
  const nodes: string[] = []
  let node = ''
  forwardedPair.lastIndex = 0
  while (true) {
    const match = forwardedPair.exec(forwarded)
    if (match === null) return undefined
    if (match[1]!.toLowerCase() === 'for') {
      if (node !== '') return undefined
      node = match[2] ?? match[3]!.replace(/\\(.)/g, '$1')
    }
    if (match[4] === ';') continue
    nodes.push(node)
    node = ''
    if (match[4] === '') return nodes
  }
}
