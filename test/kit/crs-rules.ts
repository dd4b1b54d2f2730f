import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ftwSetup } from '../../src/crs/ftw/in-process.ts'
import { parseRules } from '../../src/waf/seclang/index.ts'
import type { RuleSet } from '../../src/waf/seclang/rule.ts'

/** The Core Rule Set of a folder, set up as for its own tests and with nothing of ours: what other engines run likewise. */
export function crsRules(folder: string): RuleSet {
  const names = readdirSync(join(folder, 'rules')).filter((name) => name.endsWith('.conf'))
  const files = ['crs-setup.conf.example', ...names.sort().map((name) => `rules/${name}`)]
  const sources = files.map((name) => ({ name: join(folder, name), text: readFileSync(join(folder, name), 'latin1') }))
  return parseRules([{ name: 'ftw.conf', text: ftwSetup }, ...sources], {
    readData: (file) => readFileSync(file, 'latin1'),
  })
}
