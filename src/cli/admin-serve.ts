import { messageOf } from '../base/errors.ts'
import type { Config } from '../config/load.ts'
import { type AdminSettings, type ListenSettings, listenShape } from '../config/settings.ts'
import { revokeUnused } from '../credentials/unused.ts'
import { createUsageRecorder } from '../credentials/usage.ts'
import type { Gate } from '../gate/gate.ts'
import type { Listener } from '../gate/listener.ts'
import type { Sink } from '../traffic/passage.ts'
import type { AdminApi, AdminApiOptions } from './admin-api.ts'
import type { Foundation } from './load.ts'

const hour = 3_600_000

/** Writes down what callers use, and ends what nobody uses where that is wanted. */
export interface RightsWatch {
  /** The sink, with the notes taken beside it. */
  readonly sink: (sink: Sink) => Sink
  readonly close: () => Promise<void>
}

export function watchRights({ store, now, log, tell = () => {} }: Foundation, config: () => Config): RightsWatch {
  const recorder = createUsageRecorder({ store, now, log })
  const timer = setInterval(() => {
    const afterMs = config().settings.grants.revokeUnusedAfter
    if (afterMs === undefined) return
    revokeUnused(store, { afterMs, now, tell }).catch((error: unknown) =>
      log.error('What nobody uses cannot be ended.', { error: messageOf(error) }),
    )
  }, hour)
  timer.unref()
  return {
    sink: (sink) => (passage) => {
      recorder.note(passage)
      sink(passage)
    },
    async close() {
      clearInterval(timer)
      await recorder.close()
    },
  }
}

export interface AdminServeOptions extends Omit<AdminApiOptions, 'settings'> {
  readonly open: (entry: ListenSettings, from: Config, to: Gate) => Promise<Listener>
}

/** The administration on its listener. */
export interface ServedAdmin {
  readonly listener: Listener
  readonly prepare: AdminApi['prepare']
  readonly close: (drainMs: number) => Promise<void>
}

/** Serves the administration where the configuration asks for it. */
export async function serveAdmin(config: Config, options: AdminServeOptions): Promise<ServedAdmin | undefined> {
  const settings = config.settings.admin
  if (settings === undefined) return undefined
  const { open, ...rest } = options
  // Loaded only where it is used.
  const { openAdminApi } = await import('./admin-api.ts')
  const api = await openAdminApi(config, { ...rest, settings })
  try {
    const listener = await open(adminListener(settings), config, api.gate)
    const host = listener.host.includes(':') ? `[${listener.host}]` : listener.host
    options.foundation.log.info(`Administration on ${listener.scheme}://${host}:${listener.port}/v1`)
    return {
      listener,
      prepare: api.prepare,
      async close(drainMs) {
        await listener.drain(drainMs)
        await api.close()
      },
    }
  } catch (error) {
    await api.close()
    throw error
  }
}

/** The listener of the administration, as every other is described. */
function adminListener({ listen, tls = 'development' }: AdminSettings): ListenSettings {
  return listenShape.parse({ ...listen, tls })
}
