import { ConfigError } from '../../base/errors.ts'
import type { Principal } from '../../gate/principal.ts'

/**
 * A test for membership in a list of callers: one set look-up for each kind of entry that the list holds. A bare word is a
 * subject; `role:`, `app:`, `scope:`, `via:` and `sub:` look at the rest; `*` is every known caller.
 */
export function callers(entries: readonly string[], at: string): (principal: Principal) => boolean {
  const subjects = new Set<string>()
  const roles = new Set<string>()
  const applications = new Set<string>()
  const scopes = new Set<string>()
  const methods = new Set<string>()
  const kinds: Readonly<Record<string, Set<string>>> = {
    sub: subjects,
    role: roles,
    app: applications,
    scope: scopes,
    via: methods,
  }
  let everyone = false
  for (const entry of entries) {
    if (entry === '*') {
      everyone = true
      continue
    }
    const colon = entry.indexOf(':')
    const set = colon > 0 ? kinds[entry.slice(0, colon)] : undefined
    if (set === undefined) subjects.add(entry)
    else if (colon === entry.length - 1) throw new ConfigError('P1409', `${at}: "${entry}" names nobody`)
    else set.add(entry.slice(colon + 1))
  }
  if (everyone) return () => true
  const tests: ((principal: Principal) => boolean)[] = []
  if (subjects.size > 0) tests.push(({ subject }) => subjects.has(subject))
  if (applications.size > 0) {
    tests.push(({ application }) => application !== undefined && applications.has(application))
  }
  if (methods.size > 0) tests.push(({ via }) => methods.has(via))
  if (roles.size > 0) tests.push((principal) => meets(principal.roles, roles))
  if (scopes.size > 0) tests.push((principal) => meets(principal.scopes, scopes))
  return (principal) => tests.some((test) => test(principal))
}

function meets(held: ReadonlySet<string>, listed: ReadonlySet<string>): boolean {
  for (const one of held) if (listed.has(one)) return true
  return false
}
