import { readFileSync, realpathSync, statSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { ConfigError, messageOf, type Place } from '../base/errors.ts'
import { installedRules } from './installed.ts'
import { lockName } from './lock.ts'

/** One rule file. `text` holds bytes: one character each, as the engine wants it. */
export interface RuleSource {
  /** The path as it was reached: what error messages show. */
  readonly name: string
  readonly text: string
}

/** Everything that `parseRules` needs, in the order in which it is to be read. */
export interface LoadedRules {
  /** Of the rule set: `4.28.0`; `unknown` where its files do not say. */
  readonly version: string
  /** Where the rule set lies. */
  readonly directory: string
  readonly sources: readonly RuleSource[]
  /** Every file that was read so far, data files included: a change in one of them calls for a reload. */
  readonly files: readonly string[]
  /** The bytes of a data file beside a rule file; nothing outside the rule file's own folder is read. */
  readData(file: string, from: Place): string
}

export interface RuleChoice {
  /** `own`: the rules that come with this program. `crs`: the OWASP Core Rule Set. */
  readonly rules: 'own' | 'crs'
  /** An unpacked CRS. Without it the one that `portcullis waf install` put into the state directory. */
  readonly crs?: { readonly path?: string | undefined } | undefined
  /** Rule files of the user, before and after those of the rule set. */
  readonly before?: readonly string[]
  readonly after?: readonly string[]
  /** Where an installed CRS is looked for: `<stateDir>/crs`. */
  readonly stateDir?: string
}

const fileBytesMax = 8 * 1024 * 1024
const filesMax = 2_000

/** The rules that come with this program; beside `src` in a checkout, beside `dist` in a package. */
export const ownRulesDirectory = new URL('../../rules/', import.meta.url).pathname.replace(/\/$/, '')

/**
 * Gathers rule files in the order in which the CRS wants them read: base settings, crs-setup, plugins' settings, the
 * user's files before, plugins before, the rules by name, plugins after, the user's files after. Throws `ConfigError`.
 */
export async function loadRuleSources(choice: RuleChoice): Promise<LoadedRules> {
  const { before = [], after = [] } = choice
  const set = choice.rules === 'own' ? await ownRules() : await crsRules(await crsDirectory(choice))
  const lock = choice.rules === 'crs' && choice.crs?.path === undefined ? [join(dirname(set.directory), lockName)] : []
  const base = await ifThere(join(ownRulesDirectory, 'base.conf'))
  const names = [...base, ...set.setup, ...before, ...set.rules, ...after]
  if (names.length > filesMax) throw new ConfigError('P1510', `${set.directory} holds more than ${filesMax} rule files`)
  const sources = await Promise.all(names.map(async (name) => ({ name, text: await read(name) })))
  // The lock decides which folder is in force: a change of it is a change of the rules.
  const files = new Set([...lock, ...names])
  return {
    version: versionOf(sources),
    directory: set.directory,
    sources,
    get files() {
      return [...files]
    },
    readData(file, from) {
      files.add(file)
      return readDataFile(file, from.file)
    },
  }
}

interface FolderOfRules {
  readonly directory: string
  /** Read before the user's `before`: settings. */
  readonly setup: readonly string[]
  readonly rules: readonly string[]
}

async function ownRules(): Promise<FolderOfRules> {
  const all = await confFiles(ownRulesDirectory)
  const rules = all.filter((file) => basename(file) !== 'base.conf')
  if (rules.length === 0) throw new ConfigError('P1510', `there are no rules in ${ownRulesDirectory}`)
  return { directory: ownRulesDirectory, setup: [], rules }
}

async function crsDirectory({ crs, stateDir }: RuleChoice): Promise<string> {
  if (crs?.path !== undefined) return crs.path
  if (stateDir === undefined) throw new ConfigError('P1510', 'there is no folder with the OWASP CRS: name `crs.path`')
  return (await installedRules(join(stateDir, 'crs'))).directory
}

/** A CRS as it is unpacked; or a folder with everything side by side, as some distributions lay it out. */
async function crsRules(directory: string): Promise<FolderOfRules> {
  const kind = await stat(directory).catch((error: unknown) => {
    throw new ConfigError('P1510', `the rules in ${directory} cannot be read: ${messageOf(error)}`)
  })
  if (!kind.isDirectory()) throw new ConfigError('P1510', `${directory} is no folder of rules`)
  const nested = await confFiles(join(directory, 'rules'))
  const beside = await confFiles(directory)
  const rules = (nested.length > 0 ? nested : beside).filter((file) => basename(file) !== 'crs-setup.conf')
  if (rules.length === 0) {
    throw new ConfigError('P1510', `${directory} holds no rules/*.conf: expected an unpacked OWASP CRS`)
  }
  const setup = await ifThere(join(directory, 'crs-setup.conf'), join(directory, 'crs-setup.conf.example'))
  if (setup.length === 0) {
    throw new ConfigError('P1510', `${directory} holds neither crs-setup.conf nor crs-setup.conf.example`)
  }
  const plugins = await confFiles(join(directory, 'plugins'))
  const part = (name: string) => plugins.filter((file) => file.endsWith(`-${name}.conf`))
  return {
    directory,
    setup: [...setup, ...part('config')],
    rules: [...part('before'), ...rules, ...part('after')],
  }
}

/** The rule files of one folder, by name; none where there is no such folder. */
async function confFiles(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => [])
  return names
    .filter((name) => name.endsWith('.conf'))
    .sort()
    .map((name) => join(directory, name))
}

/** The first of these files that exists. */
async function ifThere(...files: readonly string[]): Promise<string[]> {
  for (const file of files) {
    if ((await stat(file).catch(() => undefined))?.isFile()) return [file]
  }
  return []
}

async function read(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > fileBytesMax) throw new Error(`it is larger than ${fileBytesMax} bytes`)
    return await readFile(file, 'latin1')
  } catch (error) {
    throw new ConfigError('P1511', `the rule file ${file} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

/** `parseRules` says which rule asked for the file; here is only why it is not had. */
function readDataFile(file: string, source: string): string {
  const home = realpathSync(resolve(dirname(source)))
  const wanted = realpathSync(resolve(file))
  // What a rule can name must not be every file that the gate can read.
  if (!wanted.startsWith(home + sep)) throw new Error("it lies outside the rule file's folder")
  if (statSync(wanted).size > fileBytesMax) throw new Error(`it is larger than ${fileBytesMax} bytes`)
  return readFileSync(wanted, 'latin1')
}

const signature = /^\s*SecComponentSignature\s+"?OWASP_CRS\/([\w.+-]+)/im
const ruleVersion = /ver:'OWASP_CRS\/([\w.+-]+)'/
const ownSignature = /^\s*SecComponentSignature\s+"?[\w-]+\/([\w.+-]+)/im

/** What a rule set calls itself. */
export function versionOf(sources: readonly RuleSource[]): string {
  for (const pattern of [signature, ruleVersion, ownSignature]) {
    for (const { text } of sources) {
      const found = pattern.exec(text)
      if (found !== null) return found[1]!
    }
  }
  return 'unknown'
}
