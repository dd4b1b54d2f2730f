import { messageOf } from '../../base/errors.ts'
import { type IpRange, parseIpRange, RangeSet } from '../../base/ip.ts'
import type { Place } from '../seclang/rule.ts'
import { type Operator, OperatorError } from './operator.ts'

/** The value is an address in one of the ranges, which stand with commas between them. What is no address is in none. */
export function ipMatch(argument: string, place: Place): Operator {
  return matchRanges(argument.split(','), place)
}

/** The value is an address in one of the ranges that stand in the lines of a file. */
export function ipMatchFromFile(lines: readonly string[], place: Place): Operator {
  // A remark may follow: `10.0.0.0/8 # office`.
  return matchRanges(
    lines.flatMap((line) => line.replace(/#.*$/, '').split(',')),
    place,
  )
}

function matchRanges(texts: readonly string[], place: Place): Operator {
  const ranges: IpRange[] = []
  for (const text of texts) {
    const trimmed = text.trim()
    if (trimmed === '') continue
    try {
      ranges.push(parseIpRange(trimmed))
    } catch (error) {
      throw new OperatorError(place, messageOf(error), { cause: error })
    }
  }
  const set = new RangeSet(ranges)
  // An IPv4 address in the form of IPv6 counts as IPv4 everywhere; a wide range of IPv6 holds it all the same.
  if (!ranges.some(coversMapped)) return { test: (value) => set.has(value) }
  return { test: (value) => set.has(value) || (value.includes(':') && everyIpv4.has(value)) }
}

const everyIpv4 = new RangeSet([parseIpRange('0.0.0.0/0')])

/** Whether ::ffff:0:0/96 lies in it, which is where IPv4 addresses are in IPv6 (RFC 4291, 2.5.5.2). */
function coversMapped({ version, first, last }: IpRange): boolean {
  return version === 6 && isUpTo(first, [0, 0, 0xffff, 0]) && isUpTo([0, 0, 0xffff, 0xffff_ffff], last)
}

function isUpTo(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((word, i) => word !== b[i])
  return at === -1 || a[at]! < b[at]!
}
