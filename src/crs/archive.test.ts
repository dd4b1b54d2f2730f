import { gzipSync } from 'node:zlib'
import type { TarHeader } from 'modern-tar'
import { describe, expect, test } from 'vitest'
import { smallCrs, tarball } from '../../test/kit/crs-site.ts'
import { ArchiveError, readArchive } from './archive.ts'

const top = 'coreruleset-4.28.0'

/** A release with one more entry. */
function withOdd(header: Partial<TarHeader>, body = ''): Promise<Buffer> {
  const whole = { name: `${top}/rules/x.conf`, size: Buffer.byteLength(body), ...header }
  return tarball('4.28.0', undefined, [{ header: whole, body }])
}

describe('a release tarball', () => {
  test('yields its rules and its version, and leaves tests and documents behind', async () => {
    const { version, files, sha256 } = await readArchive(await tarball('4.28.0'))
    expect(version).toBe('4.28.0')
    expect(sha256).toMatch(/^[0-9a-f]{64}$/)
    expect([...files.keys()].sort()).toEqual([
      'LICENSE',
      'crs-setup.conf.example',
      'rules/REQUEST-901-INITIALIZATION.conf',
      'rules/REQUEST-930-APPLICATION-ATTACK-LFI.conf',
      'rules/lfi-os-files.data',
    ])
    expect(files.get('rules/lfi-os-files.data')!.toString()).toBe('etc/passwd\netc/shadow\n')
  })

  test.each<[string, () => Promise<Buffer>, RegExp]>([
    [
      'a path that climbs out',
      () => withOdd({ name: `${top}/rules/../../../etc/cron.d/x.conf` }, 'x'),
      /path that is not believed/,
    ],
    [
      'a path that climbs out in an extended header',
      () => withOdd({ pax: { path: `${top}/rules/../../../etc/cron.d/x.conf` } }, 'x'),
      /path that is not believed/,
    ],
    ['a path from the root', () => withOdd({ name: '/etc/cron.d/x.conf' }, 'x'), /path that is not believed/],
    ['a Windows path', () => withOdd({ name: `${top}/rules\\..\\..\\x.conf` }, 'x'), /path that is not believed/],
    ['a drive', () => withOdd({ name: 'C:/x.conf' }, 'x'), /path that is not believed/],
    ['a line break in a name', () => withOdd({ name: `${top}/rules/a\nb.conf` }, 'x'), /path that is not believed/],
    [
      'a very long name',
      () => withOdd({ name: `${top}/rules/${'a'.repeat(300)}.conf` }, 'x'),
      /path that is not believed|cannot be read/,
    ],
    ['a symbolic link', () => withOdd({ type: 'symlink', linkname: '/etc/passwd', size: 0 }), /holds a symlink/],
    ['a hard link', () => withOdd({ type: 'link', linkname: '/etc/passwd', size: 0 }), /holds a link/],
    ['a device', () => withOdd({ type: 'character-device', size: 0 }), /holds a character-device/],
    ['a pipe', () => withOdd({ type: 'fifo', size: 0 }), /holds a fifo/],
    ['a second folder at its top', () => withOdd({ name: 'other/rules/x.conf' }, 'x'), /two folders at its top/],
    ['a name twice', () => withOdd({ name: `${top}/rules/lfi-os-files.data` }, 'x'), /twice/],
    ['a name twice but for its case', () => withOdd({ name: `${top}/RULES/lfi-os-files.data` }, 'x'), /twice/],
    ['a rule file that is too large', () => withOdd({}, 'x'.repeat(9 << 20)), /larger than 8388608 bytes/],
    [
      'too many entries',
      () =>
        tarball('4.28.0', {
          ...smallCrs('4.28.0'),
          ...Object.fromEntries(Array.from({ length: 10_001 }, (_, at) => [`tests/${at}`, ''])),
        }),
      /more than 10000 entries/,
    ],
    ['no rules', () => tarball('4.28.0', { 'README.md': 'x' }), /is no OWASP CRS/],
    [
      'rules that do not say their version',
      () => tarball('4.28.0', { ...smallCrs('4.28.0'), 'rules/REQUEST-901-INITIALIZATION.conf': '#' }),
      /do not say which version/,
    ],
    ['a bomb', async () => gzipSync(Buffer.alloc(100 << 20)), /unpacks to more than 100663296 bytes/],
    ['no gzip', async () => Buffer.from('<html>not found</html>'), /cannot be unpacked/],
    ['no tar', async () => gzipSync(Buffer.from('hello')), /cannot be read|is no OWASP CRS/],
    ['nothing', async () => Buffer.alloc(0), /cannot be unpacked/],
    ['more than anybody sends', async () => Buffer.alloc((16 << 20) + 1), /larger than 16777216 bytes/],
  ])('that holds %s is refused', async (_name, make, reason) => {
    const bytes = await make()
    await expect(readArchive(bytes)).rejects.toThrow(ArchiveError)
    await expect(readArchive(bytes)).rejects.toThrow(reason)
  })

  test('that was cut short anywhere is refused', async () => {
    const whole = await tarball('4.28.0')
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.9, 0.99]) {
      await expect(readArchive(whole.subarray(0, Math.floor(whole.length * share)))).rejects.toThrow(ArchiveError)
    }
  })
})
