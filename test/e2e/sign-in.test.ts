import { createHash } from 'node:crypto'
import { decodeJwt } from 'jose'
import { TOTP } from 'otpauth'
import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../kit/gate.ts'
import { type PeopleBench, startPeople } from '../kit/people.ts'
import { callback, startTokenGate, userPassword } from '../kit/token-gate.ts'
import { services } from '../services.ts'

const password = 'four green horses walk'
const skip = await services.missing('chromium')

describe.skipIf(skip)('sign-in in a browser', () => {
  let browser: Browser
  let bench: PeopleBench
  let context: BrowserContext
  let page: Page
  let names = 0
  let name: string
  /** What the browser refused to load or run, and scripts that broke. */
  let complaints: string[]

  beforeAll(async () => {
    browser = await services.chromium()
    bench = await startPeople({
      describeScope: (scope) => (scope === 'orders:read' ? 'Read your orders' : undefined),
      settings: { theme: { name: 'Example shop', colour: '#ffd400' } },
    })
  })
  afterAll(async () => {
    await browser?.close()
    await bench?.close()
  })
  beforeEach(async () => {
    name = `user${++names}`
    bench.address = `10.0.${names}.1`
    await bench.accounts.set(name, password)
    context = await browser.newContext()
    page = await context.newPage()
    complaints = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => {
      if (/Content Security Policy|Refused/.test(message.text())) complaints.push(message.text())
    })
  })
  afterEach(async () => {
    await context.close()
    expect(complaints).toEqual([])
  })

  const press = (text: string) => page.getByRole('button', { name: text, exact: true }).click()
  const heading = () => page.locator('h1').textContent()

  async function givePassword(): Promise<void> {
    await page.getByLabel('User name').fill(name)
    await page.getByLabel('Password', { exact: true }).fill(password)
    await press('Sign in')
    // Not the page between, which goes on by itself.
    await page.getByRole('heading', { name: /^(Allow|Confirm|Your account)/ }).waitFor()
  }

  /** A platform authenticator that says yes. */
  async function authenticator(): Promise<CDPSession> {
    const session = await context.newCDPSession(page)
    await session.send('WebAuthn.enable')
    await session.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    })
    return session
  }

  async function addPasskey(): Promise<void> {
    await page.goto(`${bench.issuer}/interaction/account`)
    await givePassword()
    await page.getByRole('link', { name: 'Add a passkey' }).click()
    await page.getByLabel('A name for it').fill('Laptop')
    await press('Create a passkey')
    await page.getByRole('heading', { name: 'Store your recovery codes' }).waitFor()
    await press('I have stored them')
    await page.getByText('passkey since').waitFor()
  }

  test('password and consent lead back to the application', async () => {
    await page.goto(bench.authorizeUrl())
    expect(await page.title()).toBe('Sign in · Example shop')
    await givePassword()
    expect(await heading()).toBe('Allow Photo printer?')
    expect(await page.locator('ul.scopes').textContent()).toContain('Read your orders')
    expect(await page.locator('dl').textContent()).toContain('after 30 days without use')
    await press('Allow')
    await page.waitForURL(/\/callback\?code=/)
    expect(decodeJwt((await bench.redeem(page.url())).access_token)).toMatchObject({ sub: name, acr: 'pwd' })
  })

  test('who does not allow it, or cancels, goes back with access_denied', async () => {
    await page.goto(bench.authorizeUrl())
    await press('Cancel')
    await page.waitForURL(/\/callback\?error=access_denied/)
    await page.goto(bench.authorizeUrl())
    await givePassword()
    await press('Do not allow')
    await page.waitForURL(/\/callback\?error=access_denied/)
  })

  test('a passkey alone signs in, as two factors', async () => {
    await authenticator()
    await addPasskey()
    await page.goto(bench.authorizeUrl())
    await press('Sign in with a passkey')
    await page.getByRole('heading', { name: 'Allow Photo printer?' }).waitFor()
    await press('Allow')
    await page.waitForURL(/\/callback\?code=/)
    const claims = decodeJwt((await bench.redeem(page.url())).access_token)
    expect(claims).toMatchObject({ sub: name, acr: 'mfa' })
    expect(claims.amr).toEqual(expect.arrayContaining(['user', 'mfa']))
    expect(claims.amr).not.toContain('pwd')
  })

  test('a passkey stands beside a password; what it signed once is worth nothing again', async () => {
    await authenticator()
    await addPasskey()
    await page.goto(bench.authorizeUrl())
    await givePassword()
    expect(await heading()).toBe('Confirm that it is you')
    const sent: string[] = []
    page.on('request', (request) => {
      const body = request.postData()
      if (body?.includes('step=factor-passkey')) sent.push(body)
    })
    await press('Use your passkey')
    await page.getByRole('heading', { name: 'Allow Photo printer?' }).waitFor()
    const [body] = sent as [string]
    const credential = new URLSearchParams(body).get('credential')!
    expect(JSON.parse(credential)).toHaveProperty('response.signature')

    // Another browser, with the password and what was signed.
    const thief = await browser.newContext()
    const there = await thief.newPage()
    await there.goto(bench.authorizeUrl())
    await there.getByLabel('User name').fill(name)
    await there.getByLabel('Password', { exact: true }).fill(password)
    await there.getByRole('button', { name: 'Sign in', exact: true }).click()
    await there.evaluate((text) => {
      const form = (globalThis as unknown as PageGlobals).document.querySelector('form[data-passkey]')
      form.elements.credential.value = text
      form.submit()
    }, credential)
    await there.getByRole('alert').waitFor()
    expect(await there.getByRole('alert').textContent()).toContain('could not be accepted')
    await thief.close()
  })

  test('an authenticator app is set up, asked for, and replaced by a recovery code when it is lost', async () => {
    await page.goto(`${bench.issuer}/interaction/account`)
    await givePassword()
    await page.getByRole('link', { name: 'Set up an app' }).click()
    expect(await page.getByRole('img', { name: 'QR code of the key below' }).isVisible()).toBe(true)
    const secret = (await page.locator('.secret').textContent())!.replaceAll(' ', '')
    await page.getByLabel('Code that the app shows').fill(bench.codeFor(secret))
    await press('Set up')
    const codes = await page.locator('ol.codes li').allTextContents()
    expect(codes).toHaveLength(10)
    await press('I have stored them')

    await page.goto(bench.authorizeUrl())
    await givePassword()
    await page.getByLabel('Code from your authenticator app').fill(bench.codeFor(secret, 1))
    await press('Confirm')
    await page.getByRole('heading', { name: 'Allow Photo printer?' }).waitFor()

    await context.clearCookies()
    await page.goto(bench.authorizeUrl())
    await givePassword()
    await page.getByRole('link', { name: 'Use a recovery code' }).click()
    await page.getByLabel('Recovery code').fill(codes[0]!)
    await press('Confirm')
    await page.getByRole('heading', { name: 'Allow Photo printer?' }).waitFor()
    expect((await bench.accounts.factors.list(name)).recoveryCodesLeft).toBe(9)
  })

  test('a device is connected by its code, or refused', async () => {
    const ask = async () => {
      const reply = await fetch(`${bench.issuer}/device/auth`, {
        method: 'POST',
        headers: { authorization: bench.clientAuthorization },
        body: new URLSearchParams({ scope: 'openid orders:read' }),
      })
      return (await reply.json()) as { user_code: string; device_code: string }
    }
    const poll = async (code: string) => {
      const reply = await fetch(`${bench.issuer}/token`, {
        method: 'POST',
        headers: { authorization: bench.clientAuthorization },
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
          device_code: code,
        }),
      })
      return (await reply.json()) as { access_token?: string; error?: string }
    }
    const first = await ask()
    await page.goto(`${bench.issuer}/device`)
    await page.getByLabel('Code').fill('BCDF-GHJK')
    await press('Continue')
    expect(await page.getByRole('alert').textContent()).toContain('There is no device')
    await page.getByLabel('Code').fill(first.user_code)
    await press('Continue')
    expect(await heading()).toBe('Is this your device?')
    expect(await page.locator('.user-code').textContent()).toBe(first.user_code)
    await press('Yes, continue')
    await givePassword()
    await press('Allow')
    await page.getByRole('heading', { name: 'Connected' }).waitFor()
    expect(decodeJwt((await poll(first.device_code)).access_token!)).toMatchObject({ sub: name, acr: 'pwd' })

    const second = await ask()
    await page.goto(`${bench.issuer}/device`)
    await page.getByLabel('Code').fill(second.user_code)
    await press('Continue')
    await press('No')
    await page.getByRole('heading', { name: 'Not connected' }).waitFor()
    expect((await poll(second.device_code)).error).toBe('access_denied')
  })

  test('somebody else may sign in on the same browser, and takes over nothing', async () => {
    await page.goto(bench.authorizeUrl())
    await givePassword()
    await press('Allow')
    await page.waitForURL(/\/callback\?code=/)
    const first = name
    name = `${first}-guest`
    await bench.accounts.set(name, password)
    await page.goto(bench.authorizeUrl({ prompt: 'login' }))
    expect(await page.getByLabel('User name').inputValue()).toBe(first)
    await givePassword()
    expect(await page.locator('.lead').textContent()).toContain(name)
    await press('Allow')
    await page.waitForURL(/\/callback\?code=/)
    expect(decodeJwt((await bench.redeem(page.url())).access_token).sub).toBe(name)
  })

  test("the link of a device that holds its code still asks whether it is one's own", async () => {
    const reply = await fetch(`${bench.issuer}/device/auth`, {
      method: 'POST',
      headers: { authorization: bench.clientAuthorization },
      body: new URLSearchParams({ scope: 'openid orders:read' }),
    })
    const { verification_uri_complete: link } = (await reply.json()) as { verification_uri_complete: string }
    await page.goto(link)
    await page.getByRole('heading', { name: 'Is this your device?' }).waitFor()
  })

  test('signing out takes a click, and shows where one stands', async () => {
    await page.goto(bench.authorizeUrl())
    await givePassword()
    await page.goto(`${bench.issuer}/session/end`)
    await press('Sign out')
    await page.getByRole('heading', { name: 'Signed out' }).waitFor()
    await page.goto(bench.authorizeUrl())
    expect(await heading()).toBe('Sign in')
  })

  test('the keyboard is enough: from the name to the application', async () => {
    await page.goto(bench.authorizeUrl())
    const focused = () =>
      page.evaluate(() => {
        const { activeElement } = (globalThis as unknown as PageGlobals).document
        return activeElement.name || activeElement.textContent.trim()
      })
    expect(await focused()).toBe('name')
    await page.keyboard.type(name)
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('password')
    await page.keyboard.type(password)
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('remember')
    await page.keyboard.press('Space')
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('Sign in')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Allow Photo printer?' }).waitFor()
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('decision')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/callback\?code=/)
    const session = (await context.cookies(bench.issuer)).find((cookie) => cookie.name === '_session')
    // "Keep me signed in": it outlives the browser.
    expect(session?.expires).toBeGreaterThan(Date.now() / 1_000)
  })

  test('without JavaScript a password and a code are enough', async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false })
    const there = await plain.newPage()
    const offer = await bench.accounts.factors.offerTotp(name)
    await bench.accounts.factors.acceptTotp(name, offer.sealed, bench.codeFor(offer.secret, -1))
    await there.goto(bench.authorizeUrl())
    expect(await there.getByRole('button', { name: 'Sign in with a passkey' }).isVisible()).toBe(false)
    await there.getByLabel('User name').fill(name)
    await there.getByLabel('Password', { exact: true }).fill(password)
    await there.getByRole('button', { name: 'Sign in', exact: true }).click()
    await there.getByLabel('Code from your authenticator app').fill(bench.codeFor(offer.secret))
    await there.getByRole('button', { name: 'Confirm', exact: true }).click()
    await there.getByRole('button', { name: 'Allow', exact: true }).click()
    await there.waitForURL(/\/callback\?code=/)
    await plain.close()
  })

  test.each(['light', 'dark'] as const)(
    'in the %s scheme, on a small screen, every field has its label, all text can be read, and nothing sticks out',
    async (colorScheme) => {
      await context.close()
      context = await browser.newContext({ colorScheme, viewport: { width: 320, height: 640 } })
      page = await context.newPage()
      const look = async () => {
        const found = await page.evaluate(faults)
        expect(found, `${await page.title()} ${page.url()}`).toEqual([])
      }
      await page.goto(bench.authorizeUrl())
      await look()
      await page.getByLabel('User name').fill(name)
      await page.getByLabel('Password', { exact: true }).fill('wrong')
      await press('Sign in')
      await page.getByRole('alert').waitFor()
      await look()
      await givePassword()
      await look()
      await page.goto(`${bench.issuer}/interaction/account`)
      await givePassword()
      await look()
      await page.goto(`${bench.issuer}/interaction/account?enrol=passkey`)
      await look()
      await page.goto(`${bench.issuer}/interaction/account?enrol=totp`)
      await look()
      const secret = (await page.locator('.secret').textContent())!.replaceAll(' ', '')
      await page.getByLabel('Code that the app shows').fill(bench.codeFor(secret))
      await press('Set up')
      await page.getByRole('heading', { name: 'Store your recovery codes' }).waitFor()
      await look()
      await context.clearCookies()
      await page.goto(bench.authorizeUrl())
      await givePassword()
      await look()
      await page.getByRole('link', { name: 'Use a recovery code' }).click()
      await look()
      for (const path of ['/device', '/session/end', '/auth?client_id=none', '/interaction/nothing-here']) {
        await page.goto(bench.issuer + path)
        await look()
      }
    },
  )
})

describe.skipIf(skip)('at a gate over TLS', () => {
  test('sign-in, an enforced second factor and consent work in a browser, with cookies for this service alone', async () => {
    const port = await freePort()
    const issuer = `https://localhost:${port}/oauth`
    const gate = await startTokenGate({
      root: { listen: [{ port, host: '127.0.0.1', tls: 'development' }] },
      tokenService: {
        issuer,
        mfa: ['totp', 'passkey'],
        theme: { name: 'Example shop', colour: '#0a7d5a' },
        scopes: { 'orders:read': 'Read your orders' },
      },
    })
    const browser = await services.chromium()
    try {
      const context = await browser.newContext({ ignoreHTTPSErrors: true })
      const page = await context.newPage()
      const complaints: string[] = []
      page.on('console', (message) => {
        if (/Content Security Policy|Refused/.test(message.text())) complaints.push(message.text())
      })
      const url = new URL(`${issuer}/auth`)
      url.search = new URLSearchParams({
        client_id: 'app',
        response_type: 'code',
        scope: 'openid orders:read',
        redirect_uri: callback,
        code_challenge: createHash('sha256').update('x'.repeat(43)).digest('base64url'),
        code_challenge_method: 'S256',
      }).toString()
      await page.goto(url.href)
      const styles = await page.evaluate(() => {
        const world = globalThis as unknown as { document: { styleSheets: { length: number } } }
        return world.document.styleSheets.length
      })
      expect(styles).toBe(1)
      await page.getByLabel('User name').fill('anna')
      await page.getByLabel('Password', { exact: true }).fill(userPassword)
      await page.getByRole('button', { name: 'Sign in', exact: true }).click()
      await page.getByRole('heading', { name: 'Set up an authenticator app' }).waitFor()
      const secret = (await page.locator('.secret').textContent())!.replaceAll(' ', '')
      await page.getByLabel('Code that the app shows').fill(new TOTP({ secret }).generate())
      await page.getByRole('button', { name: 'Set up', exact: true }).click()
      await page.getByRole('button', { name: 'I have stored them' }).click()
      await page.getByRole('heading', { name: 'Allow Photo printer?' }).waitFor()
      expect(await page.locator('ul.scopes').textContent()).toContain('Read your orders')
      const cookies = await context.cookies(`${issuer}/interaction/account`)
      const device = cookies.find((cookie) => cookie.name.startsWith('__Secure-portcullis-device-'))
      expect(device).toMatchObject({ httpOnly: true, secure: true, sameSite: 'Lax', path: '/oauth/interaction' })
      expect(cookies.every((cookie) => cookie.httpOnly && cookie.secure)).toBe(true)
      // Nobody listens at the application: where the browser goes is all there is to see.
      const [request] = await Promise.all([
        page.waitForRequest((sent) => sent.url().startsWith(callback)),
        page.getByRole('button', { name: 'Allow', exact: true }).click(),
      ])
      expect(new URL(request.url()).searchParams.get('code')).not.toBeNull()
      expect(complaints).toEqual([])
    } finally {
      await browser.close()
      await gate.stop()
    }
  })
})

/** What of the browser's world these tests touch; its types are not part of this project. */
interface PageGlobals {
  readonly document: {
    querySelector(selector: string): { elements: { credential: { value: string } }; submit(): void }
    readonly activeElement: { readonly name?: string; readonly textContent: string }
  }
}

/**
 * Runs in the page: what a person with another device, eyes or ears would stumble over (WCAG 2.2: 1.1.1, 1.3.1, 1.4.3,
 * 1.4.10, 2.4.2, 2.5.8, 3.1.1, 4.1.2).
 */
function faults(): string[] {
  // biome-ignore lint/suspicious/noExplicitAny: the browser's own types are not part of this project.
  const world = globalThis as any
  const { document } = world
  const found: string[] = []
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  const all = (selector: string): any[] => Array.from(document.querySelectorAll(selector))
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  const isShown = (element: any) => element.getClientRects().length > 0
  if (document.documentElement.lang !== 'en') found.push('no language')
  if (document.title === '') found.push('no title')
  if (all('h1').length !== 1) found.push('not one h1')
  if (all('main').length !== 1) found.push('not one main')
  if (document.documentElement.scrollWidth > world.innerWidth) found.push('it sticks out sideways')
  const ids = all('[id]').map((element) => element.id)
  if (new Set(ids).size !== ids.length) found.push('an id twice')
  for (const input of all('input:not([type=hidden])').filter(isShown)) {
    if (input.labels.length !== 1) found.push(`no label: ${input.name}`)
    const described = input.getAttribute('aria-describedby')
    if (described !== null && document.getElementById(described) === null)
      found.push(`described by nothing: ${input.name}`)
  }
  for (const control of all('button, a[href]:not(p a)').filter(isShown)) {
    if ((control.getAttribute('aria-label') ?? control.textContent).trim() === '') found.push('a button without a name')
    if (control.getBoundingClientRect().height < 24) found.push(`too small to hit: ${control.textContent}`)
  }
  for (const image of all('img')) if (!image.hasAttribute('alt')) found.push('an image without alt')
  const channels = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number)
  const luminance = (colour: number[]) => {
    const [red, green, blue] = colour.map((part) =>
      part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4,
    ) as [number, number, number]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const texts = all('h1, h2, p, label, button, a, li, dt, dd, small, code, span, strong, td')
  for (const element of texts.filter((one) => isShown(one) && one.textContent.trim() !== '')) {
    let ground = element
    while (ground !== null && (channels(world.getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0)
      ground = ground.parentElement
    const back = luminance(channels(world.getComputedStyle(ground ?? document.body).backgroundColor).slice(0, 3))
    const front = luminance(channels(world.getComputedStyle(element).color).slice(0, 3))
    const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05)
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${element.textContent.trim().slice(0, 30)}`)
  }
  return found
}
