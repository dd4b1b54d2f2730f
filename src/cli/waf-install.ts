import { existsSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { messageOf } from '../base/errors.ts'
import {
  type Change,
  install as installRules,
  rollback as rollbackRules,
  type Supply,
  update as updateRules,
} from '../crs/install.ts'
import { differences, isIntact, type LockReport, readLock, verifyLock } from '../crs/lock.ts'
import { spaced } from '../crs/openpgp.ts'
import type { RootOptions } from '../guards/waf/options.ts'
import type { ExitCode } from './command.ts'
import { UsageError } from './command.ts'
import { print, printJson, say } from './output.ts'
import type { SupplyOptions } from './waf.ts'

/** `portcullis waf install`. */
export async function install(version: string | undefined, options: SupplyOptions): Promise<ExitCode> {
  const change = await alone(options, async (supply) => installRules(version, tarballOf(options), supply))
  await tell(change, options)
  return 0
}

/** `portcullis waf update`. */
export async function update(line: string | undefined, options: SupplyOptions): Promise<ExitCode> {
  if (line !== undefined && !/^\d+(\.\d+)?$/.test(line)) throw new UsageError(`${line} is no line: 4.25 or 4`)
  const change = await alone(options, async (supply) => updateRules(line, tarballOf(options), supply))
  await tell(change, options)
  return 0
}

/** `portcullis waf rollback`. */
export async function rollback(options: SupplyOptions): Promise<ExitCode> {
  const change = await alone(options, (supply) => rollbackRules(supply))
  await tell(change, options)
  return 0
}

/** `portcullis waf status`: 0 where rules are installed and every file is as it was verified. */
export async function status(options: SupplyOptions): Promise<ExitCode> {
  const directory = await rulesDirectoryOf(options)
  const [report, lock, used] = await Promise.all([verifyLock(directory), readLock(directory), usedRules(options)])
  const use = used ?? null
  if (report === undefined || lock === undefined) {
    if (options.json === true) printJson({ use, installed: null })
    else print(useText(used))
    say(`No OWASP CRS is installed in ${shown(directory)}. \`portcullis waf install\` fetches one.`)
    return 1
  }
  const loads = await countOf(report.directory)
  const { changed, missing, added, entry, version } = report
  if (options.json === true) {
    const { files, ...known } = entry
    const { line, previous } = lock
    const state = { intact: isIntact(report), changed, missing, added, files: Object.keys(files).length }
    printJson({
      use,
      installed: { version, line, previous, directory: report.directory, ...state, ...known, ...loads },
    })
  } else print(`${useText(used)}\n${statusText(report, lock.line, lock.previous, loads)}`)
  return isIntact(report) && loads.error === undefined ? 0 : 1
}

/** Which rules the configuration asks for; `undefined` where there is none. */
async function usedRules(options: SupplyOptions): Promise<'own' | 'installed' | { readonly path: string } | undefined> {
  const { readConfig } = await import('./read-config.ts')
  try {
    const { waf } = (await readConfig(options, { withoutUpstreams: true })).rootOf('waf') as RootOptions
    return waf.crs ?? 'own'
  } catch (error) {
    if (error instanceof UsageError) return undefined
    throw error
  }
}

function useText(used: Awaited<ReturnType<typeof usedRules>>): string {
  const text =
    used === undefined
      ? 'there is no configuration here'
      : used === 'own'
        ? "the gate's own rules (`waf: { crs: installed }` at the top of the configuration takes those installed)"
        : used === 'installed'
          ? 'the installed OWASP CRS'
          : `those in ${shown(used.path)}, which nobody verified`
  return `${'in use'.padEnd(10)} ${text}`
}

interface Count {
  readonly rules?: number
  readonly warnings?: readonly string[]
  readonly error?: string
}

/** What the gate would make of the rules. */
async function countOf(directory: string): Promise<Count> {
  const { compileRules, ruleCount } = await import('../crs/load.ts')
  try {
    const { ruleSet, blind } = await compileRules({ rules: 'crs', crs: { path: directory } })
    const warnings = ruleSet.warnings.map(({ place, message }) => `${shown(place.file)}:${place.line}  ${message}`)
    return { rules: ruleCount(ruleSet), warnings: blind === undefined ? warnings : [blind, ...warnings] }
  } catch (error) {
    return { error: messageOf(error) }
  }
}

function statusText(report: LockReport, line: string, previous: string | undefined, loads: Count): string {
  const { entry } = report
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['version', `${report.version} (follows ${line})`],
    ['before', previous ?? 'none'],
    ['folder', shown(report.directory)],
    ['files', isIntact(report) ? `${Object.keys(entry.files).length}, all as they were verified` : differences(report)],
    ['rules', loads.error ?? String(loads.rules)],
    ['installed', entry.installedAt],
    ['from', entry.source],
    ['sha256', `${entry.sha256}${entry.pinned ? ' (known to this version)' : ''}`],
    ['signed', `${entry.signature.createdAt} with ${spaced(entry.signature.key)}`],
    ...(loads.warnings ?? []).map((warning) => ['warning', warning] as const),
  ]
  return rows.map(([name, value]) => `${name.padEnd(10)} ${value}`).join('\n')
}

async function tell({ version, previous, changed, entry }: Change, options: SupplyOptions): Promise<void> {
  if (options.json === true) {
    const { files, ...known } = entry
    printJson({ version, previous: previous ?? null, changed, files: Object.keys(files).length, ...known })
    return
  }
  if (!changed) {
    say(`OWASP CRS ${version} is in force already, and every file is as it was verified.`)
    return
  }
  say(`OWASP CRS ${version} is in force.`)
  if (previous !== undefined) say(`\`portcullis waf rollback\` goes back to ${previous}.`)
  const used = options.to === undefined ? await usedRules(options) : undefined
  if (used === 'installed') say('A running gate takes it over by itself.')
  else if (used !== undefined) say('`waf: { crs: installed }` at the top of the configuration makes the gate run it.')
}

function tarballOf({ from, signature }: SupplyOptions) {
  if (from === undefined) {
    if (signature !== undefined) throw new UsageError('--signature goes with --from')
    return undefined
  }
  if (!existsSync(from)) throw new UsageError(`There is no file ${from}.`)
  if (isFolder(from)) {
    throw new UsageError(
      `${from} is a folder; --from takes a release as it is published, coreruleset-4.28.0-minimal.tar.gz. Rules that are unpacked run with \`waf: { crs: { path: ${from} } }\`.`,
    )
  }
  return { file: from, signature: signature ?? `${from}.asc` }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

/** One change of the rules at a time, over all processes. */
async function alone(options: SupplyOptions, change: (supply: Supply) => Promise<Change>): Promise<Change> {
  if (options.key !== undefined && isFolder(options.key)) {
    throw new UsageError(`${options.key} is a folder; --key takes a public key in a file`)
  }
  const [directory, { withLock }] = await Promise.all([rulesDirectoryOf(options), import('../gate/tls/files.ts')])
  const key = options.key === undefined ? undefined : await readFile(options.key)
  const supply: Supply = {
    directory,
    key,
    mirror: options.mirror,
    now: Date.now,
    say: options.json === true ? () => {} : say,
    async check(folder) {
      const { compileRules } = await import('../crs/load.ts')
      await compileRules({ rules: 'crs', crs: { path: folder } })
    },
  }
  return withLock(join(directory, '.changing'), () => change(supply))
}

/** Where the rules are kept. Without a configuration, beside where one would be: that is how `dev` finds them. */
export async function rulesDirectoryOf(options: Pick<SupplyOptions, 'config' | 'to'>): Promise<string> {
  if (options.to !== undefined) return resolve(options.to)
  const [{ readConfig }, { stateDirOf }] = await Promise.all([import('./read-config.ts'), import('./load.ts')])
  try {
    return join(stateDirOf(await readConfig(options, { withoutUpstreams: true })), 'crs')
  } catch (error) {
    if (error instanceof UsageError) return resolve('.portcullis/crs')
    throw error
  }
}

function shown(path: string): string {
  const near = relative('', path)
  return near.startsWith('..') ? path : near || '.'
}
