import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { guarded, makeDocument, makeExchange } from '../../test/kit/calls.ts'
import type { Principal } from '../gate/principal.ts'
import { encodeValue, identityHeaders } from './identity-headers.ts'

const document = makeDocument({}, [{ security: [] }])
const principal: Principal = {
  subject: 'zoë smith',
  kind: 'bearer',
  via: 'main',
  application: 'web',
  scopes: new Set(['orders:read', 'orders:write']),
  roles: new Set(['big boss', 'staff']),
  claims: {},
}

async function headersFor(caller: Principal | undefined, options?: unknown) {
  const gate = await guarded({ guards: [identityHeaders], document, options: { identityHeaders: options } })
  const exchange = makeExchange(document.operations[0]!)
  exchange.principal = caller
  expect(gate.callNow(exchange)).toBeUndefined()
  const { upstreamHeaders: flat } = exchange
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]]] : [])))
}

describe('identity headers', () => {
  test('tell the upstream who calls', async () => {
    expect(await headersFor(principal)).toEqual({
      'Portcullis-Request-Id': expect.stringMatching(/^req_/),
      'Portcullis-Subject': 'zo%C3%AB%20smith',
      'Portcullis-Scopes': 'orders:read orders:write',
      'Portcullis-Roles': 'big%20boss staff',
      'Portcullis-Application': 'web',
      'Portcullis-Credential': 'main',
    })
  })

  test('say nothing of a caller who is not known', async () => {
    expect(Object.keys(await headersFor(undefined))).toEqual(['Portcullis-Request-Id'])
  })

  test('are only those that are asked for', async () => {
    expect(Object.keys(await headersFor(principal, { send: ['subject'] }))).toEqual(['Portcullis-Subject'])
  })

  test('of the caller are stripped in any spelling an upstream might read, and nothing else is', async () => {
    const compile = await identityHeaders.setup(identityHeaders.options.parse(undefined), {} as never, undefined)
    const { keepRequestHeader } = compile(document.operations[0]!)!
    for (const name of ['portcullis-subject', 'portcullis_subject', 'portcullis-anything', 'portcullis.subject']) {
      expect(keepRequestHeader!(name), name).toBe(false)
    }
    for (const name of ['x-portcullis', 'accept', 'portcullisx']) expect(keepRequestHeader!(name), name).toBe(true)
  })

  test('carry any text as printable ASCII without spaces, from which it can be read back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 50 }), (text) => {
        const value = encodeValue(text)
        expect(value).toMatch(/^[\x21-\x7e]*$/)
        expect(decodeURIComponent(value)).toBe(text.toWellFormed())
      }),
    )
    expect(encodeValue('a\r\nPortcullis-Roles: admin')).toBe('a%0D%0APortcullis-Roles:%20admin')
    expect(encodeValue('100%')).toBe('100%25')
  })
})
