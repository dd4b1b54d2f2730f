import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { sharedPath } from '../../test/kit/shared.ts'
import { parseRules } from '../waf/seclang/index.ts'
import { loadRuleSources } from './rules.ts'

let root: string
let crs: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'portcullis-rules-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  crs = await folder({
    'crs-setup.conf.example': '# example',
    'rules/REQUEST-901-INITIALIZATION.conf': 'SecComponentSignature "OWASP_CRS/4.28.0"',
    'rules/REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf.example': '# not read',
    'rules/RESPONSE-980-CORRELATION.conf': '#',
    'rules/REQUEST-942-APPLICATION-ATTACK-SQLI.conf':
      'SecRule ARGS "@pmFromFile sql.data" "id:942000,phase:2,pass,log"',
    'rules/sql.data': 'caf\u00e9\n',
    'plugins/x-after.conf': '#',
    'plugins/x-before.conf': '#',
    'plugins/x-config.conf': '#',
    'plugins/README.md': 'x',
  })
})

async function folder(files: Readonly<Record<string, string>>): Promise<string> {
  const made = await mkdtemp(join(root, 'case-'))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(made, name)), { recursive: true })
    await writeFile(join(made, name), text)
  }
  return made
}

/** The files in the order in which they are read, from this folder. */
async function order(path: string, before: string[] = [], after: string[] = []): Promise<string[]> {
  const { sources } = await loadRuleSources({ rules: 'crs', crs: { path }, before, after })
  const names = sources.map(({ name }) => relative(path, name))
  return names.filter((name) => !name.endsWith('rules/base.conf') || !name.startsWith('..'))
}

describe('the rules of a CRS', () => {
  test('are read in the order that the CRS asks for, the files of the user among them', async () => {
    const mine = await folder({ 'a.conf': '#', 'b.conf': '#' })
    const names = await order(crs, [join(mine, 'a.conf')], [join(mine, 'b.conf')])
    expect(names.map((name) => name.replace(/^\.\..*\//, 'mine/'))).toEqual([
      'crs-setup.conf.example',
      'plugins/x-config.conf',
      'mine/a.conf',
      'plugins/x-before.conf',
      'rules/REQUEST-901-INITIALIZATION.conf',
      'rules/REQUEST-942-APPLICATION-ATTACK-SQLI.conf',
      'rules/RESPONSE-980-CORRELATION.conf',
      'plugins/x-after.conf',
      'mine/b.conf',
    ])
  })

  test("take the user's crs-setup.conf before the example", async () => {
    await writeFile(join(crs, 'crs-setup.conf'), '#')
    expect((await order(crs))[0]).toBe('crs-setup.conf')
  })

  test('may lie side by side in one folder, as distributions lay them out', async () => {
    const flat = await folder({ 'crs-setup.conf': '#', 'REQUEST-901.conf': "ver:'OWASP_CRS/3.3.5'", 'b.conf': '#' })
    expect(await order(flat)).toEqual(['crs-setup.conf', 'REQUEST-901.conf', 'b.conf'])
    expect((await loadRuleSources({ rules: 'crs', crs: { path: flat } })).version).toBe('3.3.5')
  })

  test('tell their version, and which files a change is to be watched in', async () => {
    const loaded = await loadRuleSources({ rules: 'crs', crs: { path: crs } })
    expect(loaded.version).toBe('4.28.0')
    const set = parseRules(loaded.sources, { readData: loaded.readData })
    // Bytes: one character each, whatever they mean.
    expect(set.phases[2].flatMap((one) => (one.kind === 'rule' ? one.conditions[0].operator.lines : []))).toContain(
      'caf\u00c3\u00a9',
    )
    expect(loaded.files).toContain(join(crs, 'rules/sql.data'))
    expect(loaded.files).toContain(join(crs, 'crs-setup.conf.example'))
  })

  test.each([
    ['is not there', async () => join(root, 'none'), 'cannot be read: there is no'],
    ['is a file', async () => join(crs, 'crs-setup.conf.example'), 'is no folder of rules'],
    ['is empty', () => folder({}), 'holds no rules/*.conf: expected an unpacked OWASP CRS'],
    [
      'lacks its setup',
      () => folder({ 'rules/a.conf': '#' }),
      'holds neither crs-setup.conf nor crs-setup.conf.example',
    ],
  ])('in a folder that %s are refused', async (_name, make, reason) => {
    await expect(loadRuleSources({ rules: 'crs', crs: { path: await make() } })).rejects.toThrow(reason)
  })

  test('are refused where none are installed and no folder is named', async () => {
    await expect(loadRuleSources({ rules: 'crs', stateDir: root })).rejects.toThrow('no OWASP CRS is installed in')
    await expect(loadRuleSources({ rules: 'crs' })).rejects.toThrow('name `crs.path`')
  })

  test("name a user's file that is missing", async () => {
    await expect(order(crs, ['./none.conf'])).rejects.toThrow('the rule file ./none.conf cannot be read: there is no')
  })
})

describe('a data file', () => {
  test.each([
    ['../crs-setup.conf.example', "lies outside the rule file's folder"],
    ['/etc/passwd', "lies outside the rule file's folder"],
    ['link.data', "lies outside the rule file's folder"],
    ['none.data', 'there is no'],
    ['https://evil.example/x.data', 'not fetched from the network'],
  ])('named %s is not read', async (name, reason) => {
    await writeFile(join(crs, 'rules/x.conf'), `SecRule ARGS "@pmFromFile ${name}" "id:1,phase:2,pass"`)
    await symlink('/etc/passwd', join(crs, 'rules/link.data'))
    const loaded = await loadRuleSources({ rules: 'crs', crs: { path: crs } })
    expect(() => parseRules(loaded.sources, { readData: loaded.readData })).toThrow(reason)
  })
})

const shared = sharedPath('crs')

describe.skipIf(shared === undefined)('CRS 4.28.0 (skipped where there is none beside the checkout)', () => {
  test('loads whole', async () => {
    const loaded = await loadRuleSources({ rules: 'crs', crs: { path: shared! } })
    const { phases, warnings } = parseRules(loaded.sources, { readData: loaded.readData })
    expect(loaded.version).toBe('4.28.0')
    const count = Object.values(phases).reduce(
      (sum, phase) => sum + phase.filter(({ kind }) => kind === 'rule').length,
      0,
    )
    expect(count).toBeGreaterThanOrEqual(629)
    expect(warnings).toEqual([])
    expect(loaded.files.filter((file) => file.endsWith('.data'))).toHaveLength(19)
  })
})
