import { object, z } from '../config/language.ts'
import type { Guard } from '../gate/guard.ts'
import type { Principal } from '../gate/principal.ts'

const names = ['subject', 'scopes', 'roles', 'application', 'credential', 'request-id'] as const

const identityHeadersShape = object({
  send: z
    .array(z.enum(names))
    .default([...names])
    .describe(
      'What the upstream is told of the caller, as `Portcullis-Subject` and so on. `credential` is the entry of `auth` that vouched. Values are percent-encoded UTF-8; scopes and roles are separated by spaces.',
    ),
}).prefault({})

type IdentityHeadersOptions = z.output<typeof identityHeadersShape>

/** Tells the upstream who calls, in headers that nobody but the gate can set. */
export const identityHeaders: Guard<IdentityHeadersOptions> = {
  name: 'identityHeaders',
  stage: 'shape',
  options: identityHeadersShape,
  // There is no way to switch it off: then a caller could say who he is.
  mode: () => 'enforce',
  setup({ send }) {
    const sendsId = send.includes('request-id')
    const told = names.filter((name) => name !== 'request-id').filter((name) => send.includes(name))
    const headersOf = new WeakMap<Principal, readonly string[]>()
    return (operation) => {
      if (operation.kind !== 'listed') return undefined
      return {
        // Also in other spellings: CGI and its heirs read `Portcullis_Subject` as the same variable.
        keepRequestHeader: (name) => !/^portcullis[^a-z]/.test(name),
        requestHead(exchange) {
          if (sendsId) exchange.setUpstreamHeader('Portcullis-Request-Id', exchange.id)
          const { principal } = exchange
          if (principal === undefined || told.length === 0) return undefined
          let headers = headersOf.get(principal)
          if (headers === undefined) {
            headers = told.flatMap((name) => headerOf(name, principal))
            headersOf.set(principal, headers)
          }
          for (let i = 0; i < headers.length; i += 2) exchange.setUpstreamHeader(headers[i]!, headers[i + 1]!)
          return undefined
        },
      }
    }
  },
}

function headerOf(name: Exclude<(typeof names)[number], 'request-id'>, principal: Principal): readonly string[] {
  switch (name) {
    case 'subject':
      return ['Portcullis-Subject', encodeValue(principal.subject)]
    case 'scopes':
      return listed('Portcullis-Scopes', principal.scopes)
    case 'roles':
      return listed('Portcullis-Roles', principal.roles)
    case 'application':
      return principal.application === undefined ? [] : ['Portcullis-Application', encodeValue(principal.application)]
    case 'credential':
      return ['Portcullis-Credential', encodeValue(principal.via)]
  }
}

function listed(name: string, words: ReadonlySet<string>): readonly string[] {
  return words.size === 0 ? [] : [name, [...words].map(encodeValue).join(' ')]
}

/**
 * A value as a header can carry it: printable ASCII stands for itself, everything else, `%` and the space included, is
 * percent-encoded UTF-8 (as in RFC 8187, 3.2.1, without the prefix). `decodeURIComponent` gives back what was meant.
 */
export function encodeValue(value: string): string {
  return /^[\x21-\x24\x26-\x7e]*$/.test(value)
    ? value
    : value.toWellFormed().replace(/[^\x21-\x24\x26-\x7e]+/g, (part) => encodeURIComponent(part))
}
