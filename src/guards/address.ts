import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { ConfigError, messageOf } from '../base/errors.ts'
import { type IpRange, parseIpRange, RangeSet } from '../base/ip.ts'
import { mode, object, z } from '../config/language.ts'
import type { Guard, Mode } from '../gate/guard.ts'
import { denial } from '../gate/verdict.ts'

const denied = denial(403, 'ip.denied', 'Requests from this address are not accepted.')

/** Ranges and lists that one option may name; longer lists belong into a file. */
const entriesMax = 10_000
/** Ranges of one option, lists included: 32 MB when all of them are IPv6. */
const rangesMax = 1_000_000

const listPrefix = 'list:'

const entry = z.string().superRefine((text, context) => {
  if (text.startsWith(listPrefix)) return
  try {
    parseIpRange(text)
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) })
  }
})

const ranges = (description: string) => z.array(entry).max(entriesMax).describe(description)

interface Options {
  readonly mode: Mode
  readonly allow?: readonly string[] | undefined
  readonly deny: readonly string[]
}

/** Lets only the addresses call that may: the honest client address, see `trustedProxies`. */
export const address: Guard<Options> = {
  name: 'ip',
  stage: 'admit',
  options: object({
    mode: mode('How the rule stands.').default('enforce'),
    allow: ranges(
      'Addresses that may call, and no others: 203.0.113.7, 10.0.0.0/8, 2001:db8::/32, or list:./partners.txt with one range a line. Default: all.',
    )
      .min(1)
      .optional(),
    deny: ranges('Addresses that may not call, in the same form. They win over `allow`.').default([]),
  }).prefault({}),
  async setup(options) {
    const allowed = options.allow === undefined ? undefined : await readRanges(options.allow, 'ip.allow')
    const refused = await readRanges(options.deny, 'ip.deny')
    if (allowed === undefined) {
      if (refused.size === 0) return () => undefined
      return () => ({ requestHead: (exchange) => (refused.has(exchange.address) ? denied : undefined) })
    }
    return () => ({
      requestHead: ({ address }) => (allowed.has(address) && !refused.has(address) ? undefined : denied),
    })
  },
}

async function readRanges(entries: readonly string[], where: string): Promise<RangeSet> {
  const found: IpRange[] = []
  for (const [index, text] of entries.entries()) {
    if (!text.startsWith(listPrefix)) found.push(parseIpRange(text, `${where}[${index}]`))
    else await readList(resolve(text.slice(listPrefix.length)), `${where}[${index}]`, found)
    if (found.length > rangesMax) {
      throw new ConfigError('P1030', `${where}: more than ${rangesMax.toLocaleString('en')} ranges`)
    }
  }
  return new RangeSet(found)
}

/** One range a line; `#` and `;` begin a comment, as the lists that people share have them. */
async function readList(file: string, where: string, found: IpRange[]): Promise<void> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new ConfigError('P1031', `${where}: cannot read the list ${file}: ${messageOf(error)}`, { cause: error })
  }
  const lines = text.split('\n')
  for (const [index, line] of lines.entries()) {
    const range = line.replace(/[#;].*$/s, '').trim()
    if (range !== '') {
      try {
        found.push(parseIpRange(range))
      } catch (error) {
        const place = { file, line: index + 1, column: line.indexOf(range) + 1, length: range.length }
        throw new ConfigError('P1030', messageOf(error), { place })
      }
    }
    // A long list must not hold up the requests that are answered during a reload.
    if (index % 2_000 === 1_999) await setImmediate()
    if (found.length > rangesMax) {
      throw new ConfigError('P1030', `${where}: more than ${rangesMax.toLocaleString('en')} ranges`)
    }
  }
}
