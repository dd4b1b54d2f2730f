import { type Member, member, noMembers } from './member.ts'

/**
 * Where the names that rules write out stand in a transaction's TX: each has a slot of its own, so that reading one is
 * reading an array. Names are lower-case. `0` to `9`, the captures, come first.
 */
export interface TxLayout {
  readonly slots: Map<string, number>
  readonly names: string[]
}

export const captureSlots = 10

export function createLayout(): TxLayout {
  const layout: TxLayout = { slots: new Map(), names: [] }
  for (let i = 0; i < captureSlots; i++) slotOf(layout, String(i))
  return layout
}

/** The slot of a name; a new one where it has none yet. Only while rules are compiled. */
export function slotOf(layout: TxLayout, name: string): number {
  const known = layout.slots.get(name)
  if (known !== undefined) return known
  const slot = layout.names.length
  layout.slots.set(name, slot)
  layout.names.push(name)
  return slot
}

/** What TX holds before a transaction's first rule; shared, never changed. */
export interface TxBase {
  readonly values: readonly (string | undefined)[]
  /** Names that no rule writes out. */
  readonly others: ReadonlyMap<string, string> | undefined
}

export function createBase(layout: TxLayout, variables: Readonly<Record<string, string>>, under?: TxBase): TxBase {
  const values = under === undefined ? new Array<string | undefined>(layout.names.length) : [...under.values]
  if (under === undefined) values.fill(undefined)
  const others = new Map(under?.others)
  for (const [name, value] of Object.entries(variables)) {
    const slot = layout.slots.get(name)
    if (slot === undefined) others.set(name, value)
    else values[slot] = value
  }
  return { values, others: others.size === 0 ? undefined : others }
}

/** The TX collection of one transaction. */
export class Tx {
  readonly layout: TxLayout
  /** By slot. */
  readonly values: (string | undefined)[]
  #others: Map<string, string> | undefined

  constructor(layout: TxLayout, base: TxBase) {
    this.layout = layout
    this.values = base.values.slice()
    this.#others = base.others && new Map(base.others)
  }

  /** By lower-case name. */
  get(name: string): string | undefined {
    const slot = this.layout.slots.get(name)
    return slot === undefined ? this.#others?.get(name) : this.values[slot]
  }

  set(name: string, value: string | undefined): void {
    const slot = this.layout.slots.get(name)
    if (slot !== undefined) this.values[slot] = value
    else if (value === undefined) this.#others?.delete(name)
    else {
      this.#others ??= new Map()
      this.#others.set(name, value)
    }
  }

  members(): readonly Member[] {
    const members: Member[] = []
    const { names } = this.layout
    for (let slot = 0; slot < names.length; slot++) {
      const value = this.values[slot]
      if (value !== undefined) members.push(member(names[slot]!, value))
    }
    members.push(...this.otherMembers())
    return members
  }

  /** Those whose names no rule writes out. */
  otherMembers(): readonly Member[] {
    return this.#others === undefined ? noMembers : Array.from(this.#others, ([name, value]) => member(name, value))
  }
}
