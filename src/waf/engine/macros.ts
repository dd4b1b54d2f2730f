import { lowerCase } from '../seclang/known.ts'
import { keyOf } from './member.ts'
import type { State } from './state.ts'
import { slotOf, type TxLayout } from './tx.ts'
import { membersOf, variableId } from './variables.ts'

/** A text that may hold `%{tx.score}`, `%{MATCHED_VAR}`, `%{REQUEST_HEADERS.host}`. */
export interface Macro {
  readonly source: string
  /** The text itself, where it holds none. */
  readonly constant: string | undefined
  /** Slots of TX that it reads. */
  readonly slots: readonly number[]
  readonly expand: (state: State) => string
}

type Part = string | ((state: State) => string)

/** What is missing at request time is empty; what names no variable stays as it is written, as in ModSecurity. */
export function compileMacro(source: string, layout: TxLayout): Macro {
  const parts: Part[] = []
  const slots: number[] = []
  let end = 0
  for (const found of source.matchAll(/%\{([A-Za-z_]\w*)(?:[.:]([^{}]*))?\}/g)) {
    const reader = readerOf(found[1]!.toUpperCase(), lowerCase(found[2] ?? ''), layout, slots)
    if (reader === undefined) continue
    if (found.index > end) parts.push(source.slice(end, found.index))
    parts.push(reader)
    end = found.index + found[0].length
  }
  if (end < source.length) parts.push(source.slice(end))
  if (parts.length <= 1 && typeof parts[0] !== 'function') {
    return { source, constant: source, slots, expand: () => source }
  }
  const [first] = parts
  const expand = parts.length === 1 && typeof first === 'function' ? first : (state: State) => expandAll(parts, state)
  return { source, constant: undefined, slots, expand }
}

function expandAll(parts: readonly Part[], state: State): string {
  let text = ''
  for (const part of parts) text += typeof part === 'string' ? part : part(state)
  return text
}

function readerOf(
  variable: string,
  key: string,
  layout: TxLayout,
  slots: number[],
): ((state: State) => string) | undefined {
  if (variable === 'TX') {
    if (key === '') return undefined
    const slot = slotOf(layout, key)
    slots.push(slot)
    return ({ tx }) => tx.values[slot] ?? ''
  }
  if (variable === 'MATCHED_VAR') return ({ matchedValue }) => matchedValue
  if (variable === 'MATCHED_VAR_NAME') return ({ matchedName }) => matchedName
  const id = variableId(variable)
  if (id === undefined) return undefined
  if (key === '') return (state) => membersOf(state, id)[0]?.value ?? ''
  return (state) => {
    for (const member of membersOf(state, id)) if (keyOf(member) === key) return member.value
    return ''
  }
}
