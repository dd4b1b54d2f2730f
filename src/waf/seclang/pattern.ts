import { messageOf } from '../../base/errors.ts'
import { compilePattern, type Pattern, PatternError } from '../regex/index.ts'
import type { Complaints } from './error.ts'
import { type Piece, pieceOf } from './piece.ts'

/** Reads a pattern, to tell what is wrong with it at its place; `undefined` after a complaint. Its automaton is not built. */
export function readPattern(piece: Piece, complaints: Complaints): Pattern | undefined {
  try {
    return compilePattern(piece.text)
  } catch (error) {
    const offset = error instanceof PatternError ? Math.min(error.offset, Math.max(0, piece.text.length - 1)) : 0
    const reason = error instanceof PatternError ? error.reason : messageOf(error)
    complaints.error(pieceOf(piece, offset, offset + 1), `not a pattern: ${reason}`)
    return undefined
  }
}
