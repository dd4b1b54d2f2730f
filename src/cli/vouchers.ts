import type { Config } from '../config/load.ts'
import { auth } from '../guards/auth.ts'
import { withIssuer } from '../identity/issuer.ts'
import type { Store } from '../store/store.ts'

/** Under which `via` callers come in, as a configuration says. */
export interface Vouchers {
  /** Those under which the people of this gate do: one, where a grant for a name need not say more. */
  readonly people: readonly string[]
  /** Whether any API lets in whom this method vouches for. */
  readonly isAccepted: (via: string) => boolean
}

export function vouchersOf(config: Config): Vouchers {
  const own = ownIssuer(config)
  const names = [...new Set([...Object.keys(config.raw(['issuers']) ?? {}), ...(own === undefined ? [] : [own])])]
  const accepted = new Set<string>()
  let signsInHere = false
  for (const api of Object.keys(config.settings.apis)) {
    const { methods, schemes, signIn } = auth.options.parse(config.raw(['apis', api, 'auth']))
    const mapped = Object.values(schemes).flat()
    for (const method of methods ?? (mapped.length > 0 ? [] : ['apiKey', ...names])) accepted.add(method)
    for (const method of mapped) accepted.add(method)
    if (signIn === undefined) continue
    accepted.add('session')
    signsInHere ||= signIn.issuer === own
  }
  const knowing = ['basic', ...(own === undefined ? [] : [own]), ...(signsInHere ? ['session'] : [])]
  const people = knowing.filter((method) => accepted.has(method))
  return {
    people: people.length > 0 ? people : [own ?? 'basic'],
    isAccepted: (via) => accepted.has(via),
  }
}

/** The name under which `auth` lists the token service: that of an entry of its own, or else `tokenService`. */
export function ownIssuer(config: Config): string | undefined {
  const { tokenService, listen } = config.settings
  if (tokenService === undefined) return undefined
  const issuers = (config.raw(['issuers']) ?? {}) as Readonly<Record<string, { readonly issuer?: unknown } | undefined>>
  const { issuer } = withIssuer(tokenService, listen)
  return Object.keys(issuers).find((name) => issuers[name]?.issuer === issuer) ?? 'tokenService'
}

/** Who vouches for a subject of which nobody said so: the one choice, several, or none where nobody here knows it. */
export async function vouchersFor(
  subject: string,
  store: Store,
  people: readonly string[],
): Promise<readonly string[]> {
  if (/^[0-9A-Za-z]{12}$/.test(subject) && (await store.get(`api-key/${subject}`)) !== undefined) return ['apiKey']
  return (await store.get(`user/${subject.normalize('NFC')}`)) === undefined ? [] : people
}

/** What to say of a grant that holds for nobody, as no API asks that method. */
export function unacceptedVoucher(via: string): string {
  return `no API lists ${via} under \`auth\`, so the grant holds for no caller until one does`
}
