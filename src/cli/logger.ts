import type { LogFields, Logger } from '../base/log.ts'
import { wantsColour } from '../config/frame.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

export interface LoggerOptions {
  readonly level: LogLevel
  /** Default: one readable line on a terminal, JSON elsewhere. */
  readonly format?: 'human' | 'json'
}

/** Messages for the operator, on standard error: for eyes on a terminal, JSON lines (pino) for everything else. */
export async function createLogger({ level, format }: LoggerOptions): Promise<Logger> {
  const human = format === undefined ? process.stderr.isTTY === true : format === 'human'
  if (human) return humanLogger(level, (line) => process.stderr.write(line), wantsColour(process.stderr))
  const { pino, destination, stdTimeFunctions } = await import('pino')
  // Synchronous, because the last message before the end is the one that matters.
  const log = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ dest: 2, sync: true }),
  )
  const write = (at: LogLevel) => (message: string, fields?: LogFields) => log[at](fields ?? {}, message)
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/** `12:04:31 warn  The upstream does not answer.  target=http://10.0.0.7:8080` */
export function humanLogger(level: LogLevel, write: (line: string) => void, colour: boolean): Logger {
  const paint: Readonly<Record<LogLevel, string>> = { debug: '2', info: '36', warn: '33', error: '31' }
  const at = (one: LogLevel) => (message: string, fields?: LogFields) => {
    if (levels.indexOf(one) < levels.indexOf(level)) return
    const time = new Date().toTimeString().slice(0, 8)
    const name = colour ? `\x1b[${paint[one]}m${one.padEnd(5)}\x1b[0m` : one.padEnd(5)
    write(`${time} ${name} ${message}${fieldsText(fields)}\n`)
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function fieldsText(fields: LogFields | undefined): string {
  if (fields === undefined) return ''
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return shown.length === 0 ? '' : `  ${shown.join(' ')}`
}
