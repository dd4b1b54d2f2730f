import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { ConfigError, ConfigErrors, messageOf } from '../base/errors.ts'
import { secretKey } from './complaints.ts'

export interface FrameOptions {
  /** Whether the terminal shows colours: see `wantsColour`. */
  readonly colour?: boolean
  /** Files are named relative to it. Default: the working directory. */
  readonly directory?: string
  /** The text of a file; default: read from disk. `undefined` prints no frame. */
  readonly read?: (file: string) => string | undefined
}

const codeColumn = 70
const lineLengthMax = 160

/** Whether to colour what goes to a stream: only on a terminal, and not where NO_COLOR asks not to (no-color.org). */
export function wantsColour(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  return stream.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
}

/** Everything that was thrown, as the text a person reads: each complaint with its place, code and what to do. */
export function framed(error: unknown, options: FrameOptions = {}): string {
  if (error instanceof ConfigErrors) return error.errors.map((one) => frameOf(one, options)).join('\n\n')
  if (error instanceof ConfigError) return frameOf(error, options)
  return messageOf(error)
}

/**
 * One complaint with the lines it is about:
 *
 *     portcullis.yaml:14:7  unknown key "bursts" in limits.default          P1007
 *        13 |     rate: 100/min
 *        14 |       bursts: 20
 *           |       ^^^^^^ did you mean "burst"?   docs: portcullis explain P1007
 */
export function frameOf(error: ConfigError, options: FrameOptions = {}): string {
  const paint = painter(options.colour === true)
  const { place, hint, code } = error
  const docs = paint.dim(`docs: portcullis explain ${code}`)
  const advice = hint === undefined ? docs : `${hint}   ${docs}`
  const lines = place === undefined ? undefined : linesOf(place.file, options)
  const where = place === undefined ? '' : nameOf(place, lines !== undefined, options)
  const head = where === '' ? error.message : `${where}  ${error.message}`
  const gap = ' '.repeat(Math.max(2, codeColumn - head.length))
  const title = `${where === '' ? '' : `${paint.bold(where)}  `}${paint.red(error.message)}${gap}${paint.dim(code)}`
  if (place === undefined || lines === undefined || place.line > lines.length) return `${title}\n   ${advice}`

  const width = Math.max(5, String(place.line).length + 1)
  const gutter = (label: string) => paint.dim(`${label.padStart(width)} |`)
  const frame = [title]
  if (place.line > 1) frame.push(`${gutter(String(place.line - 1))} ${shown(lines[place.line - 2]!)}`)
  const line = lines[place.line - 1]!
  frame.push(`${gutter(String(place.line))} ${shown(line)}`)
  if (place.column <= lineLengthMax) {
    // Tabs are copied so that the mark stands under the word whatever their width.
    const indent = line.slice(0, place.column - 1).replace(/[^\t]/g, ' ')
    const length = Math.max(
      1,
      Math.min(place.length ?? 1, line.length - place.column + 1, lineLengthMax - place.column + 1),
    )
    frame.push(`${gutter('')} ${indent}${paint.red('^'.repeat(length))} ${advice}`)
  } else frame.push(`${gutter('')} ${advice}`)
  return frame.join('\n')
}

/** In a module no line is known: the message says which key, and the file suffices. */
function nameOf(
  place: { file: string; line: number; column: number },
  hasLines: boolean,
  options: FrameOptions,
): string {
  const near = relative(options.directory ?? process.cwd(), place.file)
  const file = near !== '' && !near.startsWith('..') ? near : place.file
  return hasLines ? `${file}:${place.line}:${place.column}` : file
}

function linesOf(file: string, options: FrameOptions): readonly string[] | undefined {
  if (/\.[mc]?[jt]s$/.test(file)) return undefined
  try {
    return (options.read ?? ((name) => readFileSync(name, 'utf8')))(file)?.split(/\r?\n/)
  } catch {
    return undefined
  }
}

/** A line without what a frame must not repeat: a secret that somebody wrote down in place of a placeholder. */
function shown(line: string): string {
  const masked = line.replace(
    /(["']?)([\w.-]+)\1(\s*:\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,{}[\]#][^,}\]#]*)/g,
    (whole, quote: string, key: string, colon: string, value: string) =>
      secretKey.test(key) && !/\$\{|^["']?\.{0,2}\//.test(value)
        ? `${quote}${key}${quote}${colon}${'*'.repeat(value.trimEnd().length)}`
        : whole,
  )
  // A line of a PEM block.
  if (/^\s*[A-Za-z0-9+/=]{40,}\s*$/.test(line)) return line.replace(/\S/g, '*')
  return masked.length > lineLengthMax ? `${masked.slice(0, lineLengthMax)}…` : masked
}

function painter(colour: boolean): { bold: Paint; dim: Paint; red: Paint } {
  const paint =
    (code: number): Paint =>
    (text) =>
      colour ? `\x1b[${code}m${text}\x1b[0m` : text
  return { bold: paint(1), dim: paint(2), red: paint(31) }
}

type Paint = (text: string) => string
