import type { Argument, NamePrefix } from '../body/values.ts'
import { lowerCase } from '../seclang/known.ts'

/** One value that rules look at: an argument, a header, or the one value of a variable that is no collection. */
export interface Member {
  /** As it came: `User-Agent`, `json.items.0.id`. Empty for a variable that is no collection. */
  readonly name: string
  readonly value: string
  readonly prefix: NamePrefix | undefined
  /** The name without its prefix: what is left to read of a name whose prefix has been read. */
  readonly rest: string
  /** An OpenAPI document has shown that such a value carries no attack: rules that look at a whole collection pass it by. */
  readonly proved: boolean
  /** The document knows the name, which so is not the sender's. */
  readonly known: boolean
  /** Its siblings joined: looked at only where none of them matched, lest one thing counts twice. */
  readonly whole: boolean
  /** The name in lower case, made when it is first asked for. */
  key: string | undefined
}

/** One shape for all members: the loops over them stay monomorphic. */
export function member(
  name: string,
  value: string,
  prefix?: NamePrefix,
  proved = false,
  rest = name,
  known = false,
): Member {
  return { name, value, prefix, rest, proved, known, whole: false, key: undefined }
}

/** What runs of text make together. */
export function wholeMember(name: string, value: string): Member {
  return { name, value, prefix: undefined, rest: name, proved: false, known: false, whole: true, key: undefined }
}

/** Names of members are compared without regard to case. */
export function keyOf(member: Member): string {
  member.key ??= lowerCase(member.name)
  return member.key
}

export const noMembers: readonly Member[] = []

export function membersOfArguments(found: readonly Argument[], proved = false): readonly Member[] {
  if (found.length === 0) return noMembers
  const members = new Array<Member>(found.length)
  for (let i = 0; i < found.length; i++) {
    const { name, value, prefix, key, known } = found[i]!
    members[i] = member(name, value, prefix, proved, key, known)
  }
  return members
}

/** The names of a collection as values: `ARGS_NAMES:id` is `id`. Those that the document knows carry nothing. */
export function namesOf(members: readonly Member[]): readonly Member[] {
  if (members.length === 0) return noMembers
  const names = new Array<Member>(members.length)
  for (let i = 0; i < members.length; i++) {
    const { name, prefix, rest, known } = members[i]!
    names[i] = member(name, name, prefix, known, rest)
  }
  return names
}
