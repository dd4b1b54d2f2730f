import { ConfigError } from '../base/errors.ts'
import type { ListenSettings } from '../config/settings.ts'
import type { TokenServiceSettings } from '../config/token-service.ts'

/** The settings of a service that knows its own name. */
export type ServiceSettings = TokenServiceSettings & { readonly issuer: string }

const defaultPath = '/oauth'

/**
 * Fills in the name of the service: what the configuration says, else the first listener that has a name of its own.
 * Throws `ConfigError` where none can be made up: a name that changes ends every token.
 */
export function withIssuer(settings: TokenServiceSettings, listen: readonly ListenSettings[]): ServiceSettings {
  const issuer = settings.issuer ?? defaultIssuer(listen)
  if (issuer === undefined) {
    throw new ConfigError('P1060', 'the token service needs a name: tokenService.issuer', {
      hint: 'tokenService: { issuer: https://api.example.com/oauth }',
    })
  }
  const { protocol, hostname, pathname } = new URL(issuer)
  if (protocol !== 'https:' && !isLoopbackName(hostname)) {
    throw new ConfigError('P1060', `tokenService.issuer: ${issuer} is not https`, {
      hint: 'codes and tokens would be read on the way; plain http is for loopback only',
    })
  }
  if (pathname === '/' && !listen.some(({ serves }) => serves === 'tokenService')) {
    throw new ConfigError('P1060', `tokenService.issuer: ${issuer} has no path, and would take the place of the APIs`, {
      hint: 'put it below a path, as in https://api.example.com/oauth, or on a listener of its own: listen: [{ port: 9444, serves: tokenService }]',
    })
  }
  if (settings.profile === 'fapi2' && settings.signing === 'RS256') {
    throw new ConfigError('P1062', 'tokenService.signing: RS256 is not for the profile fapi2', {
      hint: 'ES256, PS256 or EdDSA (FAPI 2.0 Security Profile, 5.4.1)',
    })
  }
  return { ...settings, issuer }
}

function defaultIssuer(listen: readonly ListenSettings[]): string | undefined {
  for (const { port, host, tls, redirect, serves } of listen) {
    if (redirect !== undefined || port === 0 || serves === 'apis') continue
    const domain = typeof tls === 'object' ? tls.acme?.domains[0] : undefined
    const name = domain ?? (isLoopbackName(host) ? 'localhost' : undefined)
    if (name === undefined) continue
    const scheme = tls === 'off' ? 'http' : 'https'
    // The port that the scheme means is not written, or the name would have two forms.
    return new URL(`${scheme}://${name}:${port}${defaultPath}`).href
  }
  return undefined
}

function isLoopbackName(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/.test(host)
}
