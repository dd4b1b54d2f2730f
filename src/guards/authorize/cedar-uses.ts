import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs'
import type { CedarUid } from './cedar-request.ts'

/** What some policies look at. `undefined` in place of a set: all of it. */
export interface Uses {
  /** First words below `context`. */
  readonly context: ReadonlySet<string> | undefined
  /** Second words below `context.claims`. */
  readonly claims: ReadonlySet<string> | undefined
  readonly principal: ReadonlySet<string> | undefined
  /** Whether the resource matters at all. */
  readonly resource: boolean
  /** Whether conditions speak of the action; its clause was answered when the policies were chosen. */
  readonly action: boolean
  /** Whether it can matter that an entity is in this group. */
  readonly group: (uid: CedarUid) => boolean
}

type Looked = Pick<Cedar.PolicyJson, 'principal' | 'resource' | 'conditions'>

/** What the conditions and clauses of policies look at. `plain`: no attribute of an entity leads to another entity. */
export function usesOf(policies: readonly Looked[], plain: boolean): Uses {
  const context = new Set<string>()
  const claims = new Set<string>()
  const principal = new Set<string>()
  const groups = new Set<string>()
  let wholeContext = false
  let wholeClaims = false
  let wholePrincipal = !plain
  // A stated group may lie in another one, which is the one that a policy names.
  let anyGroup = !plain
  // What is stated of one entity may lead to any other.
  let action = !plain
  let resource = !plain || policies.some((policy) => policy.resource.op !== 'All')

  for (const { principal: who, resource: what, conditions } of policies) {
    for (const clause of [who, what]) if (clause.op !== 'All') collectUids(clause, groups)
    for (const { body } of conditions) look(body)
  }
  return {
    context: wholeContext ? undefined : context,
    claims: wholeContext || wholeClaims ? undefined : claims,
    principal: wholePrincipal ? undefined : principal,
    resource,
    action,
    group: anyGroup ? () => true : (uid) => groups.has(keyOf(uid)),
  }

  function look(node: unknown): void {
    if (Array.isArray(node)) {
      for (const item of node) look(item)
      return
    }
    if (typeof node !== 'object' || node === null) return
    const [operator, inner] = Object.entries(node)[0] ?? []
    switch (operator) {
      case 'Value':
        collectUids(inner, groups)
        return
      case 'Var':
        see(inner)
        return
      case '.':
      case 'has':
        access(inner as Access)
        return
      case 'in':
      case 'is': {
        const { left, right, in: within } = inner as { left: unknown; right?: unknown; in?: unknown }
        // The name of an entity, of which no attribute is read.
        if (!isVar(left, 'principal')) look(left)
        for (const side of [right, within]) {
          if (side === undefined) continue
          // What is looked for among groups is known only where it is written down.
          if (!isLiteral(side)) anyGroup = true
          look(side)
        }
        return
      }
      case '==':
      case '!=': {
        const { left, right } = inner as { left: unknown; right: unknown }
        for (const side of [left, right]) if (!isVar(side, 'principal')) look(side)
        return
      }
      case 'getTag':
      case 'hasTag':
        wholePrincipal = true
        look(Object.values(inner as object))
        return
      default:
        look(typeof inner === 'object' && inner !== null ? Object.values(inner) : undefined)
    }
  }

  function see(name: unknown): void {
    if (name === 'context') wholeContext = true
    else if (name === 'resource') resource = true
    else if (name === 'action') action = true
    else wholePrincipal = true
  }

  function access({ left, attr }: Access): void {
    const names = typeof attr === 'string' ? [attr] : attr
    if (isVar(left, 'context')) {
      context.add(names[0]!)
      if (names[0] !== 'claims') return
      if (names[1] === undefined) wholeClaims = true
      else claims.add(names[1])
    } else if (isVar(left, 'principal')) principal.add(names[0]!)
    else if (isClaims(left)) {
      context.add('claims')
      claims.add(names[0]!)
    } else if (isGuarded(left)) {
      look(left)
    } else {
      // What this is an attribute of is known only when the policy runs: it may be the principal.
      if (!isVar(left, 'resource')) wholePrincipal = true
      look(left)
    }
  }
}

interface Access {
  readonly left: unknown
  /** Several in `has a.b.c`. */
  readonly attr: string | readonly string[]
}

function isVar(node: unknown, name: string): boolean {
  return typeof node === 'object' && node !== null && (node as { readonly Var?: string }).Var === name
}

/** `context.claims`, of which one claim is read. */
function isClaims(node: unknown): boolean {
  const access = accessOf(node)
  return access !== undefined && access.attr === 'claims' && isVar(access.left, 'context')
}

/** An attribute of an attribute … of a request's own variable. Those hold data: only stated entities lead to others. */
function isGuarded(node: unknown): boolean {
  for (let at = accessOf(node); at !== undefined; at = accessOf(at.left)) {
    if (isVar(at.left, 'context') || isVar(at.left, 'resource') || isVar(at.left, 'principal')) return true
  }
  return false
}

function accessOf(node: unknown): Access | undefined {
  return typeof node === 'object' && node !== null ? (node as { readonly '.'?: Access })['.'] : undefined
}

function isLiteral(node: unknown): boolean {
  if (typeof node !== 'object' || node === null) return false
  const { Value, Set: items } = node as { readonly Value?: unknown; readonly Set?: readonly unknown[] }
  return Value !== undefined || items?.every(isLiteral) === true
}

/** Every entity that is named in a part of a policy. */
function collectUids(node: unknown, into: Set<string>): void {
  if (typeof node !== 'object' || node === null) return
  const { type, id } = node as { readonly type?: unknown; readonly id?: unknown }
  if (typeof type === 'string' && typeof id === 'string') into.add(keyOf({ type, id }))
  for (const inner of Object.values(node)) collectUids(inner, into)
}

function keyOf({ type, id }: CedarUid): string {
  return `${type}\0${id}`
}
