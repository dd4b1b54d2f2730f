import type Provider from 'oidc-provider'
import type { PeopleSettings } from '../people.ts'

type Details = Awaited<ReturnType<Provider['interactionDetails']>>

export interface ConsentTextOptions {
  readonly describeScope: (scope: string) => string | undefined
  readonly settings: Pick<PeopleSettings, 'accessTtl' | 'refreshTtl'>
  /** Whether the application may renew its access without the person. */
  readonly canRenew: boolean
}

/** What the standards' own scopes mean (OpenID Connect Core, 5.4 and 11). */
const ownScopes: Readonly<Record<string, string>> = {
  openid: 'Know that it is you, by your user name',
  profile: 'See your profile',
  email: 'See your e-mail address',
  phone: 'See your telephone number',
  address: 'See your postal address',
  offline_access: 'Keep this access while you are away',
}

/** What an application asks for, in words: what it wants to do, for how long, and where it takes you. */
export function consentText({ prompt, params }: Details, { describeScope, settings, canRenew }: ConsentTextOptions) {
  const details = prompt.details as {
    missingOIDCScope?: readonly string[]
    missingResourceScopes?: Readonly<Record<string, readonly string[]>>
  }
  const oidc = details.missingOIDCScope ?? []
  const resources = Object.entries(details.missingResourceScopes ?? {})
  const scopes = [
    ...oidc.map((name) => ({ name, text: ownScopes[name] ?? describeScope(name) ?? name })),
    ...resources.flatMap(([resource, names]) =>
      names.map((name) => ({ name, text: describeScope(name) ?? name, resource })),
    ),
  ]
  return {
    scopes,
    duration: canRenew
      ? `Until it is ended; by itself it ends after ${spoken(settings.refreshTtl)} without use`
      : `${spoken(settings.accessTtl)} at a time; for more it must bring you here again`,
    goesTo: placeOf(params.redirect_uri),
  }
}

/** The site that comes next, as a person can judge it; of an app on this device nothing can be said. */
function placeOf(redirect: unknown): string | undefined {
  const url = typeof redirect === 'string' ? URL.parse(redirect) : null
  if (url === null) return undefined
  return url.protocol === 'https:' || url.protocol === 'http:' ? url.host : 'an app on this device'
}

const units = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const

function spoken(ms: number): string {
  const [unit, size] = units.find(([, length]) => ms >= length && ms % length === 0) ?? ['second', 1_000]
  const count = Math.round(ms / size)
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
