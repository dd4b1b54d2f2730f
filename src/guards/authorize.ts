import { ConfigError } from '../base/errors.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Step, Steps } from '../gate/guard.ts'
import { runPhase } from '../gate/program.ts'
import { type Denial, denial, type Verdict } from '../gate/verdict.ts'
import type { ApiDocument, Operation } from '../openapi/operation.ts'
import { bearerChallenge, unauthorized } from './auth/challenge.ts'
import { authPlanOf } from './auth/plan.ts'
import { showingTheWay } from './auth/way.ts'
import { aclRight } from './authorize/acl.ts'
import type { Right } from './authorize/contract.ts'
import { type AuthorizeOptions, authorizeShape } from './authorize/options.ts'
import { ownerRules } from './authorize/owner.ts'
import type { OwnerRule } from './authorize/owner-plan.ts'
import { grantsOf, rolesRight } from './authorize/roles.ts'
import { checkPathNames, nameOf, type PreparedRule, prepareRule, ruleRights } from './authorize/rules.ts'
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
      .map((entry, index) => prepareRule(entry, index, scope, host))
      .filter(({ entry }) => entry.mode !== 'off')
    const owned = ownerRules(
      rules.flatMap((rule) => ownerRuleOf(rule, options.mode === 'observe')),
      host,
    )
    const cedar =
      options.cedar === undefined || options.cedar.mode === 'off'
        ? undefined
        : await (await import('./authorize/cedar.ts')).openCedar(options.cedar, host, scope, timeZone)
    const warnOfIdle = warnOfIdleRules(
      (['acl', 'permissions', 'rules'] as const).flatMap((list) =>
        options[list].map(({ match }, index) => ({ name: `authorize.${list}[${index}]`, selects: match.selects })),
      ),
      host,
    )

    let checkedDocument: ApiDocument | undefined
    return (operation) => {
      if (operation.kind !== 'listed') return undefined
      warnOfIdle(operation.document)
      if (checkedDocument !== operation.document) checkPathNames(rules, operation.document)
      checkedDocument = operation.document
      const matching = rules.filter(({ entry }) => entry.match.selects(operation))
      const isClosed = !isPublic(operation)
      const rights = [
        ...acl.filter(({ selects }) => selects(operation)).map(({ right }) => right),
        ...(grants === undefined || !isClosed ? [] : [rolesRight(operation, options, grants, isOpen(operation))]),
        ...ruleRights(matching, operation),
        ...(cedar === undefined || !isClosed ? [] : [cedar.rightFor(operation)]),
      ]
      const owner = owned(operation)
      if (rights.length === 0 && owner === undefined) return undefined
      const owners = matching.filter(({ entry }) => entry.owner !== undefined && entry.mode === 'enforce')
      const note = options.decisions === 'all' ? noteOf(owners.map(nameOf)) : undefined
      return stepsOf(operation, rights, owner, note, options.mode === 'enforce')
    }
  },
}

function ownerRuleOf({ entry, at, exempt }: PreparedRule, observed: boolean): OwnerRule[] {
  const { owner, match, mode } = entry
  if (owner === undefined || mode === 'off') return []
  return [{ at, match, mode: observed ? 'observe' : mode, unless: exempt, options: { ...entry, owner } }]
}

function stepsOf(
  operation: Operation,
  rights: readonly Right[],
  owner: Steps | undefined,
  note: Note | undefined,
  isEnforced: boolean,
): Steps {
  const plan = authPlanOf(operation)
  const unknown = unauthorized(
    'authorize.caller-unknown',
    'This operation needs a credential. WWW-Authenticate names what is accepted.',
    plan?.challenge(plan.methods) || bearerChallenge(operation.api),
  )
  const head = rights.filter(({ readsBody }) => readsBody !== true)
  const body = rights.filter(({ readsBody }) => readsBody === true)
  const seesBody = body.length > 0 || owner?.requestBody !== undefined
  const judgeBody = judging(body, unknown, note)
  // What becomes another protocol has no body to wait for: then there is none.
  const judgeUpgrade: Step = (exchange) => (exchange.upgrade === undefined ? undefined : judgeBody(exchange))
  const judgeHead = judging(head, unknown, note)
  const requestHead = inOrder([
    isEnforced ? showingTheWay(judgeHead, plan) : judgeHead,
    body.length === 0 ? undefined : judgeUpgrade,
    owner?.requestHead,
  ])
  if (!seesBody) return { ...owner, requestHead }
  return {
    ...owner,
    requestHead,
    requestBody: inOrder([judgeBody, owner?.requestBody]),
    readsRequestBody: body.length > 0 ? () => true : (owner?.readsRequestBody ?? (() => true)),
  }
}

function inOrder(steps: readonly (Step | undefined)[]): Step {
  const all = steps.filter((step) => step !== undefined)
  const [only] = all
  return all.length === 1 ? only! : (exchange) => runPhase(all, exchange)
}

/** Takes what let a request pass: a right, or several that never say more. */
type Note = (exchange: Exchange, passed: readonly string[]) => void

/** For the decision log: which rules let a request pass. */
function noteOf(owners: readonly string[]): Note {
  return (exchange, passed) => {
    exchange.decision = { effect: 'allow', rules: [...(exchange.decision?.rules ?? owners), ...passed] }
  }
}

function judging(rights: readonly Right[], unknown: Denial, note: Note | undefined): Step {
  return (exchange): Verdict => {
    // Whoever was not believed is told why, not that he is unknown.
    const stranger = exchange.credentialDenial ?? unknown
    const passed: string[] | undefined = note === undefined ? undefined : []
    for (let i = 0; i < rights.length; i++) {
      const right = rights[i]!
      if (right.observed === true) observe(right, exchange, stranger)
      else {
        const refusal = right.judge(exchange, stranger)
        if (refusal !== undefined) return refusal
        passed?.push(...(right.because?.() ?? right.names))
      }
    }
    note?.(exchange, passed!)
    return undefined
  }
}

const failed = denial(503, 'authorize.failed', 'The request could not be checked. Try again later.')

/** Notes what a right would have refused, its own failure too, and lets pass. */
function observe(right: Right, exchange: Exchange, unknown: Denial): void {
  try {
    const refusal = right.judge(exchange, unknown)
    if (refusal !== undefined) exchange.observe(refusal)
  } catch {
    exchange.observe({ ...failed, evidence: { rule: right.names[0] } })
  }
}
