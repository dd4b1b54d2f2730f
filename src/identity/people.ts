/** What of the token service's settings concerns people: how they prove themselves, and how the pages look. */
export interface PeopleSettings {
  /** Where the token service lives, as its tokens say: `https://api.example.com/oauth`. */
  readonly issuer: string
  /** Kinds of second factor that everybody must have, one of them. Empty: who has one is asked for it, nobody must. */
  readonly mfa: readonly FactorKind[]
  readonly theme: ThemeSettings
  /** How long access lasts once given, in milliseconds; told on the consent page. */
  readonly accessTtl: number
  readonly refreshTtl: number
}

export type FactorKind = 'totp' | 'passkey'

export interface ThemeSettings {
  /** Whose service it is, in headings and in authenticator apps. Default: the issuer's host. */
  readonly name?: string | undefined
  /** An image file, svg or png. */
  readonly logo?: string | undefined
  /** Of buttons and links, `#rrggbb`; shades that can be read are derived from it. */
  readonly colour?: string | undefined
}

/** Where a try comes from. */
export interface Whence {
  readonly address: string
  /** A device on which this very account signed in before, as its cookie proves. */
  readonly device?: string | undefined
}

/** Authentication context class: one factor. */
export const acrPassword = 'pwd'
/** Authentication context class: two factors, or a passkey that checked its user. */
export const acrMultiFactor = 'mfa'
export const acrValues: readonly string[] = [acrPassword, acrMultiFactor]

/** The class that methods (RFC 8176) amount to. */
export function acrOf(amr: readonly string[]): string {
  return amr.includes('mfa') ? acrMultiFactor : acrPassword
}

/** Whether one of the asked classes is reached; classes that are not ours ask for nothing that we could do. */
export function satisfies(acr: string | undefined, asked: readonly string[]): boolean {
  const ours = asked.filter((value) => acrValues.includes(value))
  return ours.length === 0 || (acr === acrMultiFactor ? true : acr !== undefined && ours.includes(acr))
}
