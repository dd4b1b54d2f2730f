import { compilePattern } from '../regex/index.ts'
import type { Control, Rule } from '../seclang/rule.ts'
import type { State } from './state.ts'
import { compileSelection, type Selection } from './target.ts'

/** A `ctl:` ready to run. */
export type CompiledControl = (state: State) => void

/** What takes rules, or targets of rules, out. */
export interface Exclusion {
  /** Rules by id, from and to. */
  readonly ids?: readonly [from: number, to: number]
  readonly tag?: string
  readonly message?: string
}

/** `undefined`: has no effect here. `all` are the rules of the whole program, by index. */
export function compileControl({ name, value, targets }: Control, all: readonly Rule[]): CompiledControl | undefined {
  switch (name) {
    case 'ruleEngine':
      return (state) => {
        state.engine = value as State['engine']
      }
    case 'auditEngine':
      return (state) => {
        state.auditEngine = value as State['auditEngine']
      }
    case 'requestBodyAccess':
      return (state) => {
        state.bodyAccess = value === 'On'
      }
    case 'requestBodyLimit':
      return (state) => {
        state.bodyBytesMax = Number(value)
      }
    case 'requestBodyProcessor':
      return (state) => {
        // Later the body has been read already.
        if (state.phase === 1) state.processor = value
      }
    case 'forceRequestBodyVariable':
      return (state) => {
        state.forcesBody = value === 'On'
      }
    case 'responseBodyAccess':
      return (state) => {
        state.responseAccess = value === 'On'
      }
    case 'responseBodyLimit':
      return (state) => {
        state.responseBytesMax = Number(value)
      }
    case 'forceResponseBodyVariable':
      return (state) => {
        state.forcesResponseBody = value === 'On'
      }
    case 'ruleRemoveById':
    case 'ruleRemoveByTag':
    case 'ruleRemoveByMsg':
      return removal(rulesMeant(exclusionOf(name, value), all))
    case 'ruleRemoveTargetById':
    case 'ruleRemoveTargetByTag':
    case 'ruleRemoveTargetByMsg': {
      const selections = targets.flatMap((target) => compileSelection(target) ?? [])
      return targetRemoval(rulesMeant(exclusionOf(name, value), all), selections)
    }
    default:
      return undefined
  }
}

/** What a `ctl:ruleRemove…` means by its value. */
export function exclusionOf(name: string, value: string): Exclusion {
  if (name.endsWith('Tag')) return { tag: value }
  if (name.endsWith('Msg')) return { message: value }
  const [from, to = from] = value.split('-').map(Number)
  return { ids: [from!, to!] }
}

/** Indexes of the rules that an exclusion means. A chain is meant by its head. */
export function rulesMeant({ ids, tag, message }: Exclusion, all: readonly Rule[]): readonly number[] {
  const isTag = tag === undefined ? undefined : tagTest(tag)
  return all.flatMap((rule, index) => {
    const meant =
      (ids !== undefined && rule.id >= ids[0] && rule.id <= ids[1]) ||
      (isTag !== undefined && rule.tags.some(isTag)) ||
      (message !== undefined && rule.message === message)
    return meant ? [index] : []
  })
}

/**
 * A tag is meant by its whole name, as in ModSecurity 3 and Coraza: less than what a name is found in is taken out. What is
 * no name but a pattern, as ModSecurity 2 has it, is looked for anywhere in a tag.
 */
function tagTest(tag: string): (tag: string) => boolean {
  if (!/[\\^$*+?()[\]{}|]/.test(tag)) return (one) => one === tag
  const pattern = compilePattern(tag)
  return (one) => pattern.test(one)
}

function removal(rules: readonly number[]): CompiledControl {
  const without = remembered((removed: Uint8Array | undefined, state) => {
    const all = removed?.slice() ?? new Uint8Array(state.program.rules.length)
    for (const index of rules) all[index] = 1
    return all
  })
  return (state) => {
    state.removed = without(state.removed, state)
  }
}

function targetRemoval(rules: readonly number[], selections: readonly Selection[]): CompiledControl {
  const without = remembered((exclusions: State['exclusions']) => {
    const all = exclusions?.slice() ?? []
    addSelections(all, rules, selections)
    return all
  })
  return (state) => {
    state.exclusions = without(state.exclusions, state)
  }
}

/**
 * Lists are never changed in place: what a `ctl` makes of one is the same for every transaction that comes by with it,
 * which is nearly each, and is made once.
 */
function remembered<T>(make: (before: T, state: State) => T): (before: T, state: State) => T {
  let last: { readonly before: T; readonly after: T } | undefined
  return (before, state) => {
    if (last === undefined || last.before !== before) last = { before, after: make(before, state) }
    return last.after
  }
}

export function addSelections(
  exclusions: (readonly Selection[] | undefined)[],
  rules: readonly number[],
  selections: readonly Selection[],
): void {
  for (const index of rules) exclusions[index] = [...(exclusions[index] ?? []), ...selections]
}
