import { decodeJwt } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Page, type PeopleBench, startPeople, type Visitor, visitor } from '../../../test/kit/people.ts'
import { silentLogger } from '../../base/log.ts'
import { CountersUnavailable } from '../../store/counters.ts'
import { createMemoryCounters } from '../../store/counters-memory.ts'

const password = 'four green horses walk'
const script = '"><script>alert(1)</script>'

let bench: PeopleBench
let names = 0
let name: string
let networks = 0
let skewMs = 0

beforeAll(async () => {
  bench = await startPeople({
    client: { client_name: `Printer${script}` },
    describeScope: (scope) => `Do ${scope}${script}`,
  })
})
afterAll(() => bench.close())
beforeEach(async () => {
  name = `user${++names}`
  bench.address = `10.0.${++networks}.1`
  await bench.accounts.set(name, password)
})
afterEach(() => {
  bench.advance(-skewMs)
  skewMs = 0
  vi.useRealTimers()
})

async function addTotp(): Promise<string> {
  const offer = await bench.accounts.factors.offerTotp(name)
  expect(await bench.accounts.factors.acceptTotp(name, offer.sealed, bench.codeFor(offer.secret, -1))).toBe(true)
  return offer.secret
}

const start = (one: Visitor, parameters: Readonly<Record<string, string>> = {}) =>
  one.open(bench.authorizeUrl(parameters))

async function toTheEnd(one: Visitor, page: Page): Promise<Page> {
  return page.title.startsWith('Allow') ? one.submit(page, 'consent', { decision: 'allow' }) : page
}

/** What a page says beside the marks that are new each time. */
function plain({ status, headers, text }: Page, typed: string): unknown {
  const told = Object.fromEntries([...headers].filter(([header]) => header !== 'date' && header !== 'content-length'))
  const same = text
    .replace(/\/interaction\/[\w-]{21,}"/g, '/interaction/UID"')
    .replace(/name="csrf" value="[^"]*"/g, 'name="csrf"')
    .replace(/&quot;challenge&quot;:&quot;[^&]*&quot;/g, 'challenge')
    .replaceAll(typed, 'NAME')
  return { status, told, same }
}

describe('guessing', () => {
  test('a name that nobody has is answered to the letter as a wrong password: status, headers and text', async () => {
    await addTotp()
    const answers: unknown[] = []
    for (const typed of [name, 'whois']) {
      const one = visitor()
      const page = await one.submit(await start(one), 'password', { name: typed, password: 'wrong and long enough' })
      expect(page.status).toBe(403)
      answers.push(plain(page, typed))
    }
    expect(answers[1]).toEqual(answers[0])
  })

  test('N8: the sixth wrong password is answered 429 with Retry-After, for unknown names alike', async () => {
    for (const typed of [name, `nobody-${name}`]) {
      bench.address = `10.1.${++networks}.1`
      for (let i = 0; i < 6; i++) {
        const one = visitor()
        const page = await one.submit(await start(one), 'password', { name: typed, password: `wrong ${i}` })
        expect(page.status).toBe(i < 5 ? 403 : 429)
        if (i === 5) {
          expect(Number(page.headers.get('retry-after'))).toBeGreaterThan(60)
          expect(page.text).toContain('Too many wrong tries.')
        }
      }
    }
    expect(bench.events.filter(({ event, subject }) => event === 'account.locked' && subject === name)).toHaveLength(1)
  })

  test('does not lock the owner out of the device that signed in before', async () => {
    const owner = visitor()
    await owner.submit(await start(owner), 'password', { name, password })
    for (let i = 0; i < 70; i++) {
      await bench.accounts.tryPassword(name, `wrong ${i}`, { address: `10.2.${networks}.${i}` })
    }
    const stranger = visitor()
    expect((await stranger.submit(await start(stranger), 'password', { name, password })).status).toBe(429)
    // Signed out of the service, but the device is known.
    for (const key of owner.cookies.keys()) if (key.startsWith('_session')) owner.cookies.delete(key)
    const page = await owner.submit(await start(owner), 'password', { name, password })
    expect(page.title).toMatch(/^Allow/)
  })

  test('one-time codes ends after five, and a used one does not count again', async () => {
    const secret = await addTotp()
    const one = visitor()
    const code = bench.codeFor(secret)
    const page = await one.submit(await start(one), 'password', { name, password })
    expect(page.title).toMatch(/^Confirm that it is you/)
    const consent = await one.submit(page, 'totp', { code })
    expect(consent.title).toMatch(/^Allow/)
    const thief = visitor()
    const again = await thief.submit(await start(thief), 'password', { name, password })
    const refused = await thief.submit(again, 'totp', { code })
    expect(refused.status).toBe(403)
    expect(bench.events.at(-1)).toEqual({
      event: 'account.code-replayed',
      subject: name,
      address: bench.address,
    })
    let last = refused
    for (let i = 0; i < 5; i++) last = await thief.submit(last, 'totp', { code: `00000${i}` })
    expect(last.status).toBe(429)
    expect((await thief.submit(last, 'totp', { code: bench.codeFor(secret, 1) })).status).toBe(429)
    // The owner's own device goes on.
    for (const key of one.cookies.keys()) if (key.startsWith('_session')) one.cookies.delete(key)
    const mine = await one.submit(await start(one), 'password', { name, password })
    expect((await one.submit(mine, 'totp', { code: bench.codeFor(secret, 1) })).title).toMatch(/^Allow/)
  })

  test('user codes of devices is stopped after ten from one network', async () => {
    const one = visitor()
    const url = `${bench.issuer}/device`
    let page = await one.open(url)
    for (let i = 0; i < 11; i++) {
      const xsrf = /name="xsrf" value="([^"]*)"/.exec(page.text)?.[1] ?? ''
      const reply = await one.send(url, { xsrf, user_code: `BCDF-GHJ${'BCDFGHJKLMN'[i]}` })
      expect(reply.status).toBe(i < 10 ? 403 : 429)
      page = await one.open(url)
    }
  })
})

describe('a form from elsewhere', () => {
  test.each([
    ['without the mark', { csrf: '' }, {}],
    ['with a mark that was made up', { csrf: 'A'.repeat(43) }, {}],
    ['from another origin', {}, { origin: 'https://evil.example' }],
    ['from a sandboxed frame', {}, { origin: 'null' }],
    ['that the browser calls cross-site', {}, { 'sec-fetch-site': 'cross-site' }],
    ['from a sibling site', {}, { 'sec-fetch-site': 'same-site' }],
  ])('%s signs nobody in and agrees to nothing', async (_how, fields, headers) => {
    const one = visitor()
    const page = await start(one)
    const csrf = /name="csrf" value="([^"]*)"/.exec(page.text)![1]!
    const reply = await one.send(page.url, { csrf, step: 'password', name, password, ...fields }, headers)
    expect(reply.status).toBe(403)
    const consent = await one.submit(page, 'password', { name, password })
    const mark = /name="csrf" value="([^"]*)"/.exec(consent.text)![1]!
    const agreed = await one.send(consent.url, { csrf: mark, step: 'consent', decision: 'allow', ...fields }, headers)
    expect(agreed.status).toBe(403)
    expect((await one.open(consent.url)).title).toMatch(/^Allow/)
  })

  test("with the mark of the attacker's own sign-in is refused", async () => {
    const attacker = visitor()
    const theirs = await start(attacker)
    const csrf = /name="csrf" value="([^"]*)"/.exec(theirs.text)![1]!
    const victim = visitor()
    const page = await start(victim)
    expect((await victim.send(page.url, { csrf, step: 'password', name, password })).status).toBe(403)
  })

  test('at the account page adds no factor and changes no password', async () => {
    const one = visitor()
    const url = `${bench.issuer}/interaction/account`
    const account = await one.submit(await one.open(url), 'password', { name, password })
    expect(account.title).toMatch(/^Your account/)
    const mark = /name="csrf" value="([^"]*)"/.exec(account.text)![1]!
    const change = { step: 'change-password', current: password, new: 'something new and long' }
    expect((await one.send(url, { ...change, csrf: '' })).status).toBe(403)
    expect((await one.send(url, { ...change, csrf: mark }, { origin: 'https://evil.example' })).status).toBe(403)
    expect((await bench.accounts.tryPassword(name, password, { address: '10.9.9.9' })).kind).toBe('right')
    expect((await one.submit(account, 'change-password', change)).title).toMatch(/^Your account/)
    expect((await bench.accounts.tryPassword(name, 'something new and long', { address: '10.9.9.9' })).kind).toBe(
      'right',
    )
  })
})

describe("somebody else's sign-in", () => {
  test('is not there for a browser without its cookie, nor for one with the cookie of another', async () => {
    const victim = visitor()
    const page = await start(victim)
    const uid = page.url.split('/').at(-1)!
    expect((await visitor().open(page.url)).status).toBe(404)
    const attacker = visitor()
    const own = await start(attacker)
    const cookie = [...attacker.cookies].find(([key]) => key.startsWith('_interaction;'))![1]
    const signature = [...attacker.cookies].find(([key]) => key.startsWith('_interaction.sig;'))![1]
    attacker.cookies.set(`_interaction;${new URL(page.url).pathname}`, { ...cookie, path: new URL(page.url).pathname })
    attacker.cookies.set(`_interaction.sig;${new URL(page.url).pathname}`, {
      ...signature,
      path: new URL(page.url).pathname,
    })
    expect(own.url).not.toContain(uid)
    expect((await attacker.open(page.url)).status).toBe(404)
  })

  test('fixation: what stood in the browser before is worth nothing after signing in', async () => {
    const one = visitor()
    await one.submit(await start(one), 'password', { name, password })
    const before = [...one.cookies].find(([key]) => key.startsWith('_session;'))![1].value
    const again = await start(one, { prompt: 'login' })
    await one.submit(again, 'password', { name, password })
    const after = [...one.cookies].find(([key]) => key.startsWith('_session;'))![1].value
    expect(after).not.toBe(before)
    const thief = visitor()
    for (const [key, cookie] of one.cookies) thief.cookies.set(key, cookie)
    const key = [...one.cookies.keys()].find((found) => found.startsWith('_session;'))!
    thief.cookies.set(key, { value: before, path: '/' })
    expect((await thief.open(bench.authorizeUrl({ prompt: 'none' }))).url).toContain('error=login_required')
  })

  test('fixation: an account page that was prepared by another does not become that of who signs in', async () => {
    const url = `${bench.issuer}/interaction/account`
    const attacker = visitor()
    await attacker.open(url)
    const victim = visitor()
    for (const [key, cookie] of attacker.cookies) victim.cookies.set(key, cookie)
    await victim.submit(await victim.open(url), 'password', { name, password })
    expect((await attacker.open(url)).title).toMatch(/^Sign in/)
  })
})

describe('a step left out', () => {
  test.each(['codes-stored', 'enrol-totp', 'enrol-passkey', 'consent', 'recovery', 'nonsense'])(
    '%s after the password alone does not get past the second factor',
    async (step) => {
      await addTotp()
      const one = visitor()
      const page = await one.submit(await start(one), 'password', { name, password })
      const reply = await one.submit(page, step, { decision: 'allow', code: '123456', credential: '{}' })
      expect(reply.title).toMatch(/^Confirm that it is you/)
      expect((await bench.accounts.factors.list(name)).passkeys).toEqual([])
      expect((await one.open(bench.authorizeUrl({ prompt: 'none' }))).url).toContain('error=login_required')
    },
  )

  test.each(['totp', 'recovery', 'factor-passkey', 'codes-stored', 'consent'])(
    '%s before any password signs nobody in',
    async (step) => {
      const one = visitor()
      const page = await one.submit(await start(one), step, { code: '123456', decision: 'allow', credential: '{}' })
      expect(page.title).toMatch(/^Sign in/)
    },
  )
})

describe('text that is markup', () => {
  test('in the name of a client, a user, a scope or a hint is shown as text', async () => {
    const one = visitor()
    const first = await start(one, { login_hint: script })
    expect(first.text).toContain('value="&quot;&gt;&lt;script&gt;')
    const wrong = await one.submit(first, 'password', { name: `x${script}`, password: 'wrong' })
    const odd = `odd<img src=x onerror=alert(1)>${names}`
    await bench.accounts.set(odd, password)
    const consent = await one.submit(wrong, 'password', { name: odd, password })
    expect(consent.title).toContain('Allow Printer&quot;&gt;&lt;script&gt;')
    for (const page of [first, wrong, consent]) {
      expect(page.text).not.toContain('<script>')
      expect(page.text).not.toContain('<img src=x')
    }
    expect(consent.text).toContain('Do orders:read&quot;&gt;&lt;script&gt;')
    const error = await one.open(`${bench.issuer}/auth?client_id=${encodeURIComponent(script)}`)
    expect(error.status).toBe(400)
    expect(error.text).not.toContain('<script>')
  })
})

describe('every page', () => {
  test('stands in no frame and no cache, runs only its own scripts, and sends forms only home', async () => {
    const one = visitor()
    const pages = [
      await start(one),
      await one.submit(await start(one), 'password', { name, password: 'wrong' }),
      await one.submit(await start(one), 'password', { name, password }),
      await one.open(`${bench.issuer}/interaction/account`),
      await one.open(`${bench.issuer}/interaction/nothing-of-the-kind`),
      await one.open(`${bench.issuer}/device`),
      await one.open(`${bench.issuer}/session/end`),
      await one.open(`${bench.issuer}/auth?client_id=none`),
    ]
    for (const page of pages) {
      const policy = page.headers.get('content-security-policy')
      expect(policy, page.url).toContain("default-src 'none'")
      expect(policy).toContain("script-src 'self'")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).toContain("form-action 'self'")
      expect(policy).not.toContain('unsafe')
      expect(page.headers.get('x-frame-options')).toBe('DENY')
      expect(page.headers.get('cache-control')).toMatch(/no-store/)
      expect(page.headers.get('referrer-policy')).toBe('same-origin')
      expect(page.text).not.toMatch(/ style="| on[a-z]+="/)
    }
  })

  test('cookies are out of reach of scripts, and stay within the service', async () => {
    const first = await fetch(bench.authorizeUrl(), { redirect: 'manual' })
    const lines = first.headers.getSetCookie()
    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines) expect(line.toLowerCase()).toMatch(/httponly.*/)
    const one = visitor()
    await one.submit(await start(one), 'password', { name, password })
    const device = [...one.cookies].find(([key]) => key.startsWith('portcullis-device-'))
    expect(device?.[1].path).toBe('/oauth/interaction')
  })

  test.each([
    ['/oauth/interaction//evil.example', 404],
    ['/oauth/interaction/..%2fauth', 404],
    ['/oauth/interaction/https:evil.example', 404],
    ['/oauth/interaction/assets/..%2f..%2fsecret', 404],
    ['/oauth/interaction/assets/style.css', 404],
    ['/oauth/interaction/account?next=https://evil.example', 200],
  ])('%s leads nowhere else', async (path, status) => {
    const reply = await fetch(new URL(path, bench.issuer), { redirect: 'manual' })
    expect(reply.status).toBe(status)
    expect(reply.headers.get('location')).toBeNull()
    expect(await reply.text()).not.toContain('evil.example')
  })

  test.each([
    ['another method', { method: 'PUT' }, 405],
    ['JSON', { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }, 415],
    ['too much', { method: 'POST', body: new URLSearchParams({ name: 'x'.repeat(70_000) }) }, 413],
    ['a field twice', { method: 'POST', body: new URLSearchParams('step=a&step=b') }, 400],
  ] as const)('%s is refused', async (_what, init, status) => {
    const reply = await fetch(`${bench.issuer}/interaction/account`, init as RequestInit)
    expect(reply.status).toBe(status)
  })
})

describe('a new password', () => {
  test('ends sessions and refresh tokens from before', async () => {
    const one = visitor()
    const page = await toTheEnd(
      one,
      await one.submit(
        await start(one, { scope: 'openid offline_access orders:read', prompt: 'consent' }),
        'password',
        { name, password },
      ),
    )
    const { refresh_token: token } = await bench.redeem(page.url)
    expect(token).toBeTypeOf('string')
    const first = await bench.refresh(token!)
    expect(first.status).toBe(200)
    const next = ((await first.json()) as { refresh_token?: string }).refresh_token ?? token!
    skewMs = 2_000
    bench.advance(skewMs)
    expect(await bench.accounts.changePassword(name, 'something new and long')).toBeUndefined()
    expect((await bench.refresh(next)).status).toBe(400)
    expect((await one.open(bench.authorizeUrl({ prompt: 'none' }))).url).toContain('error=login_required')
    expect((await start(one)).title).toMatch(/^Sign in/)
  })
})

describe('step-up', () => {
  test('N6: acr_values asks who is signed in for the second factor alone, and the token says so', async () => {
    const one = visitor()
    // Signed in before there was a second factor.
    await toTheEnd(one, await one.submit(await start(one), 'password', { name, password }))
    const secret = await addTotp()
    const none = await one.open(bench.authorizeUrl({ acr_values: 'mfa', prompt: 'none' }))
    expect(none.url).toContain('error=unmet_authentication_requirements')
    const asked = await start(one, { acr_values: 'mfa' })
    expect(asked.title).toMatch(/^Confirm that it is you/)
    const done = await toTheEnd(one, await one.submit(asked, 'totp', { code: bench.codeFor(secret) }))
    const tokens = await bench.redeem(done.url)
    expect(decodeJwt(tokens.access_token)).toMatchObject({ sub: name, acr: 'mfa', amr: ['pwd', 'otp', 'mfa'] })
    expect(decodeJwt(tokens.id_token!)).toMatchObject({ acr: 'mfa' })
    // Reached: nothing is asked any more, also not for a lower class.
    expect((await start(one, { acr_values: 'mfa' })).url).toContain('code=')
    expect((await start(one, { acr_values: 'pwd' })).url).toContain('code=')
    expect((await start(one, { acr_values: 'urn:unheard-of' })).url).toContain('code=')
  })

  test('who has no second factor sets one up, and gets recovery codes', async () => {
    const one = visitor()
    await toTheEnd(one, await one.submit(await start(one), 'password', { name, password }))
    const enrol = await start(one, { acr_values: 'mfa' })
    expect(enrol.title).toMatch(/^Set up an authenticator app/)
    const secret = /<span class="secret">([^<]*)</.exec(enrol.text)![1]!.replaceAll(' ', '')
    const wrong = await one.submit(enrol, 'enrol-totp', { code: '000000' })
    expect(wrong.status).toBe(403)
    expect(wrong.text).toContain(secret.slice(0, 4))
    const codes = await one.submit(wrong, 'enrol-totp', { code: bench.codeFor(secret) })
    expect(codes.title).toMatch(/^Store your recovery codes/)
    const done = await toTheEnd(one, await one.submit(codes, 'codes-stored'))
    expect(decodeJwt((await bench.redeem(done.url)).access_token)).toMatchObject({ acr: 'mfa' })
    const [code] = /<li>([a-z2-9-]{29})</.exec(codes.text)!.slice(1)
    const lost = visitor()
    const confirm = await lost.submit(await start(lost), 'password', { name, password })
    const back = await lost.submit(confirm, 'recovery', { code: code! })
    expect(back.title).toMatch(/^Allow/)
    const thief = visitor()
    const again = await thief.submit(await start(thief), 'password', { name, password })
    expect((await thief.submit(again, 'recovery', { code: code! })).status).toBe(403)
  })

  test('max_age asks for the password again when the sign-in is older', async () => {
    const one = visitor()
    await toTheEnd(one, await one.submit(await start(one), 'password', { name, password }))
    expect((await start(one, { max_age: '60' })).url).toContain('code=')
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 })
    const asked = await start(one, { max_age: '60' })
    expect(asked.title).toMatch(/^Sign in/)
    const done = await toTheEnd(one, await one.submit(asked, 'password', { name, password }))
    const { auth_time: at } = decodeJwt((await bench.redeem(done.url)).access_token)
    expect(at).toBeGreaterThanOrEqual(Math.floor(Date.now() / 1_000) - 5)
  })
})

describe('where a second factor is required', () => {
  let strict: PeopleBench
  beforeAll(async () => {
    strict = await startPeople({ settings: { mfa: ['totp'] } })
    await strict.accounts.set('eve', password)
  })
  afterAll(() => strict.close())

  test('nobody gets in without one: it is set up first', async () => {
    const one = visitor()
    const enrol = await one.submit(await one.open(strict.authorizeUrl()), 'password', { name: 'eve', password })
    expect(enrol.title).toMatch(/^Set up an authenticator app/)
    expect(enrol.text).not.toContain('Use a passkey instead')
    expect((await one.submit(enrol, 'codes-stored')).title).toMatch(/^Set up an authenticator app/)
    const secret = /<span class="secret">([^<]*)</.exec(enrol.text)![1]!.replaceAll(' ', '')
    const codes = await one.submit(enrol, 'enrol-totp', { code: strict.codeFor(secret) })
    const consent = await one.submit(codes, 'codes-stored')
    const done = await one.submit(consent, 'consent', { decision: 'allow' })
    expect(decodeJwt((await strict.redeem(done.url)).access_token)).toMatchObject({ acr: 'mfa' })
    // A short password is enough beside a second factor (NIST SP 800-63B-4, 3.1.1.2).
    expect(await strict.accounts.changePassword('eve', 'eight ch')).toBeUndefined()
  })
})

test('while tries cannot be counted nobody is let in, right or wrong', async () => {
  const told: unknown[] = []
  const broken = await startPeople({
    log: { ...silentLogger, error: (message, fields) => void told.push([message, fields]) },
    counters: { ...createMemoryCounters(), take: () => Promise.reject(new CountersUnavailable('down')) },
  })
  await broken.accounts.set('anna', password)
  const one = visitor()
  const page = await one.open(broken.authorizeUrl())
  for (const given of [password, 'wrong']) {
    const reply = await one.submit(page, 'password', { name: 'anna', password: given })
    expect(reply.status).toBe(503)
    expect(reply.headers.get('retry-after')).toBe('5')
    expect(reply.text).toContain('Signing in does not work right now.')
  }
  // The operator learns why, and not who or with what.
  expect(told).toEqual(Array(2).fill(['A page of sign-in could not be made.', { error: 'down' }]))
  await broken.close()
})
