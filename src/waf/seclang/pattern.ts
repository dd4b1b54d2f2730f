import type { Complaints } from './error.ts'
import { type Piece, pieceOf } from './piece.ts'

/** The test that `SecRuleRemoveByTag` and its like make of a tag or a message; `undefined` after a complaint. */
export function compileRulePattern(piece: Piece, complaints: Complaints): ((text: string) => boolean) | undefined {
  try {
    const pattern = new RegExp(piece.text)
    return (text) => pattern.test(text)
  } catch (error) {
    complaints.error(pieceOf(piece, 0, 1), `not a pattern: ${error instanceof Error ? error.message : error}`)
    return undefined
  }
}
