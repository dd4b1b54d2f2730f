import { dirname } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { ConfigError, ConfigErrors, type Place } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import { checkPolicy, type Policy } from '../config/policy.ts'
import type { ApiSettings, UpstreamSettings } from '../config/settings.ts'
import { askThrough } from '../gate/ask.ts'
import { createCompiler, mergeOptions } from '../gate/compile.ts'
import type { Load } from '../gate/gate.ts'
import type { Guard, Host, LocalIssuer } from '../gate/guard.ts'
import type { Program } from '../gate/program.ts'
import { createRouter, type Mount, RouteError } from '../gate/router.ts'
import { strayLook } from '../gate/stray.ts'
import { createUpstream, type Upstream } from '../gate/upstream.ts'
import { guards as everyGuard } from '../guards/index.ts'
import { openUnsecured, unsecuredOperations } from '../guards/security.ts'
import { loadDocument, policyPlace, unlistedOperations } from '../openapi/index.ts'
import type { ApiDocument } from '../openapi/operation.ts'
import type { Counters } from '../store/counters.ts'
import type { Store } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'
import { authMounts } from './auth-pages.ts'
import { denialMount } from './denials.ts'

/** What outlives a reload and is handed to every load. */
export interface Foundation {
  readonly store: Store
  readonly counters: Counters
  readonly log: Logger
  readonly now: Clock
  /** Takes security events. Default: nobody listens. */
  readonly tell?: Tell
  /** The token service of this process, where there is one. */
  readonly localIssuer?: LocalIssuer | undefined
  /** The keys of this gate, opened on first use. */
  readonly vault: () => Promise<KeyRing>
}

/** One document that is served, with what the configuration says of it. */
export interface ServedApi {
  readonly api: string
  readonly version: string | undefined
  readonly settings: ApiSettings
  readonly document: ApiDocument
  readonly upstream: UpstreamSettings | undefined
}

/** A load, with what `explain`, `check` and the watcher want to know of it. */
export interface BuiltLoad extends Load {
  readonly mounts: readonly Mount[]
  readonly served: readonly ServedApi[]
  /** Everything that was read: a change in one of them calls for a reload. */
  readonly files: readonly string[]
}

/** Reads every document that a configuration names. Throws `ConfigErrors` with all that is wrong. */
export async function loadDocuments(config: Config): Promise<ServedApi[]> {
  const served: ServedApi[] = []
  const wrong: ConfigError[] = []
  for (const [api, settings] of Object.entries(config.settings.apis)) {
    const versions: [string | undefined, NonNullable<ApiSettings['versions']>[string] | undefined][] =
      settings.versions === undefined ? [[undefined, undefined]] : Object.entries(settings.versions)
    for (const [version, chosen] of versions) {
      try {
        const document = await loadDocument({
          file: chosen?.openapi ?? settings.openapi,
          overlays: settings.overlays,
          api,
          ...(version === undefined ? {} : { version }),
        })
        served.push({ api, version, settings, document, upstream: chosen?.upstream ?? settings.upstream })
      } catch (error) {
        const path =
          chosen?.openapi === undefined ? ['apis', api, 'openapi'] : ['apis', api, 'versions', version!, 'openapi']
        if (error instanceof ConfigErrors) wrong.push(...error.errors)
        // A document that is not there has no place of its own: the configuration names it.
        else if (error instanceof ConfigError) wrong.push(at(error, config.placeOf(path)))
        else throw error
      }
    }
  }
  if (wrong.length > 0) throw wrong.length === 1 ? wrong[0]! : new ConfigErrors(wrong)
  return served
}

export interface BuildOptions {
  readonly guards?: readonly Guard[]
  /** Takes the place of every `upstream` of the configuration: for a gate in front of a handler in this process. */
  readonly upstream?: Upstream
}

function at(error: ConfigError, place: Place | undefined): ConfigError {
  if (error.place !== undefined || place === undefined) return error
  const { code, message, hint, cause } = error
  return new ConfigError(code, message, { place, ...(hint === undefined ? {} : { hint }), cause })
}

/** Turns a configuration into all that serves it. Nothing of it is in force until the gate swaps it in. */
export async function buildLoad(config: Config, foundation: Foundation, given: BuildOptions = {}): Promise<BuiltLoad> {
  const guards = given.guards ?? (everyGuard as unknown as readonly Guard[])
  const served = await loadDocuments(config)
  refuseUnsecured(served)
  refusePolicies(served, config, guards)
  const made: Made = { slots: { next: 0 }, releases: [], files: new Set(), stateDir: stateDirOf(config) }
  const close = async () => {
    // One that fails must not keep the others open.
    const ends = await Promise.allSettled(made.releases.toReversed().map(async (release) => release()))
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
  try {
    const mounts: Mount[] = []
    for (const one of served) mounts.push(await mountApi(one, config, foundation, { guards, made, ...given }))
    mounts.push(
      ...(await authMounts(mounts, (hosts) => hostFor({ api: 'portcullis', prefix: '', hosts }, foundation, made))),
    )
    const hosts = [undefined, ...new Set(mounts.map((mount) => mount.hosts).filter((named) => named !== undefined))]
    for (const named of hosts)
      mounts.push(await denialMount(hostFor({ api: 'portcullis', prefix: '', hosts: named }, foundation, made)))
    // Whoever marks a field wants to hear at the start that there is no key for it.
    if (served.some(({ document }) => document.marks?.any === true)) await foundation.vault()
    const files = [...new Set([...config.files, ...served.flatMap(({ document }) => document.files), ...made.files])]
    return { router: createRouter(mounts), stray: strayLook(mounts), close, mounts, served, files }
  } catch (error) {
    await close()
    if (error instanceof RouteError) throw new ConfigError('P1201', error.message, { cause: error })
    throw error
  }
}

/** Row N10: an operation that is neither secured nor declared public does not start by accident. */
function refuseUnsecured(served: readonly ServedApi[]): void {
  const wrong: ConfigError[] = []
  for (const { document, settings } of served) {
    if (settings.unsecured !== 'refuse') continue
    for (const operation of unsecuredOperations(document)) {
      wrong.push(
        new ConfigError(
          'P1202',
          `${operation.method} ${operation.path} asks for no security and is not declared public`,
          {
            ...(operation.place === undefined ? {} : { place: operation.place }),
            hint: 'add `security` to it (or `security: []` to open it), or set `unsecured: authenticate` for the API',
          },
        ),
      )
    }
  }
  if (wrong.length > 0) throw new ConfigErrors(wrong)
}

/** What `x-portcullis` says is read as strictly as the configuration: an unknown key protects nothing. */
function refusePolicies(served: readonly ServedApi[], config: Config, guards: readonly Guard[]): void {
  const wrong = new Map<string, ConfigError>()
  for (const { api, document } of served) {
    const { path, method } = unlistedOperations(document)
    for (const operation of [...document.operations, path, method([], '*')]) {
      const policy: Policy = {
        value: operation.policy,
        merged: (guard) => mergeOptions(config.raw(['apis', api, guard]), operation.policy[guard]),
        placeOf: (keys, at) => policyPlace(operation, keys, at),
      }
      if (Object.keys(operation.policy).length === 0) continue
      for (const error of checkPolicy(policy, guards)) {
        // What the whole document says is said once, not once for each of its operations.
        const { file, line, column } = error.place ?? {}
        wrong.set(`${file}:${line}:${column} ${error.message}`, error)
      }
    }
  }
  if (wrong.size > 0) throw new ConfigErrors([...wrong.values()])
}

/** What guards leave behind while a load is built. */
interface Made {
  /** Counts the places that guards take on every exchange. */
  readonly slots: { next: number }
  readonly releases: (() => void | Promise<void>)[]
  /** What they read. */
  readonly files: Set<string>
  readonly stateDir: string
}

function hostFor(
  { api, prefix, hosts }: Pick<Mount, 'api' | 'prefix' | 'hosts'>,
  foundation: Foundation,
  { slots, releases, files, stateDir }: Made,
): Host {
  const { now, store, counters, log, vault, tell = () => {} } = foundation
  return {
    tell,
    // Another one takes its place at a reload, and what was opened for the one before may live on.
    get localIssuer() {
      return foundation.localIssuer
    },
    prefix,
    hosts,
    now,
    store,
    counters,
    vault,
    log,
    api,
    ask: undefined,
    stateDir,
    watch(read) {
      for (const file of read) files.add(file)
    },
    slot: () => ({ index: slots.next++ }),
    onClose: (release) => releases.push(release),
  }
}

interface MountContext extends BuildOptions {
  readonly guards: readonly Guard[]
  readonly made: Made
}

async function mountApi(
  { api, version, settings, document, upstream: upstreamSettings }: ServedApi,
  config: Config,
  foundation: Foundation,
  { guards, made, upstream: given }: MountContext,
): Promise<Mount> {
  if (upstreamSettings === undefined && given === undefined) {
    const path = version === undefined ? ['apis', api] : ['apis', api, 'versions', version]
    const place = config.placeOf(path)
    throw new ConfigError('P1203', `${path.join('.')} has no upstream`, {
      ...(place === undefined ? {} : { place }),
      hint: 'add `upstream: http://host:port`',
    })
  }
  const chosen = version === undefined ? undefined : settings.versions?.[version]
  const written = (chosen?.path ?? '') + (settings.basePath ?? (chosen?.path === undefined ? document.basePath : ''))
  const prefix = written === '/' ? '' : written.replace(/\/$/, '')
  const hosts = chosen?.host === undefined ? settings.host : [chosen.host.toLowerCase()]
  const upstream = given ?? createUpstream(upstreamSettings!, foundation)
  made.releases.push(() => upstream.close())
  const programs = new Map<string, Program>()
  const ask = given === undefined ? askThrough(upstream, ({ id }) => programs.get(id)) : undefined
  const placeOf: Host['placeOf'] = (path, text) =>
    // What `x-portcullis` says stands elsewhere.
    config.raw(['apis', api, ...path]) === text ? config.placeOf(['apis', api, ...path]) : undefined
  const host: Host = Object.assign(hostFor({ api, prefix, hosts }, foundation, made), { ask, placeOf })
  const unlisted = unlistedOperations(document)
  // What the document says is open to everyone, and what the operator says of the rest.
  const operations = settings.unsecured === 'public' ? openUnsecured(document) : document.operations
  const compile = await createCompiler(
    {
      guards,
      optionsOf: (guard) => config.raw(['apis', api, guard]),
      rootOf: (guard) => config.rootOf(guard.name),
      hostOf: () => host,
    },
    [...operations, unlisted.path, unlisted.method([], '*')],
  )
  for (const operation of operations) programs.set(operation.id, compile(operation))
  return {
    api,
    version,
    hosts,
    prefix,
    upstreamPrefix: document.basePath,
    header: chosen?.header === undefined ? undefined : { ...chosen.header, name: chosen.header.name.toLowerCase() },
    mediaType: chosen?.mediaType?.toLowerCase(),
    fallback: chosen?.default ?? false,
    upstream,
    operations: operations.map((operation) => ({
      method: operation.method,
      path: operation.path.slice(document.basePath.length),
      program: programs.get(operation.id)!,
    })),
    unlistedPath: compile(unlisted.path),
    unlistedMethod: (allow, path) => compile(unlisted.method(allow, path)),
  }
}

/** Where a gate keeps what it makes itself: beside its configuration, unless that says otherwise. */
export function stateDirOf(config: Config): string {
  return config.settings.stateDir ?? `${dirname(config.file)}/.portcullis`
}
