import { Command } from 'commander'
import type { Config } from '../config/load.ts'
import type { Store } from '../store/store.ts'
import type { KeyRing, MasterKey, PurposeInfo } from '../vault/index.ts'
import { type CommonOptions, type ExitCode, examplesText, newCommand, run, UsageError } from './command.ts'
import { durationOf, isoOf } from './moments.ts'
import { print, printJson, say, table } from './output.ts'

/** `portcullis keys …`. */
export function command(): Command {
  const keys = new Command('keys')
    .summary("keep the gate's own keys: rotate, destroy, seal anew")
    .description(
      "keep the gate's own keys (API keys of callers: `portcullis key`); a running gate follows within a second",
    )
    .addHelpText(
      'after',
      examplesText([
        ['portcullis keys list', 'what there is for which purpose; never a key'],
        ['portcullis keys rotate', 'new keys seal from now on; old ones go on opening'],
        ['portcullis keys rotate identity/cookies --grace 7d', 'and are destroyed after a week'],
        ['portcullis keys rotate signing', 'the next key of the token service; it signs when others have fetched it'],
        ['portcullis keys destroy field/shop/cardNumber --yes', 'what they sealed never opens again'],
        ['portcullis keys reseal --from old.key', 'the configuration names a new master key: seal the vault with it'],
      ]),
    )
  keys.addCommand(newCommand('list', 'list purposes and their keys, never the keys themselves').action(run(list)))
  keys.addCommand(
    newCommand('rotate', 'make new keys, which seal from now on')
      .argument('[purpose...]', 'from `portcullis keys list` (default: every purpose but those of look-ups)')
      .option('--grace <duration>', 'how long old keys still open; then they are destroyed (default: never)')
      .option('--now', 'signing: the new key signs at once, though others may not have fetched it yet')
      .option('--drop', 'signing: end the old keys at once, with every token they signed')
      .action(run((purposes: string[], options: RotateOptions) => rotate(purposes, options))),
  )
  keys.addCommand(
    newCommand('destroy', 'end keys for good: what they sealed never opens again')
      .argument('<purpose>', 'from `portcullis keys list`')
      .argument('[id]', 'one key (default: all keys of the purpose)')
      .option('--yes', 'really')
      .action(run((purpose: string, id: string | undefined, options: DestroyOptions) => destroy(purpose, id, options))),
  )
  keys.addCommand(
    newCommand('reseal', 'exchange the master key; begin it again if it was interrupted')
      .option('--from <source>', 'the old one: a file, or env:NAME (default: what the configuration names)')
      .option('--to <source>', 'the new one: a file, or env:NAME (default: what the configuration names)')
      .action(run(reseal)),
  )
  return keys
}

interface RotateOptions extends CommonOptions {
  readonly grace?: string
  readonly now?: boolean
  readonly drop?: boolean
}

interface DestroyOptions extends CommonOptions {
  readonly yes?: boolean
}

interface ResealOptions extends CommonOptions {
  readonly from?: string
  readonly to?: string
}

async function list(options: CommonOptions): Promise<ExitCode> {
  return withRing(options, async (ring) => {
    const found = await ring.list()
    if (options.json === true) printJson(found.map(dated))
    else if (found.length === 0) say('The vault holds no keys yet: each is made when it is first needed.')
    else {
      const rows = found.flatMap(({ purpose, keys }) =>
        keys.map(({ id, state, createdAt, openUntil }) => [
          purpose,
          id,
          state,
          isoOf(createdAt)!,
          openUntil === undefined ? '-' : isoOf(openUntil)!,
        ]),
      )
      print(table(['PURPOSE', 'KEY', 'STATE', 'MADE', 'DESTROYED AFTER'], rows))
    }
    return 0
  })
}

/** The keys that the token service signs with: not sealed by a purpose, but pairs that others know the half of. */
const signing = 'signing'
/** Values under these keys are found by being equal: a new key would not find what an old one sealed. */
const lookups = 'lookup/'

async function rotate(asked: readonly string[], options: RotateOptions): Promise<ExitCode> {
  const graceMs = options.grace === undefined ? undefined : durationOf(options.grace, '--grace')
  if (graceMs !== undefined && asked.length === 0) {
    // Second factors and fields in somebody's database would go with the rest.
    throw new UsageError('--grace destroys the old keys, and what they sealed with them: name the purposes it is for.')
  }
  return withRing(options, async (ring, beside) => {
    const all = (await ring.list()).map(({ purpose }) => purpose)
    const { tokenService } = beside.config.settings
    const signs = tokenService !== undefined && (asked.length === 0 || asked.includes(signing))
    const wanted =
      asked.length > 0
        ? asked.filter((purpose) => purpose !== signing || !signs)
        : all.filter((purpose) => !purpose.startsWith(lookups))
    const rotated: { purpose: string; key: string; signsFrom?: string | undefined }[] = []
    const missing: string[] = []
    if (signs) {
      const { rotateSigningKeys } = await import('../identity/signing-keys.ts')
      const { createLogger } = await import('./logger.ts')
      const log = await createLogger({ level: 'warn' })
      const world = { store: beside.store, ring, now: Date.now, log, settings: tokenService }
      const { kid, signsFrom } = await rotateSigningKeys(world, {
        now: options.now === true,
        drop: options.drop === true,
      })
      rotated.push({ purpose: signing, key: kid, signsFrom: isoOf(signsFrom) })
    }
    for (const purpose of wanted) {
      const key = all.includes(purpose) ? await ring.rotate(purpose, { graceMs }) : undefined
      if (key === undefined) missing.push(purpose)
      else rotated.push({ purpose, key })
    }
    if (options.json === true) printJson({ rotated, missing })
    else {
      for (const { purpose, key, signsFrom } of rotated) {
        print(`${purpose}  ${key}${signsFrom === undefined ? '' : `  signs from ${signsFrom}`}`)
      }
    }
    const left = asked.length > 0 ? [] : all.filter((purpose) => purpose.startsWith(lookups))
    if (left.length > 0) {
      say(
        `Left alone: ${left.join(', ')}. A new key would not find what is stored; name a purpose to rotate it all the same.`,
      )
    }
    if (missing.length === 0) return 0
    say(`No keys for ${missing.join(', ')}. \`portcullis keys list\` shows what there is.`)
    return 1
  })
}

async function destroy(purpose: string, id: string | undefined, options: DestroyOptions): Promise<ExitCode> {
  const what = id === undefined ? `every key of ${purpose}` : `the key ${id} of ${purpose}`
  if (options.yes !== true && !(await confirmed(purpose, what))) {
    throw new UsageError(`What ${what} sealed will never open again. Say --yes if that is what you want.`)
  }
  return withRing(options, async (ring) => {
    const known = (await ring.list()).some((one) => one.purpose === purpose)
    const destroyed = known ? await ring.destroy(purpose, id) : []
    if (options.json === true) printJson({ purpose, destroyed })
    if (destroyed.length === 0) {
      say(`There is no such key. \`portcullis keys list\` shows what there is.`)
      return 1
    }
    say(`Destroyed: ${destroyed.join(', ')}. Backups of the store still hold them, sealed: see docs/guides/vault.md.`)
    return 0
  })
}

/** Asks a person who types the purpose again; a script says --yes. */
async function confirmed(purpose: string, what: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false
  const { createInterface } = await import('node:readline/promises')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await terminal.question(`What ${what} sealed will never open again. Type "${purpose}": `)) === purpose
  } finally {
    terminal.close()
  }
}

async function reseal(options: ResealOptions): Promise<ExitCode> {
  if (options.from === undefined && options.to === undefined) {
    throw new UsageError(
      'Name the old master key with --from, or the new one with --to; the configuration names the other.',
    )
  }
  const { resealVault } = await import('../vault/index.ts')
  return withStore(options, async (store, config) => {
    const { masterKeyOf } = await import('./vault.ts')
    const { stateDirOf } = await import('./load.ts')
    const key = (source: string | undefined) =>
      source === undefined ? masterKeyOf(config, stateDirOf(config)) : keyNamed(source)
    const from = await key(options.from)
    const to = await key(options.to)
    const { isNew, purposes } = await resealVault({ store, from, to, now: Date.now })
    from.close()
    to.close()
    if (options.json === true) printJson({ resealed: isNew, purposes })
    else if (!isNew && purposes === 0) say('The new master key is in force already.')
    else say(`Sealed with the new master key. Start the gates anew with it: one that runs cannot make keys until then.`)
    return 0
  })
}

async function keyNamed(source: string): Promise<MasterKey> {
  const { masterKeyFrom, masterKeyOfText } = await import('../vault/index.ts')
  if (!source.startsWith('env:')) return masterKeyFrom({ sealWith: { file: source } }, '')
  const name = source.slice('env:'.length)
  const text = process.env[name]
  if (text === undefined || text === '') throw new UsageError(`The variable ${name} is not set.`)
  return masterKeyOfText(text, `the variable ${name}`)
}

interface Beside {
  readonly store: Store
  readonly config: Config
}

async function withRing(
  options: CommonOptions,
  use: (ring: KeyRing, beside: Beside) => Promise<ExitCode>,
): Promise<ExitCode> {
  return withStore(options, async (store, config) => {
    const [{ masterKeyOf }, { stateDirOf }, { openKeyRing, hasVault }, { createLogger }] = await Promise.all([
      import('./vault.ts'),
      import('./load.ts'),
      import('../vault/index.ts'),
      import('./logger.ts'),
    ])
    const master = await masterKeyOf(config, stateDirOf(config))
    if (!(await hasVault(store))) {
      say('There is no vault in this store yet: it is made when the gate first needs a key.')
      if (options.json === true) printJson([])
      return 0
    }
    const ring = await openKeyRing({ store, master, now: Date.now, log: await createLogger({ level: 'warn' }) })
    try {
      return await use(ring, { store, config })
    } finally {
      ring.close()
    }
  })
}

async function withStore(
  options: CommonOptions,
  use: (store: Store, config: Config) => Promise<ExitCode>,
): Promise<ExitCode> {
  const [{ readConfig }, { openStore }, { createLogger }] = await Promise.all([
    import('./read-config.ts'),
    import('../store/open.ts'),
    import('./logger.ts'),
  ])
  const config = await readConfig(options, { withoutUpstreams: true })
  const store = await openStore(config.settings.store.url, { log: await createLogger({ level: 'warn' }) })
  try {
    return await use(store, config)
  } finally {
    await store.close()
  }
}

function dated({ purpose, keys }: PurposeInfo): object {
  return {
    purpose,
    keys: keys.map(({ createdAt, openUntil, ...key }) => ({
      ...key,
      createdAt: isoOf(createdAt),
      openUntil: isoOf(openUntil) ?? null,
    })),
  }
}
