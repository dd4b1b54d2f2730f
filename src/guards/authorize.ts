import { ConfigError } from '../base/errors.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Step, Steps } from '../gate/guard.ts'
import { type Denial, denial, type Verdict } from '../gate/verdict.ts'
import type { Operation } from '../openapi/operation.ts'
import { bearerChallenge, unauthorized } from './auth/challenge.ts'
import { authPlanOf } from './auth/plan.ts'
import { aclRight } from './authorize/acl.ts'
import type { Right } from './authorize/contract.ts'
import { type AuthorizeOptions, authorizeShape } from './authorize/options.ts'
import { grantsOf, rolesRight } from './authorize/roles.ts'
import { checkPathNames, prepareRule, ruleRights } from './authorize/rules.ts'
import { warnOfIdleRules } from './idle-rules.ts'
import { type Places, ruleScope, rulesRoot } from './rule-scope.ts'
import { isOpen, isPublic } from './security.ts'

/** Lets callers do only what lists, roles, rules and policies allow them, all of them together (Z1 to Z3, Z5). */
export const authorize: Guard<AuthorizeOptions, { readonly places: Places }> = {
  name: 'authorize',
  stage: 'authorize',
  options: authorizeShape,
  root: rulesRoot,
  async setup(options, host, root) {
    const { roles, timeZone, countryHeader } = options
    if (roles === undefined && options.permissions.length > 0) {
      throw new ConfigError('P1409', `apis.${host.api}.authorize.permissions: nobody has a permission without "roles"`)
    }
    const acl = options.acl.map((entry, index) => ({ selects: entry.match.selects, right: aclRight(entry, index) }))
    const grants = roles === undefined ? undefined : grantsOf(roles)
    const scope = ruleScope({ places: root?.places, timeZone, countryHeader })
    const rules = options.rules
      .map((entry, index) => prepareRule(entry, `authorize.rules[${index}]`, scope))
      .filter(({ entry }) => entry.mode !== 'off')
    const warnOfIdle = warnOfIdleRules(
      (['acl', 'permissions', 'rules'] as const).flatMap((list) =>
        options[list].map(({ match }, index) => ({ name: `authorize.${list}[${index}]`, selects: match.selects })),
      ),
      host,
    )

    return (operation) => {
      if (operation.kind !== 'listed') return undefined
      warnOfIdle(operation.document)
      checkPathNames(rules, operation.document)
      const matching = rules.filter(({ entry }) => entry.match.selects(operation))
      const rights = [
        ...acl.filter(({ selects }) => selects(operation)).map(({ right }) => right),
        ...(grants === undefined || isPublic(operation)
          ? []
          : [rolesRight(operation, options, grants, isOpen(operation))]),
        ...ruleRights(matching, operation),
      ]
      return rights.length === 0 ? undefined : stepsOf(operation, rights, options.decisions === 'all')
    }
  },
}

function stepsOf(operation: Operation, rights: readonly Right[], tellsAll: boolean): Steps {
  const plan = authPlanOf(operation)
  const unknown = unauthorized(
    'authorize.caller-unknown',
    'This operation needs a credential. WWW-Authenticate names what is accepted.',
    plan?.challenge(plan.methods) || bearerChallenge(operation.api),
  )
  const head = rights.filter(({ readsBody }) => readsBody !== true)
  const body = rights.filter(({ readsBody }) => readsBody === true)
  const names = rights.filter(({ observed }) => observed !== true).flatMap((right) => right.names)
  const note = tellsAll ? noteOf(names) : undefined
  return {
    requestHead: judging(head, unknown, body.length === 0 ? note : undefined),
    ...(body.length === 0 ? {} : { requestBody: judging(body, unknown, note) }),
  }
}

type Note = (exchange: Exchange) => void

/** For the decision log: which rules let a request pass. */
function noteOf(rules: readonly string[]): Note {
  const decision = { effect: 'allow', rules } as const
  return (exchange) => {
    exchange.decision = decision
  }
}

function judging(rights: readonly Right[], unknown: Denial, note: Note | undefined): Step {
  return (exchange): Verdict => {
    // Whoever was not believed is told why, not that he is unknown.
    const stranger = exchange.credentialDenial ?? unknown
    for (let i = 0; i < rights.length; i++) {
      const right = rights[i]!
      const refusal = right.observed === true ? observed(right, exchange, stranger) : right.judge(exchange, stranger)
      if (refusal !== undefined) return refusal
    }
    note?.(exchange)
    return undefined
  }
}

const failed = denial(503, 'authorize.failed', 'The request could not be checked. Try again later.')

/** Notes what a right would have refused, its own failure too, and lets pass. */
function observed(right: Right, exchange: Exchange, unknown: Denial): undefined {
  try {
    const refusal = right.judge(exchange, unknown)
    if (refusal !== undefined) exchange.observe(refusal)
  } catch {
    exchange.observe({ ...failed, evidence: { rule: right.names[0] } })
  }
  return undefined
}
