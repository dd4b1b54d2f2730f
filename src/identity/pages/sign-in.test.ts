import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Page, type PeopleBench, startPeople, type Visitor, visitor } from '../../../test/kit/people.ts'

const password = 'four green horses walk'

/** Signs in with a password and agrees; gives the place the browser is sent to. */
async function signIn(
  bench: PeopleBench,
  one: Visitor,
  name: string,
  parameters: Readonly<Record<string, string>> = {},
  secret?: string,
): Promise<Page> {
  let page = await one.open(bench.authorizeUrl(parameters))
  if (page.title.startsWith('Sign in')) page = await one.submit(page, 'password', { name, password })
  if (page.title.startsWith('Confirm')) {
    page = await one.submit(page, 'totp', { code: bench.codeFor(secret!) })
  }
  if (page.title.startsWith('Allow')) page = await one.submit(page, 'consent', { decision: 'allow' })
  return page
}

describe('signing in', () => {
  let bench: PeopleBench
  beforeAll(async () => {
    bench = await startPeople()
    await bench.accounts.set('anna', password)
  })
  afterAll(() => bench.close())

  test('a name and a password, then consent, lead back to the application with a code', async () => {
    const one = visitor()
    const first = await one.open(bench.authorizeUrl({ state: 'x1' }))
    expect([first.status, first.title]).toEqual([200, 'Sign in · Example shop'])
    const consent = await one.submit(first, 'password', { name: 'anna', password })
    expect(consent.title).toBe('Allow Photo printer? · Example shop')
    const done = await one.submit(consent, 'consent', { decision: 'allow' })
    expect(done.url).toMatch(/\/callback\?code=[^&]+&state=x1/)
    const tokens = await bench.redeem(done.url)
    const claims = decodeJwt(tokens.access_token)
    expect(claims).toMatchObject({ sub: 'anna', acr: 'pwd', amr: ['pwd'], scope: 'orders:read' })
    expect(claims.auth_time).toBeTypeOf('number')
    // Signed in already, and agreed already: nothing is asked.
    expect((await one.open(bench.authorizeUrl())).url).toContain('/callback?code=')
  })

  test('who does not agree goes back with access_denied', async () => {
    const one = visitor()
    const consent = await one.submit(await one.open(bench.authorizeUrl()), 'password', { name: 'anna', password })
    const done = await one.submit(consent, 'consent', { decision: 'deny' })
    expect(new URL(done.url).searchParams.get('error')).toBe('access_denied')
  })

  test('a name and a password, one-time codes, and the token says so', async () => {
    await bench.accounts.set('tom', password)
    const offer = await bench.accounts.factors.offerTotp('tom')
    expect(await bench.accounts.factors.acceptTotp('tom', offer.sealed, bench.codeFor(offer.secret, -1))).toBe(true)
    const done = await signIn(bench, visitor(), 'tom', {}, offer.secret)
    expect(decodeJwt((await bench.redeem(done.url)).access_token)).toMatchObject({
      acr: 'mfa',
      amr: ['pwd', 'otp', 'mfa'],
    })
  })
})

test('consent tells for how long: an application that cannot renew has the access it gets and no more', async () => {
  const bench = await startPeople({
    client: { grant_types: ['authorization_code'] },
    settings: { accessTtl: 3_600_000 },
  })
  await bench.accounts.set('anna', password)
  const one = visitor()
  const consent = await one.submit(await one.open(bench.authorizeUrl()), 'password', { name: 'anna', password })
  expect(consent.text).toContain('1 hour at a time; for more it must bring you here again')
  const done = await one.submit(consent, 'consent', { decision: 'allow' })
  expect((await bench.redeem(done.url)).refresh_token).toBeUndefined()
  await bench.close()
})
