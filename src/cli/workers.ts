import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import { serveCounters } from '../store/counters-cluster.ts'
import { openCounters, openStore } from '../store/open.ts'
import { createWatch } from '../watch/index.ts'
import { buildLoad, type Foundation, stateDirOf } from './load.ts'
import { type Running, type ServeOptions, serve } from './serve.ts'
import { vaultOf } from './vault.ts'
import { packageVersion } from './version.ts'

/*
 * `workers: N`: a primary process that serves nothing itself. It holds what the workers share (the counters in memory,
 * the metrics endpoint), tries a new configuration before it hands it on, and starts a new worker where one has died.
 * Each worker is a whole gate.
 */

/** From the primary to a worker. */
type Order = 'portcullis:reload' | 'portcullis:stop'
/** From a worker to the primary. */
type Report =
  | { readonly portcullis: 'serving'; readonly addresses: Running['addresses'] }
  | { readonly portcullis: 'reloaded'; readonly refused?: string }

const restartPauseMs = 500
const reloadMsMax = 60_000

/** Starts the workers and resolves when all of them serve. */
export async function servePrimary(first: Config, { log, ...given }: ServeOptions): Promise<Running> {
  const now = Date.now
  const stateDir = given.stateDir ?? stateDirOf(first)
  const store = await openStore(first.settings.store.url, { log })
  const counters = await openCounters('memory', { log })
  const vault = vaultOf(first, { store, stateDir, log, now })
  await vault.refuseWrongKey()
  const foundation: Foundation = { store, counters, log, now, vault: vault.open }
  const stopCounting = serveCounters(cluster, counters)
  // Built and never served: what does not hold here is not handed to the workers.
  let load = await buildLoad(first, foundation)
  const live = () => Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
  let notReady: string | undefined = 'starting'
  const watch = await createWatch(first.settings.telemetry, {
    log,
    stateDir,
    version: packageVersion(),
    now,
    workers: live,
    notReady: () => notReady,
  })
  let addresses: Running['addresses'] = []
  let stopping = false

  const startWorker = async (): Promise<void> => {
    const worker = cluster.fork()
    worker.once('exit', (code, signal) => {
      if (stopping) return
      log.error('A worker has died; another takes its place.', { pid: worker.process.pid, code, signal })
      setTimeout(() => {
        if (!stopping)
          void startWorker().catch((error) => log.error('A worker did not start.', { error: messageOf(error) }))
      }, restartPauseMs)
    })
    const report = await nextReport(worker, 'serving')
    if (report?.portcullis === 'serving') addresses = report.addresses
    else throw new Error('the worker ended before it served')
  }
  // One after the other: the first makes the development certificate that the others find.
  for (let i = 0; i < first.settings.workers; i++) await startWorker()
  notReady = undefined

  let stopped: Promise<void> | undefined
  return {
    get addresses() {
      return addresses
    },
    admin: undefined,
    load: () => load,
    foundation,
    // The primary serves nothing itself.
    inFlight: () => 0,
    async reload(next) {
      const built = await buildLoad(next, foundation)
      const reports = await Promise.all(
        live().map((worker) => {
          order(worker, 'portcullis:reload')
          return nextReport(worker, 'reloaded')
        }),
      )
      const refused = reports.find((report) => report?.portcullis === 'reloaded' && report.refused !== undefined)
      await load.close()
      load = built
      await watch.configure(next.settings.telemetry)
      if (refused?.portcullis === 'reloaded') throw new Error(`a worker refused it: ${refused.refused}`)
    },
    reopenLog: () => watch.reopen(),
    reloadRefused: () => watch.metrics.reloaded(false),
    stop() {
      stopping = true
      notReady = 'stopping'
      stopped ??= (async () => {
        const ends = live().map(async (worker) => {
          const exit = once(worker, 'exit')
          order(worker, 'portcullis:stop')
          await exit
        })
        await Promise.all(ends)
        stopCounting()
        await load.close()
        await watch.close()
        vault.close()
        await counters.close()
        await store.close()
      })()
      return stopped
    },
  }
}

function order(worker: Worker, what: Order): void {
  if (worker.isConnected()) worker.send(what)
}

/** The next report of one kind, or `undefined` when the worker ends first or takes too long. */
function nextReport(worker: Worker, kind: Report['portcullis']): Promise<Report | undefined> {
  return new Promise((resolve) => {
    const done = (report: Report | undefined) => {
      clearTimeout(timer)
      worker.off('message', onMessage)
      worker.off('exit', onExit)
      resolve(report)
    }
    const onMessage = (message: unknown) => {
      if ((message as Report | null)?.portcullis === kind) done(message as Report)
    }
    const onExit = () => done(undefined)
    const timer = setTimeout(done, reloadMsMax, undefined)
    worker.on('message', onMessage)
    worker.on('exit', onExit)
  })
}

/** Serves as one of several workers, by the primary's orders, until it says stop or is gone. */
export async function serveWorker(
  first: Config,
  { log, read }: { readonly log: Logger; readonly read: () => Promise<Config> },
): Promise<void> {
  const running = await serve(first, { log })
  const report = (what: Report) => process.connected && process.send?.(what)
  // The terminal's Ctrl-C reaches every process of the group: the primary's word counts.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => {})
  process.on('SIGHUP', () => running.reopenLog())
  const stop = new Promise<void>((resolve) => {
    process.on('message', (message: unknown) => {
      if (message === 'portcullis:stop') resolve()
      if (message === 'portcullis:reload') {
        void read()
          .then((next) => running.reload(next))
          .then(
            () => report({ portcullis: 'reloaded' }),
            (error) => report({ portcullis: 'reloaded', refused: messageOf(error) }),
          )
      }
    })
    process.once('disconnect', resolve)
  })
  report({ portcullis: 'serving', addresses: running.addresses })
  await stop
  await running.stop()
  process.disconnect?.()
}
