import cluster from 'node:cluster'
import { mkdirSync } from 'node:fs'
import { createEventBook } from '../admin/events.ts'
import { ConfigError, messageOf } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import { parseIpRange, RangeSet } from '../base/ip.ts'
import type { Logger } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import type { ListenSettings } from '../config/settings.ts'
import { createGate, type Gate } from '../gate/gate.ts'
import { type Listener, type ListenerHandlers, openListener } from '../gate/listener.ts'
import type { TokenService } from '../identity/service.ts'
import type { Counters } from '../store/counters.ts'
import { clusterCounters } from '../store/counters-cluster.ts'
import { openCounters, openStore } from '../store/open.ts'
import type { Sink } from '../traffic/passage.ts'
import { createWatch } from '../watch/index.ts'
import { serveAdmin, watchRights } from './admin-serve.ts'
import { type BuiltLoad, buildLoad, type Foundation, stateDirOf } from './load.ts'
import { mountTokenService, openTokenService } from './token-service.ts'
import { vaultOf } from './vault.ts'
import { packageVersion } from './version.ts'

/** Where a gate can be reached. */
export interface ServingAddress {
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly port: number
  /** The file of the authority behind a development certificate, for the caller's `--cacert`. */
  readonly authorityFile: string | undefined
}

/** A gate that serves. */
export interface Running {
  readonly addresses: readonly ServingAddress[]
  /** Where the gate is administered over HTTP, if it is. */
  readonly admin: ServingAddress | undefined
  /** What is in force now. */
  readonly load: () => BuiltLoad
  readonly foundation: Foundation
  /** Exchanges under way in this process. */
  readonly inFlight: () => number
  /** Builds everything anew and swaps it in, or throws and leaves what is in force. */
  readonly reload: (config: Config) => Promise<void>
  /** Opens the activity log anew, after somebody moved its file away. */
  readonly reopenLog: () => void
  /** Shows in the metrics that a new configuration was not taken. */
  readonly reloadRefused: () => void
  /** Answers what was accepted, then ends. */
  readonly stop: () => Promise<void>
}

export interface ServeOptions {
  readonly log: Logger
  /** Where the gate keeps what it makes itself: certificates, control socket. Default: `.portcullis` beside the configuration. */
  readonly stateDir?: string
  /** Told of every exchange when it is over, before anything is masked: for tests of rules, not for logs. */
  readonly onPassage?: Sink
  /** Share of one core that may be spent on looking at requests that were refused at the door. */
  readonly strayShare?: number
}

/** Brings a configuration to life: store, counters, documents, guards, listeners. The one place that wires parts together. */
export async function serve(first: Config, options: ServeOptions): Promise<Running> {
  const opened: (() => Promise<void>)[] = []
  try {
    return await bringUp(first, options, opened)
  } catch (error) {
    // One that could not start holds no port and no file, and answers nobody.
    for (const close of opened.reverse()) await close().catch(() => {})
    throw error
  }
}

/** What is opened on the way is told to `opened`, so that it can be closed when the rest cannot be opened. */
async function bringUp(
  first: Config,
  { log, ...given }: ServeOptions,
  opened: (() => Promise<void>)[],
): Promise<Running> {
  const now = Date.now
  const stateDir = given.stateDir ?? stateDirOf(first)
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  let config = first
  const store = await openStore(config.settings.store.url, { log })
  opened.push(() => store.close())
  const counters = await countersFor(config, log)
  opened.push(() => counters.close())
  // Told from the first moment on; heard as soon as there is somebody to hear.
  let listener: Tell | undefined
  const tell: Tell = (event) => listener?.(event)
  const vault = vaultOf(config, { store, stateDir, log, now, tell })
  opened.push(async () => vault.close())
  await vault.refuseWrongKey()
  let tokenService: TokenService | undefined
  const foundation: Foundation = {
    store,
    counters,
    log,
    now,
    tell,
    vault: vault.open,
    get localIssuer() {
      return tokenService
    },
  }
  tokenService = await openTokenService(config, foundation, () => ({ config, load }))
  opened.push(async () => tokenService?.close())
  let load = await buildLoad(config, foundation)
  opened.push(() => load.close())
  tellDocuments(load, log)
  let notReady: string | undefined = 'starting'
  const watch = await createWatch(config.settings.telemetry, {
    log,
    stateDir,
    version: packageVersion(),
    now,
    notReady: () => notReady,
    ...(cluster.isWorker ? { primary: process } : {}),
    ...(given.onPassage === undefined ? {} : { onPassage: given.onPassage }),
  })
  opened.push(() => watch.close())
  const events = createEventBook({ store, now, log })
  listener = (event) => {
    // Read by nobody where there is no administration.
    if (first.settings.admin !== undefined) events.add(event)
    watch.tell(event)
  }
  const rights = watchRights(foundation, () => config)
  opened.push(() => rights.close())
  const gate = createGate(load, {
    sink: rights.sink(watch.sink),
    now,
    log,
    ...(given.strayShare === undefined ? {} : { strayShare: given.strayShare }),
  })
  watch.metrics.inFlight(gate.inFlight)
  const listeners = new Map<string, Listener>()
  opened.push(async () => void (await Promise.all([...listeners.values()].map((listener) => listener.close()))))
  let entries = entriesOf(config)
  for (const [key, entry] of entries) listeners.set(key, await open(key, entry, config, gate))
  watch.metrics.certificates(() =>
    [...listeners.values()]
      .flatMap(({ certificates }) => certificates)
      .map(({ names, source, expiresAt }) => ({ name: names[0] ?? source, expiresAt })),
  )

  const admin = await serveAdmin(config, {
    foundation,
    stateDir,
    sink: watch.sink,
    events,
    service: () => tokenService,
    served: () => ({ config, load }),
    inFlight: gate.inFlight,
    open: (entry, from, { request, upgrade }) => openWith(entry, from, { request, upgrade }),
  })
  opened.push(async () => admin?.close(0))

  function open(key: string, entry: ListenSettings, from: Config, to: Gate): Promise<Listener> {
    // A listener outlives reloads, and what it serves does not.
    const serves = () => (entries.get(key) ?? entry).serves
    const request = mountTokenService(serves, to, { service: () => tokenService, now, sink: watch.sink })
    return openWith(entry, from, { request, upgrade: to.upgrade }, to)
  }

  /** Opens what a reload adds. The address may be taken by this gate itself, under another name: it is held until then. */
  async function openBeside(key: string, entry: ListenSettings, from: Config): Promise<Listener> {
    try {
      return await open(key, entry, from, gate)
    } catch (error) {
      const own = [...listeners.values()].find(({ port }) => port === entry.port)
      const cause = error instanceof ConfigError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
      if (own === undefined || cause?.code !== 'EADDRINUSE') throw error
      throw new ConfigError('P1087', `cannot listen on ${entry.host}:${entry.port} while the gate runs`, {
        cause,
        hint: `this gate itself listens on ${own.host}:${own.port}; another host on the same port needs a restart`,
      })
    }
  }

  function openWith(entry: ListenSettings, from: Config, handlers: ListenerHandlers, to = gate): Promise<Listener> {
    return openListener(entry, {
      handlers,
      ...connectionRules(from),
      log,
      stateDir,
      now,
      onRefused: ({ stray, ...refused }) =>
        watch.refusedEarly({ ...refused, matches: stray === undefined ? [] : to.stray(stray) }),
    })
  }

  notReady = undefined
  let reloading: Promise<void> = Promise.resolve()

  /** A service of its own for settings of its own; the same where nothing changed. */
  async function nextTokenService(next: Config): Promise<TokenService | undefined> {
    const said = ({ settings }: Config) =>
      JSON.stringify([settings.tokenService, settings.listen, Object.keys(settings.apis)])
    return said(next) === said(config) ? tokenService : openTokenService(next, foundation, () => ({ config, load }))
  }

  async function reload(next: Config): Promise<void> {
    refuseUntilRestart(config, next)
    const before = tokenService
    tokenService = await nextTokenService(next)
    try {
      await reloadAround(next)
    } catch (error) {
      if (tokenService !== before) await tokenService?.close()
      tokenService = before
      throw error
    }
    if (tokenService !== before) await before?.close()
  }

  async function reloadAround(next: Config): Promise<void> {
    const nextAdmin = await admin?.prepare(next)
    const built = await buildLoad(next, foundation).catch(async (error) => {
      await nextAdmin?.discard()
      throw error
    })
    const before = entriesOf(config)
    const added = new Map<string, Listener>()
    const changed: string[] = []
    try {
      for (const [key, entry] of entriesOf(next)) {
        const old = listeners.get(key)
        if (old === undefined) added.set(key, await openBeside(key, entry, next))
        else {
          await old.update(entry, connectionRules(next))
          changed.push(key)
        }
      }
    } catch (error) {
      await Promise.all([...added.values()].map((listener) => listener.close()))
      // All or nothing: a listener that took the new settings goes back when another one could not.
      for (const key of changed) {
        await listeners
          .get(key)!
          .update(before.get(key)!, connectionRules(config))
          .catch((undone) => log.error('A listener keeps settings that were refused.', { error: messageOf(undone) }))
      }
      await built.close()
      await nextAdmin?.discard()
      throw error
    }
    gate.swap(built)
    nextAdmin?.swap()
    load = built
    tellDocuments(built, log)
    config = next
    entries = entriesOf(next)
    await watch.configure(next.settings.telemetry)
    const wanted = entriesOf(next)
    for (const [key, listener] of listeners) {
      if (wanted.has(key)) continue
      listeners.delete(key)
      void listener.drain(next.settings.drain)
    }
    for (const [key, listener] of added) listeners.set(key, listener)
  }

  let stopping: Promise<void> | undefined
  return {
    get addresses() {
      return [...listeners.values()].map(({ scheme, host, port, authorityFile }) => ({
        scheme,
        host,
        port,
        authorityFile,
      }))
    },
    admin: admin?.listener,
    load: () => load,
    foundation,
    inFlight: gate.inFlight,
    reload(next) {
      // One at a time: a later change waits for the earlier one.
      reloading = reloading.catch(() => {}).then(() => reload(next))
      return reloading
    },
    reopenLog: () => watch.reopen(),
    reloadRefused: () => watch.metrics.reloaded(false),
    stop() {
      notReady = 'stopping'
      stopping ??= (async () => {
        await Promise.all([
          ...[...listeners.values()].map((listener) => listener.drain(config.settings.drain)),
          admin?.close(config.settings.drain),
        ])
        await gate.close()
        await rights.close()
        await tokenService?.close()
        await watch.close()
        vault.close()
        await counters.close()
        await store.close()
      })().catch((error) => log.error('The gate did not stop cleanly.', { error: messageOf(error) }))
      return stopping
    },
  }
}

const warningsToldMax = 10

/** What was found odd in a document but does not stop it from being served; `portcullis check` tells all of it. */
function tellDocuments({ served }: BuiltLoad, log: Logger): void {
  for (const { api, version, document } of served) {
    for (const { code, message, place } of document.warnings.slice(0, warningsToldMax)) {
      log.warn(`${message}.`, { api, version, code, file: place?.file, line: place?.line })
    }
    const more = document.warnings.length - warningsToldMax
    if (more > 0) log.warn(`${more} more warnings: \`portcullis check\` shows them.`, { api, version })
  }
}

/** Workers of one machine count in their primary's memory; several machines count in Redis. */
function countersFor(config: Config, log: Logger): Counters | Promise<Counters> {
  const { url } = config.settings.counters
  return cluster.isWorker && url === 'memory' ? clusterCounters(process) : openCounters(url, { log })
}

/**
 * What cannot change while the gate runs. Told now: a file that is said to be in force must start the gate again, too.
 */
function refuseUntilRestart({ settings: before }: Config, next: Config): void {
  if (JSON.stringify(next.settings.secrets) !== JSON.stringify(before.secrets)) {
    const place = next.placeOf(['secrets'])
    throw new ConfigError(
      'P1055',
      '`secrets` cannot change while the gate runs: the vault is open with the key before',
      {
        ...(place === undefined ? {} : { place }),
        hint: 'for another master key run `portcullis keys reseal`, then restart the gate; otherwise take the change back',
      },
    )
  }
}

/** The listeners by what tells them apart over a reload. Several may ask for a free port at one host. */
function entriesOf({ settings }: Config): ReadonlyMap<string, ListenSettings> {
  const entries = new Map<string, ListenSettings>()
  for (const entry of settings.listen) {
    let key = `${entry.host}:${entry.port}`
    while (entries.has(key)) key += '+'
    entries.set(key, entry)
  }
  return entries
}

/** What holds for every listener alike. */
function connectionRules({ settings }: Config) {
  const https = settings.listen.find(({ tls, redirect }) => tls !== 'off' && redirect === undefined)
  return {
    limits: settings.connection,
    trusted: new RangeSet(settings.trustedProxies.map((range) => parseIpRange(range))),
    ...(https === undefined ? {} : { httpsPort: https.port }),
  }
}
