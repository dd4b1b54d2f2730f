import { messageOf } from '../../base/errors.ts'
import type { Complaints } from './error.ts'
import { isSpace, lineOf, type Piece, placeOf } from './piece.ts'
import type { Place } from './rule.ts'

/** Gives the bytes of a data file, a character each (latin1), or throws. The name is resolved already. */
export type ReadData = (file: string, from: Place) => string

/** The data files that rules name, each read once. */
export interface DataFiles {
  /** The whole file, or nothing where it cannot be read: the complaint is made. */
  readonly text: (name: Piece, complaints: Complaints) => string | undefined
  /** Its lines, without comments and empty ones. */
  readonly lines: (name: Piece, complaints: Complaints) => readonly string[] | undefined
}

export function createDataFiles(readData: ReadData | undefined): DataFiles {
  const texts = new Map<string, string>()
  const lists = new Map<string, readonly string[]>()
  const text: DataFiles['text'] = (name, complaints) => {
    if (/^https?:/i.test(name.text)) {
      complaints.error(name, 'data is not fetched from the network', 'download the file and name it')
      return undefined
    }
    const file = resolveBeside(lineOf(name).file.name, name.text)
    const known = texts.get(file)
    if (known !== undefined) return known
    try {
      if (readData === undefined) throw new Error('rules given without a folder have no files beside them')
      const read = readData(file, placeOf(name))
      if (!isBytes(read)) throw new Error('its text was decoded; it must be given as bytes (latin1)')
      texts.set(file, read)
      return read
    } catch (error) {
      complaints.error(name, `cannot read ${file}: ${messageOf(error)}`)
      return undefined
    }
  }
  return {
    text,
    lines(name, complaints) {
      const content = text(name, complaints)
      if (content === undefined) return undefined
      const file = resolveBeside(lineOf(name).file.name, name.text)
      const known = lists.get(file)
      if (known !== undefined) return known
      const lines = listLines(content)
      lists.set(file, lines)
      return lines
    },
  }
}

/** Relative names belong to the folder of the file that they stand in. */
export function resolveBeside(file: string, name: string): string {
  if (/^(?:[/\\]|[A-Za-z]:[/\\])/.test(name)) return name
  const slash = Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\'))
  return file.slice(0, slash + 1) + name
}

/** Whether a text can be bytes, a character each. */
export function isBytes(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return false
  return true
}

function listLines(text: string): readonly string[] {
  const lines: string[] = []
  for (const line of text.replace(/^\xef\xbb\xbf/, '').split('\n')) {
    let start = 0
    let end = line.length
    while (start < end && isSpace(line.charCodeAt(start))) start++
    while (end > start && isSpace(line.charCodeAt(end - 1))) end--
    if (start < end && line.charCodeAt(start) !== 0x23) lines.push(line.slice(start, end))
  }
  return lines
}
