import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeOf, compileGuard, makeExchange } from '../../test/kit/guard.ts'
import { address } from './address.ts'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'portcullis-address-'))
})
afterAll(() => rm(dir, { recursive: true }))

async function verdicts(options: unknown, addresses: readonly string[]) {
  const steps = await compileGuard(address, options)
  return addresses.map((from) => codeOf(steps?.requestHead?.(makeExchange({ address: from })) as undefined))
}

describe('H3: the address guard', () => {
  test.each([
    ['nothing said: everybody calls', undefined, ['198.51.100.7', '::1'], [undefined, undefined]],
    ['denied', { deny: ['10.0.0.0/8', '2001:db8::/32'] }, ['10.1.2.3', '2001:db8::5'], ['ip.denied', 'ip.denied']],
    ['not denied', { deny: ['10.0.0.0/8', '2001:db8::/32'] }, ['11.0.0.0', '2001:db9::'], [undefined, undefined]],
    ['allowed', { allow: ['192.0.2.0/24', '::1'] }, ['192.0.2.255', '::1'], [undefined, undefined]],
    ['not allowed', { allow: ['192.0.2.0/24', '::1'] }, ['192.0.3.0', '::2'], ['ip.denied', 'ip.denied']],
    [
      'allowed and denied: deny wins',
      { allow: ['192.0.2.0/24'], deny: ['192.0.2.7'] },
      ['192.0.2.6', '192.0.2.7'],
      [undefined, 'ip.denied'],
    ],
    ['mapped IPv4 is IPv4', { deny: ['10.0.0.0/8'] }, ['::ffff:10.0.0.1'], ['ip.denied']],
    ['no address at all is not allowed', { allow: ['0.0.0.0/0', '::/0'] }, ['', 'unix'], ['ip.denied', 'ip.denied']],
  ])('%s', async (_, options, addresses, expected) => {
    expect(await verdicts(options, addresses)).toEqual(expected)
  })

  test('costs an operation nothing when nothing is configured', async () => {
    expect(await compileGuard(address, undefined)).toBeUndefined()
    expect(await compileGuard(address, { deny: [] })).toBeUndefined()
  })

  test('refuses with 403', async () => {
    const steps = await compileGuard(address, { deny: ['0.0.0.0/0'] })
    expect(steps?.requestHead?.(makeExchange())).toMatchObject({ status: 403 })
  })

  test('reads lists with comments, blank lines and any line ending', async () => {
    const file = join(dir, 'deny.txt')
    await writeFile(file, '# bad\r\n\r\n10.0.0.0/8 # a whole one\r\n192.0.2.7 ; SBL1\n2001:db8::/32')
    expect(
      await verdicts({ deny: [`list:${file}`, '203.0.113.9'] }, [
        '10.0.0.1',
        '192.0.2.7',
        '2001:db8::1',
        '203.0.113.9',
      ]),
    ).toEqual(['ip.denied', 'ip.denied', 'ip.denied', 'ip.denied'])
    expect(await verdicts({ deny: [`list:${file}`] }, ['203.0.113.9', '192.0.2.8'])).toEqual([undefined, undefined])
  })

  test('names the line of a list that is no range', async () => {
    const file = join(dir, 'broken.txt')
    await writeFile(file, '10.0.0.0/8\n  10.0.0.0/33 # typo\n')
    await expect(compileGuard(address, { deny: [`list:${file}`] })).rejects.toMatchObject({
      name: 'ConfigError',
      place: { file, line: 2, column: 3, length: 11 },
    })
  })

  test('says which list cannot be read', async () => {
    await expect(compileGuard(address, { allow: ['list:/nowhere/x.txt'] })).rejects.toThrow(
      /ip\.allow\[0\]: cannot read the list \/nowhere\/x\.txt/,
    )
  })

  test.each([
    ['a range that is none', { deny: ['10.0.0.0/33'] }, ['deny', 0]],
    ['an empty list of those allowed, which would lock out everybody', { allow: [] }, ['allow']],
    ['an unknown key', { denied: [] }, []],
  ])('refuses %s', (_, options, path) => {
    expect(address.options.safeParse(options).error?.issues[0]?.path).toEqual(path)
  })
})
