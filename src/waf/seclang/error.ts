import { isUtf8 } from 'node:buffer'
import { lineOf, offsetOf, type Piece, placeOf, type SourceFile } from './piece.ts'
import type { Place } from './rule.ts'

/** One thing that is wrong with a rule file. */
export interface Problem {
  readonly place: Place
  /** How many columns to underline. */
  readonly length: number
  readonly message: string
  /** What to do: `did you mean "chain"?` */
  readonly hint: string | undefined
  /** The problem with the line that it is about, a mark under it. */
  readonly frame: string
}

/** The rule files cannot be used. Everything that is wrong with them is told at once, each with the line it is about. */
export class RuleError extends Error {
  override readonly name = 'RuleError'
  readonly problems: readonly Problem[]
  /** Of the first problem. */
  readonly place: Place
  /** The first problem with the lines around it. */
  readonly frame: string

  constructor(problems: readonly [Problem, ...Problem[]], more = false) {
    const frames = problems.map((problem) => problem.frame).join('\n\n')
    super(more ? `${frames}\n\nThere is more; mend these first.` : frames)
    this.problems = problems
    this.place = problems[0].place
    this.frame = problems[0].frame
  }
}

/** Collects what is wrong and what has no effect, while the reading goes on. */
export interface Complaints {
  readonly warnings: { readonly place: Place; readonly message: string }[]
  readonly count: () => number
  readonly error: (at: Piece, message: string, hint?: string) => void
  readonly warn: (at: Piece, message: string) => void
  /** Throws a RuleError if anything was wrong. */
  readonly settle: () => void
}

/** More than a person reads; a file of another kind, taken for rules, has one in each line. */
const problemsMax = 50
const warningsMax = 1_000

export function createComplaints(): Complaints {
  const problems: Problem[] = []
  const told = new Set<string>()
  const warnings: Complaints['warnings'] = []
  const fail = (more: boolean) => {
    const [first, ...rest] = problems
    if (first !== undefined) throw new RuleError([first, ...rest], more)
  }
  return {
    warnings,
    count: () => problems.length,
    error(at, message, hint) {
      // A default action that is wrong would be told for each rule that takes it over.
      const key = `${lineOf(at).file.name}\0${offsetOf(at)}\0${message}`
      if (told.has(key)) return
      told.add(key)
      if (problems.length === problemsMax) fail(true)
      const problem = { place: placeOf(at), length: Math.max(1, at.text.length), message, hint }
      problems.push({ ...problem, frame: frameOf(problem, lineOf(at).file) })
    },
    warn(at, message) {
      if (warnings.length < warningsMax) warnings.push({ place: placeOf(at), message })
    },
    settle: () => fail(false),
  }
}

const lineLengthMax = 160

/**
 * One problem with the line it is about, in the look of `config/frame.ts`:
 *
 *     rules/own.conf:14:12  unknown action "chian"
 *        13 | SecRule ARGS "@rx union" \
 *        14 |     "id:1,chian"
 *           |           ^^^^^ did you mean "chain"?
 */
function frameOf({ place, message, hint, length }: Omit<Problem, 'frame'>, file: SourceFile): string {
  const title = `${place.file}:${place.line}:${place.column}  ${message}`
  const width = Math.max(5, String(place.line).length + 1)
  const gutter = (label: string) => `${label.padStart(width)} |`
  const frame = [title]
  // A pattern of some kilobytes stands in one line: what is shown begins near the mark.
  const start = place.column > lineLengthMax - 40 ? place.column - 60 : 0
  if (place.line > 1 && start === 0) frame.push(`${gutter(String(place.line - 1))} ${shown(file, place.line - 1, 0)}`)
  const line = shown(file, place.line, start)
  frame.push(`${gutter(String(place.line))} ${line}`)
  const column = start === 0 ? place.column : place.column - start + 1
  // Tabs are copied so that the mark stands under the word whatever their width.
  const indent = line.slice(0, column - 1).replace(/[^\t]/g, ' ')
  const marks = '^'.repeat(Math.max(1, Math.min(length, line.length - column + 1)))
  frame.push(`${gutter('')} ${indent}${marks}${hint === undefined ? '' : ` ${hint}`}`)
  return frame.join('\n')
}

/** A line as text; control characters are shown as `?`, since what is printed must not steer a terminal. */
function shown(file: SourceFile, line: number, start: number): string {
  const from = file.lineStarts[line - 1]!
  const to = file.lineStarts[line] ?? file.text.length
  const text = readable(file.text.slice(from, to))
    .replace(/\r?\n$/, '')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    .replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '?')
  const cut = start === 0 ? text : `…${text.slice(start)}`
  return cut.length > lineLengthMax ? `${cut.slice(0, lineLengthMax)}…` : cut
}

/** Bytes as the text that they stand for, if they are UTF-8. */
function readable(text: string): string {
  const bytes = Buffer.from(text, 'latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : text
}

/** What was written, short enough for a message. */
export function quotedShort(text: string): string {
  const whole = readable(text)
  return JSON.stringify(whole.length > 40 ? `${whole.slice(0, 40)}…` : whole)
}
