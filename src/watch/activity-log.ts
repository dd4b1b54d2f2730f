import type { Clock } from '../base/clock.ts'
import { ConfigError, messageOf } from '../base/errors.ts'
import type { SecurityEvent } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import { type RecordPolicy, type RecordSettings, recordPolicy, toLine } from '../traffic/line.ts'
import type { Passage } from '../traffic/passage.ts'
import { createLineWriter, fileOutlet, type LineWriter, type Outlet, standardOutlet } from './line-writer.ts'

/** What `telemetry.logs` says. */
export interface ActivityLogSettings extends RecordSettings {
  readonly level: 'none' | 'denied' | 'all'
  /** Share of the allowed exchanges that leave a line. */
  readonly sample: number
  readonly file?: string | undefined
}

/** One line for every exchange that should leave one. */
export interface ActivityLog {
  /** Writes the exchange's line where level and sample want one, and returns it. Never waits. */
  readonly take: (passage: Passage) => string | undefined
  /** Writes a security event, whatever the level: it is no exchange. */
  readonly note: (event: SecurityEvent) => void
  /** The line, whether or not it is to be written. */
  readonly lineOf: (passage: Passage) => string
  /** Lines written, dropped and failed since the start, over changes of the file too. */
  readonly counts: () => ActivityCounts
  /** Takes new settings at once. A new file that cannot be opened is said, and the old one kept. */
  readonly configure: (settings: ActivityLogSettings) => void
  /** Opens the file anew: for log rotation on SIGHUP. */
  readonly reopen: () => void
  readonly close: () => Promise<void>
}

export interface ActivityCounts {
  readonly lines: number
  readonly dropped: number
  readonly queuedBytes: number
  readonly errors: Readonly<Record<string, number>>
}

export interface ActivityLogOptions {
  readonly log: Logger
  readonly now?: Clock
  readonly random?: () => number
  /** Whether other processes write to the same standard output, as workers do. */
  readonly shared?: boolean
  /** Where to write, in place of `file` or standard output. */
  readonly outlet?: (file: string | undefined) => Outlet
}

/** Opens the activity log. Throws `ConfigError` when the file cannot be opened: better at the start than in the dark. */
export function createActivityLog(first: ActivityLogSettings, options: ActivityLogOptions): ActivityLog {
  const { log, now = Date.now, random = Math.random } = options
  const makeOutlet =
    options.outlet ??
    ((file: string | undefined) =>
      file === undefined ? standardOutlet({ shared: options.shared === true }) : fileOutlet(file, now))
  const openWriter = (file: string | undefined) => {
    try {
      return createLineWriter(makeOutlet(file), { log, now, droppedLine })
    } catch (error) {
      throw new ConfigError('P1092', `telemetry.logs.file: cannot write to ${file}: ${messageOf(error)}`, {
        hint: 'the folder must exist or be creatable, and belong to the user that runs the gate',
        cause: error,
      })
    }
  }

  let settings = first
  let policy: RecordPolicy = recordPolicy(first)
  let writer: LineWriter = openWriter(first.file)
  let before: ActivityCounts = { lines: 0, dropped: 0, queuedBytes: 0, errors: {} }
  const closing = new Set<Promise<void>>()
  const onExit = () => writer.flushNow()
  process.on('exit', onExit)

  return {
    take(passage) {
      if (settings.level === 'none') return undefined
      if (passage.denial === undefined && passage.fault === undefined) {
        if (settings.level === 'denied') return undefined
        if (settings.sample < 1 && random() >= settings.sample) return undefined
      }
      const line = toLine(passage, policy)
      writer.write(line)
      return line
    },
    note(event) {
      if (settings.level !== 'none')
        writer.write(JSON.stringify({ v: 1, time: new Date(now()).toISOString(), ...event }))
    },
    lineOf: (passage) => toLine(passage, policy),
    counts: () => added(before, writer),
    configure(next) {
      if (next.file !== settings.file) {
        try {
          const replaced = writer
          writer = openWriter(next.file)
          before = { ...added(before, replaced), queuedBytes: 0 }
          const done = replaced.close().finally(() => closing.delete(done))
          closing.add(done)
        } catch (error) {
          log.error('activity log: the old file is kept', { error: messageOf(error) })
          settings = { ...next, file: settings.file }
          policy = recordPolicy(next)
          return
        }
      }
      settings = next
      policy = recordPolicy(next)
    },
    reopen: () => writer.reopen(),
    async close() {
      process.off('exit', onExit)
      await Promise.all([writer.close(), ...closing])
    },
  }
}

function added(before: ActivityCounts, { counts }: LineWriter): ActivityCounts {
  const errors = { ...before.errors }
  for (const [code, count] of counts.errors) errors[code] = (errors[code] ?? 0) + count
  return {
    lines: before.lines + counts.lines,
    dropped: before.dropped + counts.dropped,
    queuedBytes: counts.queuedBytes,
    errors,
  }
}

/** Stands where lines are missing, so that nobody takes silence for peace. */
function droppedLine(dropped: number, now: number): string {
  return `{"v":1,"time":"${new Date(now).toISOString()}","dropped":${dropped}}`
}
