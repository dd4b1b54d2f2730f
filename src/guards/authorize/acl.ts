import { denial } from '../../gate/verdict.ts'
import { callers } from './callers.ts'
import type { Right } from './contract.ts'
import type { AclEntry } from './options.ts'

/** One entry of a list of callers (Z1). */
export function aclRight(entry: AclEntry, index: number): Right {
  const rule = `authorize.acl[${index}]`
  const denied = callers(entry.deny, `${rule}.deny`)
  const allowed = entry.allow === undefined ? undefined : callers(entry.allow, `${rule}.allow`)
  const refuse = (list: 'allow' | 'deny') =>
    denial(403, 'authorize.acl', 'You are not on the list of those who may use this operation.', {
      evidence: { rule, match: entry.match.text, list },
    })
  const isDenied = refuse('deny')
  const notAllowed = refuse('allow')
  return {
    names: [rule],
    judge: ({ principal }, unknown) => {
      if (principal === undefined) return unknown
      if (denied(principal)) return isDenied
      return allowed === undefined || allowed(principal) ? undefined : notAllowed
    },
  }
}
