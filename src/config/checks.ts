import { ConfigError, type ErrorCode, type Place } from '../base/errors.ts'
import { parseIpRange } from '../base/ip.ts'
import type { ListenSettings, Settings, TlsSettings } from './settings.ts'

type PlaceOf = (path: readonly (string | number)[]) => Place | undefined

/** What no schema can say: how the parts of a configuration go together. Adds to `errors` and `warnings`. */
export function checkSettings(
  settings: Settings,
  placeOf: PlaceOf,
  errors: ConfigError[],
  warnings: ConfigError[],
): void {
  const complain = adder(errors, placeOf)
  checkListeners(settings.listen, placeOf, errors, warnings)
  settings.trustedProxies.forEach((range, index) => {
    try {
      parseIpRange(range)
    } catch (error) {
      const { code, message } = error as ConfigError
      complain(code, `trustedProxies[${index}]: ${message}`, ['trustedProxies', index])
    }
  })
  // The stores are opened by others, and only on a start; `check` must not say of a file that it holds when it cannot.
  // A placeholder that could not be filled in has been told of, and what stands in its place is no news.
  const told = new Set(errors.map(({ place }) => place && `${place.file}:${place.line}:${place.column}`))
  const isNews = (key: 'store' | 'counters') => {
    const place = placeOf([key, 'url'])
    return place === undefined || !told.has(`${place.file}:${place.line}:${place.column}`)
  }
  const { url: store } = settings.store
  if (isNews('store') && !/^(sqlite:.|postgres(ql)?:\/\/)/.test(store)) {
    const hint = /^rediss?:/.test(store)
      ? 'Redis counts: counters: { url: … }; keys and users are kept by sqlite:FILE or postgres://…'
      : 'sqlite:FILE, sqlite::memory: or postgres://user:password@host/database'
    complain('P1040', 'store.url names no store that is known', ['store', 'url'], hint)
  }
  const { url: counters } = settings.counters
  if (isNews('counters') && !/^(memory$|rediss?:\/\/)/.test(counters)) {
    const hint = 'memory, or redis://user:password@host:6379/0'
    complain('P1041', 'counters.url names no counters that are known', ['counters', 'url'], hint)
  }
  const oidc = settings.admin?.auth.oidc
  const issuers = Object.keys(settings.issuers ?? {})
  const isThere =
    oidc === 'tokenService' && !issuers.includes(oidc) ? settings.tokenService !== undefined : issuers.includes(oidc!)
  if (oidc !== undefined && !isThere) {
    const there = [...issuers, ...(settings.tokenService === undefined ? [] : ['tokenService'])].join(', ')
    complain(
      'P1408',
      `admin.auth.oidc: "${oidc}" is none of \`issuers\``,
      ['admin', 'auth', 'oidc'],
      `there are ${there || 'none'}`,
    )
  }
  if (Object.keys(settings.apis).length === 0) {
    const hint = 'shop: { openapi: ./openapi.yaml, upstream: http://localhost:3000 }'
    complain('P1026', 'no API is configured', ['apis'], hint)
  }
}

/** A gate that forwards needs to know where to. */
export function checkUpstreams({ apis }: Settings, placeOf: PlaceOf, errors: ConfigError[]): void {
  const complain = adder(errors, placeOf)
  for (const [name, api] of Object.entries(apis)) {
    if (api.upstream !== undefined) continue
    const versions = Object.entries(api.versions ?? {})
    if (versions.length === 0) {
      complain('P1024', `missing key "upstream" in apis.${name}`, ['apis', name], 'upstream: http://localhost:3000')
    }
    for (const [version, { upstream }] of versions) {
      if (upstream !== undefined) continue
      complain('P1024', `version ${version} of ${name} has no upstream`, ['apis', name, 'versions', version])
    }
  }
}

/** What no schema can say of the listeners: that nothing speaks plain HTTP to the network by accident. */
export function checkListeners(
  listen: readonly ListenSettings[],
  placeOf: PlaceOf,
  errors: ConfigError[],
  warnings: ConfigError[],
): void {
  const complain = adder(errors, placeOf)
  const warn = adder(warnings, placeOf)
  listen.forEach((listener, index) => {
    checkListener(listener, ['listen', index], complain, warn)
    const twin = listen.findIndex(({ port, host }) => port !== 0 && port === listener.port && host === listener.host)
    if (twin < index && twin !== -1) {
      const message = `listen[${twin}] and listen[${index}] want the same port ${listener.port}`
      complain('P1023', message, ['listen', index, 'port'])
    }
  })
}

type Complain = (code: ErrorCode, message: string, path: readonly (string | number)[], hint?: string) => void

function adder(to: ConfigError[], placeOf: PlaceOf): Complain {
  return (code, message, path, hint) => {
    const place = placeOf(path)
    to.push(new ConfigError(code, message, { ...(place && { place }), ...(hint !== undefined && { hint }) }))
  }
}

function checkListener(
  listener: ListenSettings,
  path: readonly (string | number)[],
  complain: Complain,
  warn: Complain,
): void {
  const { tls, host, redirect, behindTlsTerminator } = listener
  const label = `listen[${path[1]}]`
  if (redirect !== undefined) {
    if (tls !== undefined && tls !== 'off') {
      complain(
        'P1022',
        `${label} redirects to https, so it has no TLS of its own`,
        [...path, 'tls'],
        'remove "tls" or "redirect"',
      )
    }
    return
  }
  if (tls === undefined) {
    const hint = 'tls: { certificate: ./cert.pem, key: ./key.pem }, or acme, development, or redirect: https'
    complain('P1021', `${label} does not say how it speaks TLS`, path, hint)
  } else if (tls === 'off') {
    if (isLoopback(host) || behindTlsTerminator) return
    const hint = 'credentials would be readable on the way; host: 127.0.0.1, or behindTlsTerminator: true'
    complain('P1020', `${label} would speak plain HTTP on ${host}`, [...path, 'tls'], hint)
  } else if (tls === 'development') {
    if (isLoopback(host)) return
    const hint = 'no client trusts it unless told to'
    warn('P1022', `${label} shows a development certificate on ${host}`, [...path, 'tls'], hint)
  } else checkTls(tls, label, [...path, 'tls'], complain)
}

function checkTls(tls: TlsSettings, label: string, path: readonly (string | number)[], complain: Complain): void {
  const sources = ['certificate', 'certificates', 'acme'].filter((key) => tls[key as keyof TlsSettings] !== undefined)
  if (sources.length === 0) {
    complain('P1022', `${label} has no certificate`, path, 'certificate and key, certificates, or acme')
  }
  if (sources.includes('acme') && sources.length > 1) {
    complain('P1022', `${label} has two sources of certificates: ${sources.join(' and ')}`, path, 'keep one of them')
  }
  if ((tls.certificate === undefined) !== (tls.key === undefined)) {
    const [there, missing] = tls.key === undefined ? ['certificate', 'key'] : ['key', 'certificate']
    complain('P1022', `${label} has a ${there} without its ${missing}`, [...path, there!], `add "${missing}"`)
  }
  if (tls.clientCa === undefined && tls.clientCertificate === 'require') {
    const hint = 'clientCa: ./clients-ca.pem'
    complain(
      'P1022',
      `${label} requires client certificates and trusts no authority`,
      [...path, 'clientCertificate'],
      hint,
    )
  }
  if (tls.clientCa === undefined && tls.clientCrl !== undefined) {
    complain(
      'P1022',
      `${label} has a revocation list and no authority`,
      [...path, 'clientCrl'],
      'clientCa: ./clients-ca.pem',
    )
  }
}

/** Whether what is sent to a host never leaves the machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}
