import cluster from 'node:cluster'
import { relative } from 'node:path'
import { ConfigError, ConfigErrors } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { framed } from '../config/frame.ts'
import type { Config } from '../config/load.ts'
import { watchFiles } from '../config/watch.ts'
import { problemsOf } from './output.ts'
import { redactError } from './redact.ts'
import { type Running, serve } from './serve.ts'
import { servePrimary, serveWorker } from './workers.ts'

export interface RunOptions {
  readonly log: Logger
  /** Reads the configuration anew, for a reload. Throws what is wrong with it. */
  readonly read: () => Promise<Config>
  /** Called once, when the gate serves. */
  readonly onReady: (running: Running, config: Config) => void | Promise<void>
}

/**
 * Serves a configuration until the process is told to end (SIGTERM, SIGINT). A changed file or SIGHUP takes the new
 * configuration over; one that does not hold is told and the old one stays in force.
 */
export async function runGate(first: Config, { log, read, onReady }: RunOptions): Promise<void> {
  if (cluster.isWorker) return serveWorker(first, { log, read })
  // Listened to before anything is served: a SIGHUP that comes with the first answer must not end the process.
  let hungUp = false
  let onHangUp = () => {
    hungUp = true
  }
  const hangUp = () => onHangUp()
  process.on('SIGHUP', hangUp)
  const several = first.settings.workers > 1
  const running = await (several ? servePrimary : serve)(first, { log }).catch((error) => {
    throw redactError(error, first.redact)
  })
  let config = first
  tellWarnings(first, log)

  const reload = async (why: string): Promise<void> => {
    try {
      const next = await read()
      config = next
      watch.update([...next.files, ...running.load().files])
      await running.reload(next)
      watch.update(running.load().files)
      tellWarnings(next, log)
      log.info('The new configuration is in force.', { because: why })
      tellFixed(first, next, log)
    } catch (error) {
      running.reloadRefused()
      tellRefused(redactError(error, config.redact), log)
    }
  }
  // One reload after the other; what changes meanwhile comes after it, once.
  let busy: Promise<void> = Promise.resolve()
  let waiting = false
  const request = (why: string) => {
    if (waiting) return
    waiting = true
    busy = busy.then(() => {
      waiting = false
      return reload(why)
    })
  }

  const watch = watchFiles(running.load().files, () => request('a file changed'))
  onHangUp = () => {
    running.reopenLog()
    request('SIGHUP')
  }
  if (hungUp) onHangUp()
  await onReady(running, first)

  let failed = false
  const signal = await new Promise<NodeJS.Signals | 'failure'>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
    // An error that nobody caught leaves the process in doubt: it answers what it has accepted and ends, and tells by its
    // code that it should be started anew. What one exchange brings about is caught there and never comes here.
    process.on('uncaughtException', (error) => {
      const text = config.redact(error instanceof Error ? (error.stack ?? error.message) : String(error))
      log.error('The gate failed and ends.', { error: text })
      failed = true
      resolve('failure')
    })
  })
  // A second signal is somebody who will not wait.
  const force = () => process.exit(1)
  process.once('SIGTERM', force)
  process.once('SIGINT', force)
  log.info('Stopping: no new connections, requests in flight are answered.', { signal })
  watch.close()
  process.off('SIGHUP', hangUp)
  await busy
  await running.stop()
  process.off('SIGTERM', force)
  process.off('SIGINT', force)
  if (failed) process.exit(1)
}

/** What a process keeps for its life. A change that does nothing must not look as if it did. */
function tellFixed(first: Config, next: Config, log: Logger): void {
  const changed = (['stateDir', 'store', 'counters', 'workers', 'admin'] as const).filter(
    (key) => JSON.stringify(first.settings[key]) !== JSON.stringify(next.settings[key]),
  )
  if (changed.length > 0) log.warn(`A change of ${changed.join(', ')} takes effect with the next start only.`)
}

function tellWarnings(config: Config, log: Logger): void {
  for (const warning of config.warnings) {
    const { file, line } = warning.place ?? {}
    log.warn(warning.hint === undefined ? `${warning.message}.` : `${warning.message}: ${warning.hint}.`, {
      code: warning.code,
      ...(file !== undefined && { file: relative('', file) }),
      ...(line !== undefined && { line }),
    })
  }
}

/** Operators watch for this line: the gate runs on, with what it had. */
function tellRefused(error: unknown, log: Logger): void {
  const known = error instanceof ConfigError || error instanceof ConfigErrors
  const text = framed(error)
  if (process.stderr.isTTY) {
    log.error(`The new configuration is refused; the old one stays in force.\n${text}`)
    return
  }
  const errors = known ? problemsOf(error) : undefined
  log.error(
    'The new configuration is refused; the old one stays in force.',
    errors === undefined ? { error: text } : { errors },
  )
}
