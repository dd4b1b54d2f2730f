import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { TOTP } from 'otpauth'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommand, until } from '../kit/gate.ts'
import { type Page, type Visitor, visitor } from '../kit/people.ts'
import { basic, callback, ordersDocument, startTokenGate, type TokenGate, userPassword } from '../kit/token-gate.ts'
import { services } from '../services.ts'

const skip = (await services.missing('postgres')) || (await services.missing('redis'))

interface World {
  readonly root: object
  readonly close: () => Promise<unknown>
}

const worlds: readonly (readonly [string, string | false, () => Promise<World>])[] = [
  ['SQLite and memory', false, async () => ({ root: {}, close: async () => {} })],
  [
    'PostgreSQL and Redis',
    skip,
    async () => {
      const [postgres, redis] = [await services.postgres(), await services.redis()]
      const sealWith = randomBytes(32).toString('base64')
      return {
        root: { store: { url: postgres.url }, counters: { url: redis.url }, secrets: { sealWith } },
        close: () => Promise.all([postgres.close(), redis.close()]),
      }
    },
  ],
]

const api = { auth: { stepUp: [{ match: 'op:createOrder', acr: 'mfa' }] } }
const document = {
  ...ordersDocument,
  paths: {
    '/orders': {
      get: ordersDocument.paths['/orders'].get,
      post: { operationId: 'createOrder', responses: { 200: { description: 'Made.' } } },
    },
  },
}

describe.each(worlds.filter(([, missing]) => missing === false))('people at two gates on %s', (_name, _skip, make) => {
  let world: World
  let first: TokenGate
  let second: TokenGate

  beforeAll(async () => {
    world = await make()
    first = await startTokenGate({ document, api, root: world.root })
    const beside = { store: { url: `sqlite:${first.dir}/state.db` }, stateDir: `${first.dir}/.portcullis` }
    second = await startTokenGate({ document, api, beside: first, root: { ...beside, ...world.root } })
  })
  afterAll(async () => {
    await second?.stop()
    await first?.stop()
    await world?.close()
  })

  const command = (...words: string[]) =>
    runCommand(words, { ...process.env, NO_COLOR: '1' }, first.dir).then((done) => {
      if (done.code === 2) throw new Error(done.stderr)
      return done
    })
  const config = () => ['--config', join(first.dir, 'portcullis.yaml')]

  async function passwordFor(words: readonly string[], password: string): Promise<number> {
    const bin = new URL('../../bin/portcullis.js', import.meta.url).pathname
    return new Promise((resolve) => {
      const child = execFile(process.execPath, [bin, ...words, '--password-stdin', ...config()], (error) =>
        resolve(error === null ? 0 : Number(error.code)),
      )
      child.stdin!.end(`${password}\n`)
    })
  }

  /** An access token for what an application asks, through the pages. */
  async function tokenFor(one: Visitor, more: Readonly<Record<string, string>>, steps: (page: Page) => Promise<Page>) {
    const verifier = randomBytes(32).toString('base64url')
    const url = new URL(`${first.issuer}/auth`)
    url.search = new URLSearchParams({
      client_id: 'app',
      response_type: 'code',
      scope: 'openid orders:read',
      redirect_uri: callback,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...more,
    }).toString()
    let page = await steps(await one.open(url.href))
    if (page.title.startsWith('Allow')) page = await one.submit(page, 'consent', { decision: 'allow' })
    const code = new URL(page.url).searchParams.get('code')
    if (code === null) throw new Error(`no code: ${page.status} ${page.title} ${page.url}`)
    const fields = { grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier }
    const { body } = await first.post('/oauth/token', fields, basic('app'))
    return body.access_token as string
  }

  const order = (gate: TokenGate, token: string) =>
    gate.fetch('/orders', { method: 'POST', headers: { authorization: `Bearer ${token}` } })

  test('N6: an operation that needs two factors is refused until the one-time code is shown, and passes then', async () => {
    expect(await passwordFor(['user', 'add', 'mia'], 'seven quiet rivers')).toBe(0)
    const made = await command('user', 'totp', 'mia', '--json', ...config())
    const { secret } = JSON.parse(made.stdout) as { secret: string }
    const code = () => new TOTP({ secret }).generate()
    const one = visitor()
    const password = (page: Page) => one.submit(page, 'password', { name: 'anna', password: userPassword })
    // Anna has no second factor, and is asked for none.
    const weak = await tokenFor(one, {}, password)
    expect(await first.call(weak)).toBe(200)
    const refused = await order(first, weak)
    expect(refused.status).toBe(401)
    expect(refused.headers.get('www-authenticate')).toMatch(
      /error="insufficient_user_authentication".*acr_values="mfa"/,
    )
    // Mia has one: it is asked for, and both gates take what comes of it.
    const other = visitor()
    const strong = await tokenFor(other, { acr_values: 'mfa' }, async (page) => {
      const confirm = await other.submit(page, 'password', { name: 'mia', password: 'seven quiet rivers' })
      expect(confirm.title).toMatch(/^Confirm that it is you/)
      return other.submit(confirm, 'totp', { code: code() })
    })
    expect((await order(first, strong)).status).toBe(200)
    expect((await order(second, strong)).status).toBe(200)
  })

  test('N8: six wrong passwords at two gates are counted together; the event is in the log, others go on', async () => {
    const wrong = async (gate: TokenGate, name: string, password: string) => {
      const one = visitor()
      const url = `http://localhost:${gate.port}/oauth/interaction/account`
      const csrf = /name="csrf" value="([^"]*)"/.exec((await one.open(url)).text)![1]!
      return one.send(url, { csrf, step: 'password', name, password }, { origin: new URL(first.issuer).origin })
    }
    expect(await passwordFor(['user', 'add', 'lea'], 'seven quiet rivers')).toBe(0)
    for (let i = 0; i < 5; i++) expect((await wrong(i % 2 ? first : second, 'lea', `wrong ${i}`)).status).toBe(403)
    // Memory counts for one process; these two gates share only what the configuration shares.
    const isShared = 'counters' in world.root
    const sixth = [(await wrong(first, 'lea', 'wrong')).status, (await wrong(second, 'lea', 'wrong')).status]
    expect(sixth).toEqual(isShared ? [429, 429] : [403, 403])
    if (!isShared) return
    const locked = await until(async () => {
      const lines = [...(await first.lines()), ...(await second.lines())]
      return lines.find((line) => line.event === 'account.locked')
    }, 'the event in the log')
    expect(locked).toMatchObject({ subject: 'lea', detail: { by: 'password', budget: 'pair' } })
    expect((await wrong(first, 'anna', userPassword)).title).toMatch(/^Your account/)
    expect((await command('user', 'unlock', 'lea', ...config())).code).toBe(0)
    expect((await wrong(second, 'lea', 'seven quiet rivers')).title).toMatch(/^Your account/)
  })

  test('a new password by command ends tokens at both gates within a second', async () => {
    expect(await passwordFor(['user', 'add', 'tim'], 'seven quiet rivers')).toBe(0)
    const one = visitor()
    const token = await tokenFor(one, {}, (page) =>
      one.submit(page, 'password', { name: 'tim', password: 'seven quiet rivers' }),
    )
    expect([await first.call(token), await second.call(token)]).toEqual([200, 200])
    expect(await passwordFor(['user', 'passwd', 'tim'], 'too short')).toBe(2)
    expect([await first.call(token), await second.call(token)]).toEqual([200, 200])
    expect(await passwordFor(['user', 'passwd', 'tim'], 'eight loud rivers')).toBe(0)
    await until(async () => ((await first.call(token)) === 401 ? true : undefined), 'a refusal at the first gate')
    await until(async () => ((await second.call(token)) === 401 ? true : undefined), 'a refusal at the second gate')
  })

  test('keys rotate signing tells when the new key begins to sign', async () => {
    const before = Date.now()
    const { stdout } = await command('keys', 'rotate', 'signing', ...config())
    const from = /^signing {2}\S+ {2}signs from (\S+)$/m.exec(stdout)?.[1]
    expect(Date.parse(from ?? '')).toBeGreaterThan(before)
  })

  test('codes and apps are made and taken away by command, and shown once', async () => {
    expect(await passwordFor(['user', 'add', 'eli'], 'seven quiet rivers')).toBe(0)
    const { codes } = JSON.parse((await command('user', 'recovery', 'eli', '--json', ...config())).stdout)
    expect(codes).toHaveLength(10)
    expect((await command('user', 'totp', 'eli', ...config())).stdout).toMatch(/^key {2}[A-Z2-7]{32}\nuri {2}otpauth:/)
    const passkeys = await command('user', 'passkeys', 'eli', '--json', ...config())
    expect(JSON.parse(passkeys.stdout)).toEqual([])
    expect((await command('user', 'totp', 'eli', '--remove', ...config())).code).toBe(0)
    expect((await command('user', 'totp', 'eli', '--remove', ...config())).code).toBe(1)
    expect((await command('user', 'totp', 'nobody', ...config())).code).toBe(1)
    expect((await command('user', 'remove', 'eli', ...config())).code).toBe(0)
    expect((await command('user', 'recovery', 'eli', ...config())).code).toBe(1)
  })
})
