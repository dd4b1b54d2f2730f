import { dirname, extname, join, resolve } from 'node:path'
import { ConfigError, ConfigErrors, type Place } from '../base/errors.ts'
import { nearest } from '../base/suggest.ts'
import { checkListeners, checkSettings, checkUpstreams } from './checks.ts'
import { complaintsOf, placeOf } from './complaints.ts'
import type { Shape } from './language.ts'
import { loadModule } from './module.ts'
import { Variables } from './placeholders.ts'
import { profiles } from './profiles.ts'
import { configShape, rootKeysOf } from './schema.ts'
import { rootShape, type Settings } from './settings.ts'
import { plainValue } from './shapes.ts'
import { layer, readTree, type Tree, treeOf } from './tree.ts'

/** What the configuration needs to know of a guard: its key, and how its options are written. */
export interface GuardShapes {
  readonly name: string
  readonly options: Shape<unknown>
  readonly root?: Shape<unknown>
}

export interface LoadOptions {
  /** The configuration file: YAML, JSON or a module. */
  readonly file: string
  /** The configuration itself, where there is no file; `file` then only names it, and its folder is where paths start. */
  readonly value?: unknown
  readonly env: Readonly<Record<string, string | undefined>>
  readonly guards: readonly GuardShapes[]
  /** Laid over the file: what a command line says. Paths count from the working directory. */
  readonly overrides?: Readonly<Record<string, unknown>>
  /** `portcullis dev`: a listener that says nothing of TLS makes a certificate of its own. */
  readonly dev?: boolean
  /** Handlers in this process take the place of upstreams, or nothing is served at all: an API need not name one. */
  readonly withoutUpstreams?: boolean
}

/** A configuration that holds: read, filled in, checked as a whole. */
export interface Config {
  readonly settings: Settings
  readonly file: string
  /** Where the configuration file lies; state and certificates of its own go below it. */
  readonly directory: string
  /** Every file that the configuration was read from or names: for watching. Some may not exist (yet). */
  readonly files: readonly string[]
  /** Where what stands at a path was written; for errors that show later. */
  readonly placeOf: (path: readonly (string | number)[]) => Place | undefined
  /** The file behind a value that was written as `${file:…}`. */
  readonly fileBehind: (path: readonly (string | number)[]) => string | undefined
  /** What was written at a path, filled in and with absolute paths, before defaults: `raw(['apis', 'shop', 'limits'])`. */
  readonly raw: (path: readonly (string | number)[]) => unknown
  /** What a guard reads from the top of the configuration, parsed by its `root`. */
  readonly rootOf: (guard: string) => unknown
  /** Puts `${NAME}` back where its value stands in a text: for errors of later stages. */
  readonly redact: (text: string) => string
  readonly warnings: readonly ConfigError[]
}

const extendsDepthMax = 8
const layersMax = 64

/** Reads a configuration with everything it extends. Throws `ConfigErrors` with all that is wrong with it, at once. */
export async function loadConfig(options: LoadOptions): Promise<Config> {
  try {
    return await load(options)
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigErrors([error]) : error
  }
}

async function load(options: LoadOptions): Promise<Config> {
  const file = resolve(options.file)
  const directory = dirname(file)
  const variables = new Variables(options.env, directory)
  const layers = new Layers()
  let tree = await (options.value === undefined
    ? layers.read(file, 0)
    : layers.lay(treeOf(options.value, file), file, 0))
  if (options.overrides !== undefined) tree = layer(tree, treeOf(options.overrides, resolve('command line')))

  const errors: ConfigError[] = []
  tree = variables.fill(tree, errors)
  if (tree.kind !== 'map') {
    const empty = tree.kind === 'scalar' && tree.value === null
    throw new ConfigError('P1004', `a configuration is a map of keys${empty ? ', and this file is empty' : ''}`, {
      place: { ...tree.place, length: 1 },
      hint: 'it begins with "version: 1"; `portcullis init` writes one',
    })
  }
  const shape = configShape(options.guards)
  const files = new Set([...layers.files, ...variables.files])
  const raw = plainValue(tree, [shape], files) as Record<string, unknown>
  const context = { tree, shape, redact: (text: string) => variables.redact(text) }
  const placed = (path: readonly (string | number)[]) => placeOf(tree, path)
  const parsed = shape.safeParse(raw)
  if (!parsed.success) {
    // A placeholder that could not be filled has been complained about where it stands.
    const unfilled = new Set(errors.map(({ place }) => place && `${place.file}:${place.line}:${place.column}`))
    const more = complaintsOf(parsed.error.issues, context).filter(
      ({ place }) => place === undefined || !unfilled.has(`${place.file}:${place.line}:${place.column}`),
    )
    // The listeners stand for themselves: what is wrong with them need not wait until the rest is mended.
    const listen = rootShape.listen.safeParse(raw.listen)
    if (listen.success) checkListeners(listenersOf(listen.data, options.dev === true), placed, more, [])
    throw new ConfigErrors(inOrder([...errors, ...more]))
  }

  const roots = new Map<string, unknown>()
  for (const guard of options.guards) {
    if (guard.root === undefined || roots.has(guard.name)) continue
    const keys = rootKeysOf(guard.root).filter((key) => Object.hasOwn(raw, key))
    const root = guard.root.safeParse(Object.fromEntries(keys.map((key) => [key, raw[key]])))
    if (root.success) roots.set(guard.name, root.data)
    else errors.push(...complaintsOf(root.error.issues, context))
  }

  const read = parsed.data as unknown as Settings
  const settings: Settings = {
    ...read,
    store: { url: stateOf(storeUrlOf(read, raw), directory) },
    listen: listenersOf(read.listen, options.dev === true),
  }
  const warnings: ConfigError[] = []
  checkSettings(settings, placed, errors, warnings)
  if (options.withoutUpstreams !== true) checkUpstreams(settings, placed, errors)
  if (errors.length > 0) throw new ConfigErrors(inOrder(errors))

  return {
    settings,
    file,
    directory,
    files: [...files],
    placeOf: placed,
    fileBehind: (path) => fileBehind(tree, path),
    raw: (path) => path.reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown> | undefined)?.[step], raw),
    rootOf: (guard) => roots.get(guard),
    redact: context.redact,
    warnings,
  }
}

function fileBehind(tree: Tree, path: readonly (string | number)[]): string | undefined {
  let at: Tree | undefined = tree
  for (const step of path) {
    if (at?.kind === 'map') at = at.entries.get(String(step))?.tree
    else at = at?.kind === 'list' ? at.items[Number(step)] : undefined
  }
  if (at?.kind !== 'scalar' || typeof at.asWritten !== 'string') return undefined
  const name = /^\$\{file:([^}]+)\}$/.exec(at.asWritten)?.[1]
  return name === undefined ? undefined : resolve(dirname(at.place.file), name.trim())
}

/** A folder for state is where the store goes that nobody placed. */
function storeUrlOf({ store, stateDir }: Settings, raw: Readonly<Record<string, unknown>>): string {
  const written = (raw.store as { readonly url?: string } | undefined)?.url
  return written === undefined && stateDir !== undefined ? `sqlite:${join(stateDir, 'state.db')}` : store.url
}

/** The default state lies beside the configuration, wherever the program was started. */
function stateOf(url: string, directory: string): string {
  const path = url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : undefined
  return path === undefined || path.startsWith(':') ? url : `sqlite:${resolve(directory, path)}`
}

function listenersOf(listen: Settings['listen'], dev: boolean): Settings['listen'] {
  if (!dev) return listen
  return listen.map((one) =>
    one.tls === undefined && one.redirect === undefined ? { ...one, tls: 'development' } : one,
  )
}

/** Reads a file and the ones it extends, from the bottom up. */
class Layers {
  readonly files = new Set<string>()
  readonly #open: string[] = []

  async read(file: string, depth: number, from?: Place): Promise<Tree> {
    const at = from === undefined ? {} : { place: from }
    if (this.#open.includes(file)) {
      const circle = [...this.#open.slice(this.#open.indexOf(file)), file].join(' → ')
      throw new ConfigError('P1014', `this configuration extends itself: ${circle}`, at)
    }
    if (depth > extendsDepthMax) throw new ConfigError('P1014', `extended deeper than ${extendsDepthMax} times`, at)
    if (this.files.size >= layersMax) throw new ConfigError('P1014', `more than ${layersMax} configurations`, at)
    this.files.add(file)
    this.#open.push(file)
    const tree = await this.lay(await this.#treeOf(file, from), file, depth)
    this.#open.pop()
    return tree
  }

  /** The tree on top of everything its `extends` names. */
  async lay(tree: Tree, file: string, depth: number): Promise<Tree> {
    const extended = tree.kind === 'map' ? tree.entries.get('extends')?.tree : undefined
    if (extended === undefined) return tree
    let under: Tree | undefined
    for (const one of extended.kind === 'list' ? extended.items : [extended]) {
      // Anything else is refused with the rest of the configuration, where the schema says what belongs here.
      if (one.kind !== 'scalar' || typeof one.value !== 'string') continue
      const next = await this.#extended(one.value, one.place, dirname(file), depth)
      under = under === undefined ? next : layer(under, next)
    }
    return under === undefined ? tree : layer(under, tree)
  }

  async #extended(name: string, place: Place, directory: string, depth: number): Promise<Tree> {
    const prefix = 'portcullis/profiles/'
    if (!name.startsWith(prefix)) return this.read(resolve(directory, name), depth + 1, place)
    const profile = name.slice(prefix.length)
    if (Object.hasOwn(profiles, profile)) return treeOf(profiles[profile], name)
    const meant = nearest(profile, Object.keys(profiles))
    throw new ConfigError('P1013', `there is no profile ${JSON.stringify(profile)}`, {
      place,
      hint: meant ? `did you mean "${prefix}${meant}"?` : `known: ${Object.keys(profiles).join(', ')}`,
    })
  }

  async #treeOf(file: string, from: Place | undefined): Promise<Tree> {
    try {
      if (['.ts', '.mts', '.js', '.mjs'].includes(extname(file))) {
        const { value, files } = await loadModule(file)
        for (const one of files) this.files.add(one)
        return treeOf(value, file)
      }
      return readTree(file)
    } catch (error) {
      if (from === undefined || !(error instanceof ConfigError) || error.code !== 'P1001') throw error
      throw new ConfigError('P1013', error.message, { place: from })
    }
  }
}

/** In the order in which a reader meets them. */
function inOrder(errors: readonly ConfigError[]): ConfigError[] {
  const key = ({ place }: ConfigError) => [place?.file ?? '', place?.line ?? 0, place?.column ?? 0] as const
  return [...errors].sort((a, b) => {
    const [fileA, lineA, columnA] = key(a)
    const [fileB, lineB, columnB] = key(b)
    return fileA < fileB ? -1 : fileA > fileB ? 1 : lineA - lineB || columnA - columnB
  })
}
