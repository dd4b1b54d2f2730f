import {
  byteOf,
  clearToken,
  copyToken,
  createToken,
  kinds,
  nextToken,
  type SqlReading,
  type SqlToken,
  textOf,
  tokenTextMax,
} from './sql-tokens.ts'

/** What a fingerprint has at most. */
const tokensMax = 5

/** Tokens of the reading under way: readings run one at a time. Five make the fingerprint, a sixth and seventh tell what becomes of the fifth. */
const tokens: readonly SqlToken[] = Array.from({ length: 8 }, createToken)
const lastComment = createToken()

/** The tokens that the last `foldTokens` left. */
export function tokenAt(index: number): SqlToken {
  return tokens[index]!
}

/**
 * Reads tokens and takes out what means nothing to a fingerprint, until five are sure or the value ends: `1+1+1` is one number, `"a" "b"` one string,
 * `UNION ALL` one word. Gives how many are left. Rules and their order are libinjection's; a fingerprint is only as good as they are the same.
 */
export function foldTokens(reading: SqlReading): number {
  /** Where the next token goes; those before `left` are done with. */
  let count = 0
  let left = 0
  let more = true
  clearToken(lastComment)

  // Comments, opening parentheses, types and signs at the beginning mean nothing.
  const first = tokens[0]!
  for (;;) {
    more = nextToken(reading, first)
    const { kind } = first
    const isSkipped =
      kind === kinds.comment || kind === kinds.leftParenthesis || kind === kinds.type || isUnary(reading, first)
    if (!more || !isSkipped) break
  }
  if (!more) return 0
  count = 1

  for (;;) {
    if (count >= tokensMax && isHarmlessFive()) {
      if (count > tokensMax) {
        copyToken(tokens[1]!, tokens[tokensMax]!)
        count = 2
      } else {
        count = 1
      }
      left = 0
    }
    if (!more || left >= tokensMax) {
      left = count
      break
    }
    readUntil(left + 2)
    if (count - left < 2) {
      left = count
      continue
    }
    const two = foldTwo(reading, left)
    if (two !== undefined) {
      if (two === evil) return left + 2
      count += two.count
      left = two.left === 'back' ? Math.max(0, left - 1) : two.left === 'start' ? 0 : left
      if (two.again) continue
    }
    readUntil(left + 3)
    if (count - left < 3) {
      left = count
      continue
    }
    const removed = foldThree(reading, left)
    if (removed !== 0) {
      count -= removed
      left = 0
      continue
    }
    left++
  }

  if (left < tokensMax && lastComment.kind === kinds.comment) {
    copyToken(tokens[left]!, lastComment)
    left++
  }
  return Math.min(left, tokensMax)

  function readUntil(wanted: number): void {
    while (more && count <= tokensMax && count < wanted) {
      const token = tokens[count]!
      more = nextToken(reading, token)
      if (!more) return
      if (token.kind === kinds.comment) {
        copyToken(lastComment, token)
      } else {
        lastComment.kind = kinds.none
        count++
      }
    }
  }
}

/** What folding two tokens did: how many were added or taken away, where to go on, and whether with two again. */
interface Folded {
  readonly count: number
  readonly left: 'stay' | 'back' | 'start'
  readonly again: boolean
}

const dropAndStay: Folded = { count: -1, left: 'stay', again: true }
const dropAndBack: Folded = { count: -1, left: 'back', again: true }
const dropAndStart: Folded = { count: -1, left: 'start', again: true }
const dropTwo: Folded = { count: -2, left: 'start', again: true }
const changed: Folded = { count: 0, left: 'stay', again: true }
const changedAtStart: Folded = { count: 0, left: 'start', again: true }
const goOnAtStart: Folded = { count: 0, left: 'start', again: false }
/** ``{ `` `` in MySQL, which nobody reads alike. */
const evil: Folded = { count: 0, left: 'stay', again: false }

function foldTwo(reading: SqlReading, left: number): Folded | undefined {
  const a = tokens[left]!
  const b = tokens[left + 1]!
  const one = a.kind
  const two = b.kind
  if (one === kinds.string && two === kinds.string) return dropAndStay
  if (one === kinds.semicolon && two === kinds.semicolon) return dropAndStay
  if ((one === kinds.operator || one === kinds.logic) && (isUnary(reading, b) || two === kinds.type))
    return dropAndStart
  if (one === kinds.leftParenthesis && isUnary(reading, b)) return dropAndBack
  if (mergeWords(reading, a, b)) return dropAndBack
  if (one === kinds.semicolon && two === kinds.function && isIf(reading, b)) {
    // `; IF 1=1` is a statement of T-SQL.
    b.kind = kinds.transact
    return changed
  }
  if (
    (one === kinds.bareword || one === kinds.variable) &&
    two === kinds.leftParenthesis &&
    functionsToo.has(lowerText(reading, a))
  ) {
    a.kind = kinds.function
    return changed
  }
  if (one === kinds.keyword && isIn(reading, a)) {
    a.kind = two === kinds.leftParenthesis ? kinds.operator : kinds.bareword
    return changed
  }
  if (one === kinds.operator && isLike(reading, a)) {
    if (two === kinds.leftParenthesis) a.kind = kinds.function
  } else if (one === kinds.type && followsType(two)) {
    copyToken(a, b)
    return dropAndStart
  } else if (one === kinds.collate && two === kinds.bareword) {
    // There are too many collations to know; all have an underscore.
    if (textOf(reading, b).includes('_')) {
      b.kind = kinds.type
      return goOnAtStart
    }
  } else if (one === kinds.backslash) {
    if (isArithmetic(reading, b)) {
      // T-SQL reads `\%1` as `0 % 1`.
      a.kind = kinds.number
      return changedAtStart
    }
    copyToken(a, b)
    return dropAndStart
  } else if (one === kinds.leftParenthesis && two === kinds.leftParenthesis) {
    return dropAndStart
  } else if (one === kinds.rightParenthesis && two === kinds.rightParenthesis) {
    return dropAndStart
  } else if (one === kinds.leftBrace && two === kinds.bareword) {
    if (b.length === 0) {
      b.kind = kinds.evil
      return evil
    }
    // `{d expression}` of ODBC.
    return dropTwo
  } else if (two === kinds.rightBrace) {
    return dropAndStart
  }
  return undefined
}

/** Folds three tokens; gives how many are gone. */
function foldThree(reading: SqlReading, left: number): number {
  const a = tokens[left]!
  const b = tokens[left + 1]!
  const c = tokens[left + 2]!
  const one = a.kind
  const two = b.kind
  const three = c.kind
  if (one === kinds.number && two === kinds.operator && three === kinds.number) return 2
  if (one === kinds.operator && two !== kinds.leftParenthesis && three === kinds.operator) return 2
  if (one === kinds.logic && three === kinds.logic) return 2
  if (two === kinds.operator) {
    if (one === kinds.variable && (three === kinds.variable || three === kinds.number || three === kinds.bareword))
      return 2
    if ((one === kinds.bareword || one === kinds.number) && (three === kinds.number || three === kinds.bareword))
      return 2
    if (isScalar(one) && three === kinds.type && textOf(reading, b) === '::') return 2
  }
  if (isScalar(one) && two === kinds.comma && isScalar(three)) return 2
  if (isUnary(reading, b)) {
    const isBeforeList = one === kinds.expression || one === kinds.group
    if ((isBeforeList || one === kinds.comma) && three === kinds.leftParenthesis) return dropSecond(b, c, 1)
    if ((isBeforeList || one === kinds.keyword) && (isScalar(three) || three === kinds.function))
      return dropSecond(b, c, 1)
    // `1,-1` is `1` once the comma is seen again with what stands before it.
    if (one === kinds.comma && isScalar(three)) return dropSecond(b, c, 3)
    if (one === kinds.comma && three === kinds.function) return dropSecond(b, c, 1)
  }
  if (two === kinds.dot && three === kinds.bareword) {
    if (one === kinds.bareword) return 2
    if (one === kinds.expression) return dropSecond(b, c, 1)
  }
  // `USER()` is a function, `USER(name)` is none.
  if (
    one === kinds.function &&
    two === kinds.leftParenthesis &&
    three !== kinds.rightParenthesis &&
    lowerText(reading, a) === 'user'
  ) {
    a.kind = kinds.bareword
  }
  return 0
}

function dropSecond(second: SqlToken, third: SqlToken, removed: number): number {
  copyToken(second, third)
  return removed
}

/** Five tokens that are no attack so far, such as `1+(1)`: folding begins anew behind them. */
function isHarmlessFive(): boolean {
  const kind = (index: number) => tokens[index]!.kind
  const first = kind(0)
  const second = kind(1)
  const third = kind(2)
  const fourth = kind(3)
  const fifth = kind(4)
  if (third === kinds.leftParenthesis && fifth === kinds.rightParenthesis) {
    if (first === kinds.number && fourth === kinds.number) return second === kinds.operator || second === kinds.comma
    return (
      first === kinds.bareword && second === kinds.operator && (fourth === kinds.bareword || fourth === kinds.number)
    )
  }
  if (second !== kinds.rightParenthesis || fourth !== kinds.leftParenthesis) return false
  return (
    (first === kinds.number && third === kinds.comma && fifth === kinds.number) ||
    (first === kinds.bareword && third === kinds.operator && fifth === kinds.bareword)
  )
}

/** Joins two words that are one to SQL: `GROUP BY`. */
function mergeWords(reading: SqlReading, a: SqlToken, b: SqlToken): boolean {
  if (!isMergeable(a.kind) || !(isMergeable(b.kind) || b.kind === kinds.logic)) return false
  if (a.hash !== -1 && reading.words.mayBegin[a.hash] === 0) return false
  const length = a.length + b.length + 1
  if (length > tokenTextMax) return false
  const text = `${textOf(reading, a)} ${textOf(reading, b)}`
  const kind = reading.words.kindOf(text)
  if (kind === kinds.none) return false
  a.kind = kind
  a.merged = text
  a.length = length
  a.hash = -1
  return true
}

function isMergeable(kind: number): boolean {
  return (
    kind === kinds.keyword ||
    kind === kinds.bareword ||
    kind === kinds.operator ||
    kind === kinds.union ||
    kind === kinds.function ||
    kind === kinds.expression ||
    kind === kinds.transact ||
    kind === kinds.type
  )
}

function isScalar(kind: number): boolean {
  return kind === kinds.bareword || kind === kinds.number || kind === kinds.variable || kind === kinds.string
}

function followsType(kind: number): boolean {
  return isScalar(kind) || kind === kinds.type || kind === kinds.leftParenthesis || kind === kinds.function
}

/** `+`, `-`, `!`, `~`, `!!` and NOT. */
function isUnary(reading: SqlReading, token: SqlToken): boolean {
  if (token.kind !== kinds.operator) return false
  const first = byteOf(reading, token, 0)
  if (token.length === 1) return first === 0x2b || first === 0x2d || first === 0x21 || first === 0x7e
  if (token.length === 2) return first === 0x21 && byteOf(reading, token, 1) === 0x21
  return token.length === 3 && lowerText(reading, token) === 'not'
}

function isArithmetic(reading: SqlReading, token: SqlToken): boolean {
  return token.kind === kinds.operator && token.length === 1 && '*/-+%'.includes(textOf(reading, token))
}

/** Words that are a function where a parenthesis follows, and a name or a variable elsewhere. */
const functionsToo: ReadonlySet<string> = new Set([
  'user_id',
  'user_name',
  'database',
  'password',
  'user',
  'current_user',
  'current_date',
  'current_time',
  'current_timestamp',
  'localtime',
  'localtimestamp',
])

function isIf(reading: SqlReading, token: SqlToken): boolean {
  return (byteOf(reading, token, 0) | 0x20) === 0x69 && (byteOf(reading, token, 1) | 0x20) === 0x66
}

function isIn(reading: SqlReading, token: SqlToken): boolean {
  const text = lowerText(reading, token)
  return text === 'in' || text === 'not in'
}

function isLike(reading: SqlReading, token: SqlToken): boolean {
  if (token.length !== 4 && token.length !== 8) return false
  const text = lowerText(reading, token)
  return text === 'like' || text === 'not like'
}

/** Small letters never make another byte a letter of SQL; capitals would: `ß` is `SS`. */
function lowerText(reading: SqlReading, token: SqlToken): string {
  return textOf(reading, token).toLowerCase()
}
