import { describe, expect, test } from 'vitest'
import { guarded, makeDocument, testClock } from '../../../test/kit/calls.ts'
import { makePrincipal } from '../../../test/kit/guard.ts'
import { audience, startIssuer } from '../../../test/kit/issuer.ts'
import type { Denial } from '../../gate/verdict.ts'
import { auth } from '../auth.ts'
import { security } from '../security.ts'
import { authPlanOf } from './plan.ts'
import { meetsStepUp, stepUpDenial, stepUpShape } from './step-up.ts'

const at = 1_700_000_000_000
const now = at / 1000

describe('N6: step-up (RFC 9470)', () => {
  test.each([
    [{ acr: ['mfa'] }, { acr: 'mfa' }, true],
    [{ acr: ['phr', 'mfa'] }, { acr: 'mfa' }, true],
    [{ acr: ['mfa'] }, { acr: 'pwd' }, false],
    [{ acr: ['mfa'] }, { acr: ['mfa'] }, false],
    [{ acr: ['mfa'] }, {}, false],
    [{ maxAgeSeconds: 300 }, { auth_time: now - 300 }, true],
    [{ maxAgeSeconds: 300 }, { auth_time: now - 301 }, false],
    [{ maxAgeSeconds: 300 }, { auth_time: now + 60 }, true],
    [{ maxAgeSeconds: 300 }, { auth_time: now + 61 }, false],
    [{ maxAgeSeconds: 300 }, { auth_time: Number.NaN }, false],
    [{ maxAgeSeconds: 300 }, { auth_time: String(now) }, false],
    [{ maxAgeSeconds: 300 }, {}, false],
    [{ acr: ['mfa'], maxAgeSeconds: 300 }, { acr: 'mfa', auth_time: now }, true],
    [{ acr: ['mfa'], maxAgeSeconds: 300 }, { acr: 'mfa', auth_time: now - 301 }, false],
  ])('needs %j, claims %j: %j', (needs, claims, expected) => {
    expect(meetsStepUp(makePrincipal('alice', { claims }), needs, at)).toBe(expected)
  })

  test.each([
    [[{ match: '*' }], /neither .+acr.+ nor .+maxAge/],
    [[{ match: 'tag', acr: 'mfa' }], /cannot read the selector/],
    [[{ match: '*', acr: [] }], /./],
  ])('an entry that asks for nothing, or for nobody, is refused at load: %j', (entries, message) => {
    expect(() => stepUpShape.parse(entries)).toThrow(message)
  })

  test('every entry that matches must be met; public operations ask nothing, optional ones ask for a caller', async () => {
    const clock = testClock()
    const issuer = await startIssuer({ now: clock })
    const document = makeDocument({ token: { type: 'http', httpScheme: 'bearer' } }, [
      { id: 'both', path: '/both', security: [{ token: [] }] },
      { id: 'one', path: '/one', security: [{ token: [] }] },
      { id: 'open', path: '/open', security: [] },
      { id: 'optional', path: '/optional', security: [{}, { token: [] }] },
    ])
    const gate = await guarded({
      guards: [auth, security],
      document,
      root: { issuers: { main: { issuer: issuer.url, audience } } },
      options: {
        auth: {
          methods: ['main'],
          stepUp: [
            { match: '*', acr: 'mfa' },
            { match: '/both', maxAge: '1m' },
          ],
        },
      },
      host: { now: clock },
    })
    const token = await issuer.token({ acr: 'mfa', auth_time: Math.floor(clock() / 1000) - 61 })
    const call = async (operation: string, headers = {}) => {
      const { verdict } = await gate.call({ operation, headers })
      return (verdict as Denial | undefined)?.code
    }
    const headers = { authorization: `Bearer ${token}` }
    expect(await call('both', headers)).toBe('auth.insufficient_user_authentication')
    expect(await call('one', headers)).toBeUndefined()
    expect(await call('open')).toBeUndefined()
    expect(await call('optional')).toBe('security.credential-missing')
    expect(await call('optional', headers)).toBeUndefined()
    await gate.close()
    await issuer.stop()
  })

  const parameters =
    'realm="test", error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="mfa"'
  const algorithms = 'algs="ES256 ES384 EdDSA Ed25519 PS256 RS256"'
  test.each([
    ['allowed', ['main'], `Bearer ${parameters}`],
    ['required', ['main'], `DPoP ${parameters}, ${algorithms}`],
    ['required', ['main', 'plain'], `DPoP ${parameters}, ${algorithms}, Bearer ${parameters}`],
    ['required', ['session'], `Bearer ${parameters}`],
  ])('DPoP %s, %j: asks for another token in the scheme that it is taken in', async (dpop, methods, expected) => {
    const document = makeDocument({ token: { type: 'http', httpScheme: 'bearer' } }, [
      { id: 'one', path: '/one', security: [{ token: [] }] },
    ])
    const issuers = {
      main: { issuer: 'https://main.example', audience, dpop },
      plain: { issuer: 'https://plain.example', audience },
    }
    const options = { auth: { methods, stepUp: [{ match: '*', acr: 'mfa' }] } }
    const gate = await guarded({ guards: [auth], document, root: { issuers }, options })
    const operation = document.operations.find(({ id }) => id === 'one')!
    const check = authPlanOf(operation)!.stepUp!
    expect(check(makePrincipal('alice'), at)?.headers?.['WWW-Authenticate']).toBe(expected)
    expect(stepUpDenial(operation, { acr: ['mfa'] }).headers?.['WWW-Authenticate']).toBe(expected)
    await gate.close()
  })
})
