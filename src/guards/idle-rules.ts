import type { Host } from '../gate/guard.ts'
import type { ApiDocument } from '../openapi/operation.ts'
import type { Selector } from '../openapi/select.ts'

/** A rule with a selector, named as the operator wrote it: `authorize.acl[2]`. */
export interface SelectingRule {
  readonly name: string
  readonly selects: Selector
}

/** What is logged of such a rule, with `api` and `rule`; `portcullis check` tells it, too. */
export const idleRuleMessage = 'A rule matches no operation of the document.'

/**
 * Warns of rules that are about no operation of the document: mostly a slip of the pen, and nothing is protected by it.
 * To be called with each operation's document; looks at the first only, since a guard is set up anew for each document.
 */
export function warnOfIdleRules(rules: readonly SelectingRule[], { api, log }: Host): (document: ApiDocument) => void {
  let isChecked = false
  return ({ operations }) => {
    if (isChecked) return
    isChecked = true
    for (const { name, selects } of rules) {
      if (!operations.some(selects)) log.warn(idleRuleMessage, { api, rule: name })
    }
  }
}
