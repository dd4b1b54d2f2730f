import { hash } from 'node:crypto'
import { TOTP } from 'otpauth'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Change, type TestPasskey, testPasskey } from '../../test/kit/passkey.ts'
import { cheap } from '../../test/kit/people.ts'
import { type Service, services } from '../../test/services.ts'
import type { SecurityEvent } from '../base/events.ts'
import { silentLogger } from '../base/log.ts'
import type { Counters } from '../store/counters.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import { openCounters, openStore } from '../store/open.ts'
import { createSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { openKeyRing, passingKey } from '../vault/index.ts'
import { type Accounts, createAccounts, type Tried } from './accounts.ts'
import { budgets } from './lockout.ts'

const password = 'four green horses walk'
const issuer = 'https://id.example.com/oauth'
const log = silentLogger

interface Backend {
  /** Another handle on the same state, as another gate has it. */
  open(): Promise<{ store: Store; counters: Counters }>
  close(): Promise<void>
}

function embedded(): Backend {
  const store = createSqliteStore({ file: ':memory:', log })
  const counters = createMemoryCounters()
  return {
    open: async () => ({ store, counters }),
    async close() {
      await counters.close()
      await store.close()
    },
  }
}

async function servers(): Promise<Backend> {
  const running: Service[] = await Promise.all([services.postgres(), services.redis()])
  const [postgres, redis] = running as [Service, Service]
  const opened: { store: Store; counters: Counters }[] = []
  return {
    async open() {
      const handles = {
        store: await openStore(postgres.url, { log }),
        counters: await openCounters(redis.url, { log }),
      }
      opened.push(handles)
      return handles
    },
    async close() {
      for (const { store, counters } of opened) await Promise.all([store.close(), counters.close()])
      await Promise.all(running.map((service) => service.close()))
    },
  }
}

const skip = (await services.missing('postgres')) || (await services.missing('redis'))

describe.each([
  ['SQLite and memory', false, async () => embedded()],
  ['PostgreSQL and Redis', skip, servers],
] as const)('accounts on %s, of two gates', (_name, isSkipped, start) => {
  let backend: Backend
  let store: Store
  let one: Accounts
  let other: Accounts
  let events: SecurityEvent[]
  let names = 0
  let name: string
  /** So many networks that tests do not meet. */
  let networks = 0
  const network = () => {
    networks++
    return `10.${networks >> 16}.${(networks >> 8) & 255}.${networks & 255}`
  }

  beforeAll(async () => {
    if (isSkipped !== false) return
    backend = await start()
    const master = passingKey()
    const gates: Accounts[] = []
    for (let i = 0; i < 2; i++) {
      const { store: own, counters } = await backend.open()
      store = own
      const ring = await openKeyRing({ store: own, master, now: Date.now, log })
      gates.push(
        createAccounts({
          store: own,
          counters,
          vault: async () => ring,
          now: Date.now,
          tell: (event) => void events.push(event),
          settings: { issuer, mfa: [], theme: {} },
          cost: cheap,
        }),
      )
    }
    one = gates[0]!
    other = gates[1]!
  })
  afterAll(async () => {
    one?.close()
    other?.close()
    await backend?.close()
  })
  beforeEach(async () => {
    events = []
    if (isSkipped !== false) return
    name = `user ${++names}`
    await one.set(name, password)
  })

  const kinds = (tried: readonly Tried[]) => tried.map(({ kind }) => kind)

  describe.skipIf(isSkipped)('a password', () => {
    test('N8: five may be wrong; the sixth is told to wait, the event says who, and nobody else notices', async () => {
      const from = { address: network() }
      const tried: Tried[] = []
      for (let i = 0; i < 5; i++) tried.push(await one.tryPassword(name, `wrong ${i}`, from))
      expect(kinds(tried)).toEqual(['wrong', 'wrong', 'wrong', 'wrong', 'wrong'])
      expect(events).toEqual([
        { event: 'account.locked', subject: name, address: from.address, detail: { by: 'password', budget: 'pair' } },
      ])
      const sixth = await one.tryPassword(name, 'wrong 6', from)
      expect(sixth).toMatchObject({ kind: 'locked' })
      expect((sixth as { retryAfterMs: number }).retryAfterMs).toBeGreaterThan(60_000)
      expect((sixth as { retryAfterMs: number }).retryAfterMs).toBeLessThanOrEqual(180_000)
      // Nor does it tell which guess was right.
      expect((await one.tryPassword(name, password, from)).kind).toBe('locked')
      await one.set(`${name} beside`, password)
      expect((await one.tryPassword(`${name} beside`, password, from)).kind).toBe('right')
      expect((await one.tryPassword(name, password, { address: network() })).kind).toBe('right')
    })

    test('is counted by both gates together', async () => {
      const from = { address: network() }
      for (let i = 0; i < 3; i++) expect((await one.tryPassword(name, 'wrong', from)).kind).toBe('wrong')
      for (let i = 0; i < 2; i++) expect((await other.tryPassword(name, 'wrong', from)).kind).toBe('wrong')
      expect((await one.tryPassword(name, 'wrong', from)).kind).toBe('locked')
      expect((await other.tryPassword(name, password, from)).kind).toBe('locked')
    })

    test('of twenty guesses at one moment no more than five are looked at', async () => {
      const from = { address: network() }
      const guesses = Array.from({ length: 20 }, (_, i) =>
        one.tryPassword(name, i === 19 ? password : `guess ${i}`, from),
      )
      const found = kinds(await Promise.all(guesses))
      expect(found.filter((kind) => kind === 'wrong')).toHaveLength(5)
      expect(found.filter((kind) => kind === 'right')).toHaveLength(0)
    })

    test('tried with many names from one network is stopped there and nowhere else', async () => {
      const from = { address: network() }
      const { count } = budgets.password.network
      for (let i = 0; i < count; i++) {
        expect((await one.tryPassword(`nobody ${name} ${i}`, 'leaked', from)).kind).toBe('wrong')
      }
      expect((await other.tryPassword(name, password, from)).kind).toBe('locked')
      expect((await other.tryPassword(name, password, { address: network() })).kind).toBe('right')
      expect(events.at(-1)).toEqual({ event: 'sign-in.flood', address: from.address, detail: { budget: 'network' } })
    })

    test('guessed from many networks locks out strangers, and never a device that signed in before', async () => {
      const device = await one.devices.read(await one.devices.mint(name), name)
      expect(device).toBeTypeOf('string')
      const { count } = budgets.password.name
      for (let i = 0; i < count; i++) await one.tryPassword(name, `wrong ${i}`, { address: network() })
      expect((await other.tryPassword(name, password, { address: network() })).kind).toBe('locked')
      const known = { address: network(), device }
      expect((await other.tryPassword(name, password, known)).kind).toBe('right')
      // What is known has a budget, too: a stolen cookie is no licence to guess.
      for (let i = 0; i < 5; i++) expect((await one.tryPassword(name, 'wrong', known)).kind).toBe('wrong')
      expect((await other.tryPassword(name, password, known)).kind).toBe('locked')
    })

    test('of a name that nobody has is counted and answered as any other, and its name is told nobody', async () => {
      const from = { address: network() }
      const typed = `s3cret typed as a name ${name}`
      for (let i = 0; i < 5; i++) expect(await one.tryPassword(typed, 'x', from)).toEqual({ kind: 'wrong' })
      expect((await one.tryPassword(typed, 'x', from)).kind).toBe('locked')
      expect(events.map(({ event }) => event)).toEqual(['account.locked'])
      expect(JSON.stringify(events)).not.toContain('s3cret')
    })

    test('unlock gives the tries back', async () => {
      const from = { address: network() }
      for (let i = 0; i < 5; i++) await one.tryPassword(name, 'wrong', from)
      expect((await one.tryPassword(name, password, from)).kind).toBe('locked')
      await other.unlock(name)
      expect((await one.tryPassword(name, password, from)).kind).toBe('right')
    })

    test.each([
      ['short', 'fourteen chars', 'a password has 15 to 1024 characters'],
      [
        'one character over and over',
        'aaaaaaaaaaaaaaaa',
        'this password is one character, or one row of them, over and over',
      ],
      ['a row of keys', 'qwertyuiopasdfgh', 'this password is one character, or one row of them, over and over'],
      ['one that leaked', 'correcthorsebatterystaple', 'this password is one of the first that guessers try'],
      ['the service', 'id.example.com!1', 'this password is little more than the name of the user or of the service'],
    ])('that is %s is not taken', async (_what, fresh, why) => {
      expect(await one.changePassword(name, fresh)).toBe(why)
      expect((await one.tryPassword(name, password, { address: network() })).kind).toBe('right')
    })

    test('that is changed ends what was signed in before, on every gate', async () => {
      const before = Math.floor(Date.now() / 1_000) - 10
      const ended: string[] = []
      one.onEnd((who) => void ended.push(who))
      expect(await one.changePassword(name, 'fifteen is enough')).toBeUndefined()
      expect(await other.stillStands(name, before)).toBe(false)
      expect(await other.stillStands(name, Math.floor(Date.now() / 1_000))).toBe(true)
      expect(ended).toEqual([name])
      expect((await other.tryPassword(name, password, { address: network() })).kind).toBe('wrong')
      expect((await other.tryPassword(name, 'fifteen is enough', { address: network() })).kind).toBe('right')
    })
  })

  describe.skipIf(isSkipped)('a known device', () => {
    test('is known for its account only, and no forged cookie makes one', async () => {
      const cookie = await one.devices.mint(name)
      expect(await other.devices.read(cookie, name)).toBe(cookie.split('.')[0])
      expect(await other.devices.read(cookie, `${name}x`)).toBeUndefined()
      const [id, end, mac] = cookie.split('.') as [string, string, string]
      for (const forged of [
        `${id}.${end}0.${mac}`,
        `${id.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}.${end}.${mac}`,
        `${id}.${end}.${'A'.repeat(43)}`,
        `${id}.${end}`,
        '',
        undefined,
      ]) {
        expect(await one.devices.read(forged, name)).toBeUndefined()
      }
    })
  })

  describe.skipIf(isSkipped)('a one-time code', () => {
    let secret: string
    const codeAt = (steps: number) => new TOTP({ secret }).generate({ timestamp: Date.now() + steps * 30_000 })
    beforeEach(async () => {
      const offer = await one.factors.offerTotp(name)
      secret = offer.secret
      expect(await one.factors.acceptTotp(name, offer.sealed, codeAt(-1))).toBe(true)
    })

    test('counts once, also when both gates see it at the same moment', async () => {
      const from = { address: network() }
      const code = codeAt(0)
      const found = await Promise.all([one.tryTotp(name, code, from), other.tryTotp(name, code, from)])
      expect(kinds(found).sort()).toEqual(['right', 'wrong'])
      expect((await other.tryTotp(name, code, from)).kind).toBe('wrong')
      expect(events.filter(({ event }) => event === 'account.code-replayed').length).toBeGreaterThanOrEqual(1)
    })

    test('counts for the step before and after, and no farther; an older one never after a newer one', async () => {
      const from = { address: network() }
      expect((await one.tryTotp(name, codeAt(3), from)).kind).toBe('wrong')
      expect((await one.tryTotp(name, codeAt(1), from)).kind).toBe('right')
      expect((await one.tryTotp(name, codeAt(0), from)).kind).toBe('wrong')
    })

    test('five may be wrong, from wherever: then the right one is refused, too, but for a known device', async () => {
      for (let i = 0; i < 5; i++) {
        const wrong = String((Number(codeAt(0)) + 17 * (i + 1)) % 1_000_000).padStart(6, '0')
        expect((await one.tryTotp(name, wrong, { address: network() })).kind).toBe('wrong')
      }
      expect((await other.tryTotp(name, codeAt(0), { address: network() })).kind).toBe('locked')
      expect(events.at(-1)).toMatchObject({ event: 'account.locked', subject: name, detail: { by: 'code' } })
      const device = await one.devices.read(await one.devices.mint(name), name)
      expect((await other.tryTotp(name, codeAt(1), { address: network(), device })).kind).toBe('right')
    })

    test('no more are looked at than may be wrong when many come at the same moment, each from elsewhere', async () => {
      const guesses = Array.from({ length: 15 }, (_, i) =>
        String((Number(codeAt(0)) + 17 * (i + 1)) % 1_000_000).padStart(6, '0'),
      )
      const found = await Promise.all(guesses.map((guess) => one.tryTotp(name, guess, { address: network() })))
      expect(kinds(found).filter((kind) => kind === 'wrong')).toHaveLength(budgets.code.name.count)
      expect(kinds(found).filter((kind) => kind === 'locked')).toHaveLength(10)
    })

    test.each(['', '12345', '1234567', 'abcdef', '１２３４５６', '000000\n'])('is six digits, not %j', async (code) => {
      expect((await one.factors.checkTotp(name, code)) === 'right').toBe(false)
    })

    test('has its secret sealed: nobody reads it in the store, nor moves it to another account', async () => {
      const key = `factor/${hash('sha256', name, 'base64url')}/totp`
      const value = await store.get(key)
      expect(value).toBeDefined()
      expect(JSON.stringify(value)).not.toContain(secret)
      expect(JSON.stringify(value)).not.toContain(new TOTP({ secret }).secret.hex)
      await one.set(`${name} thief`, password)
      await store.put(`factor/${hash('sha256', `${name} thief`, 'base64url')}/totp`, value!)
      await expect(one.factors.checkTotp(`${name} thief`, codeAt(1))).rejects.toThrow('cannot be opened')
    })
  })

  describe.skipIf(isSkipped)('a recovery code', () => {
    test('works once, however it is typed, and for its owner alone', async () => {
      const from = { address: network() }
      const [first, second] = (await one.factors.newRecoveryCodes(name)) as [string, string]
      expect(first).toMatch(/^([a-z2-9]{5}-){4}[a-z2-9]{5}$/)
      const found = await Promise.all([
        one.tryRecoveryCode(name, first, from),
        other.tryRecoveryCode(name, first, from),
      ])
      expect(kinds(found).sort()).toEqual(['right', 'wrong'])
      await one.set(`${name} thief`, password)
      expect((await one.tryRecoveryCode(`${name} thief`, second, from)).kind).toBe('wrong')
      expect((await one.tryRecoveryCode(name, ` ${second.toUpperCase().replaceAll('-', ' ')}`, from)).kind).toBe(
        'right',
      )
      expect((await one.factors.list(name)).recoveryCodesLeft).toBe(8)
      expect(events.filter(({ event }) => event === 'account.recovery-used')).toHaveLength(2)
    })

    test('is in the store as a hash only, and ends when new ones are made', async () => {
      const [first] = (await one.factors.newRecoveryCodes(name)) as [string]
      const entries = await store.list('factor/', { limit: 10_000 })
      expect(JSON.stringify(entries)).not.toContain(first)
      expect(JSON.stringify(entries)).not.toContain(first.replaceAll('-', ''))
      await one.factors.newRecoveryCodes(name)
      expect((await one.tryRecoveryCode(name, first, { address: network() })).kind).toBe('wrong')
    })
  })

  describe.skipIf(isSkipped)('a passkey', () => {
    let key: TestPasskey
    let neighbour: string
    beforeEach(async () => {
      key = testPasskey(issuer)
      const options = await one.factors.passkeyCreation(name, 'flow')
      expect(await other.factors.addPasskey(name, 'flow', key.create(options), 'Laptop')).toMatchObject({
        label: 'Laptop',
      })
      neighbour = `${name} beside`
      await one.set(neighbour, password)
    })

    test('says whose it is; what it signed counts once, also at both gates in one moment', async () => {
      const signed = key.get(await one.factors.passkeyRequest('flow'))
      const found = await Promise.all([
        one.factors.checkPasskey('flow', signed),
        other.factors.checkPasskey('flow', signed),
      ])
      expect(found.filter((proof) => proof !== undefined)).toEqual([
        { name, id: expect.any(String), amr: ['hwk', 'user'] },
      ])
      expect(await other.factors.checkPasskey('flow', signed)).toBeUndefined()
    })

    test.each<[string, Change]>([
      ['for another site', { origin: 'https://evil.example' }],
      ['for a lookalike host', { origin: 'https://id.example.com.evil.example' }],
      ['over plain http', { origin: 'http://id.example.com' }],
      ['for another relying party', { rpId: 'example.com' }],
      ['as a registration', { type: 'webauthn.create' }],
      ['without anybody there', { userPresent: false }],
      ['without having checked its user', { userVerified: false }],
      ['with a wrong signature', { brokenSignature: true }],
      ['under an id that nobody has', { id: 'AAAAAAAAAAAAAAAAAAAAAA' }],
    ])('that signs %s signs nobody in', async (_what, change) => {
      expect(
        await one.factors.checkPasskey('flow', key.get(await one.factors.passkeyRequest('flow'), change)),
      ).toBeUndefined()
      // The next, honest one does.
      expect(await one.factors.checkPasskey('flow', key.get(await one.factors.passkeyRequest('flow')))).toBeDefined()
    })

    test('that counts backwards was copied, and is refused', async () => {
      const ask = () => one.factors.passkeyRequest('flow')
      expect(await one.factors.checkPasskey('flow', key.get(await ask(), { counter: 7 }))).toBeDefined()
      expect(await one.factors.checkPasskey('flow', key.get(await ask(), { counter: 7 }))).toBeUndefined()
      expect(await other.factors.checkPasskey('flow', key.get(await ask(), { counter: 3 }))).toBeUndefined()
      expect(await other.factors.checkPasskey('flow', key.get(await ask(), { counter: 8 }))).toBeDefined()
    })

    test('is worth nothing for another sign-in, another account, or a challenge that was made up', async () => {
      expect(
        await one.factors.checkPasskey('another flow', key.get(await one.factors.passkeyRequest('flow'))),
      ).toBeUndefined()
      expect(
        await one.factors.checkPasskey('flow', key.get(await one.factors.passkeyRequest('flow', neighbour)), neighbour),
      ).toBeUndefined()
      for (const challenge of ['', 'AAAA', Buffer.alloc(56).toString('base64url')]) {
        expect(await one.factors.checkPasskey('flow', key.get({ challenge }))).toBeUndefined()
      }
      // Asked beside a password it need not have checked its user; alone it must.
      const unchecked = key.get(await one.factors.passkeyRequest('flow', name), { userVerified: false })
      expect(await one.factors.checkPasskey('flow', unchecked, name)).toMatchObject({ amr: ['hwk'] })
    })

    test.each([null, undefined, 'text', 7, [], {}, { id: 'x' }, { id: {}, response: {} }, { id: 'x'.repeat(5_000) }])(
      'that is %j proves nothing and breaks nothing',
      async (response) => {
        expect(await one.factors.checkPasskey('flow', response)).toBeUndefined()
        expect(await one.factors.addPasskey(name, 'flow', response, '')).toBeUndefined()
      },
    )

    test('cannot be taken over: an id that is taken stays with its owner', async () => {
      const thief = testPasskey(issuer)
      const options = await one.factors.passkeyCreation(neighbour, 'flow')
      expect(
        await one.factors.addPasskey(neighbour, 'flow', thief.create(options, { id: key.id }), 'Mine'),
      ).toBeUndefined()
      expect(await one.factors.checkPasskey('flow', key.get(await one.factors.passkeyRequest('flow')))).toMatchObject({
        name,
      })
    })

    test('cannot be added with what was made for another account or site, and at most twenty times', async () => {
      const fresh = () => testPasskey(issuer)
      const options = () => one.factors.passkeyCreation(name, 'flow')
      expect(await one.factors.addPasskey(neighbour, 'flow', fresh().create(await options()), '')).toBeUndefined()
      const elsewhere = fresh().create(await options(), { origin: 'https://evil.example' })
      expect(await one.factors.addPasskey(name, 'flow', elsewhere, '')).toBeUndefined()
      for (let i = 1; i < 20; i++) {
        expect(await one.factors.addPasskey(name, 'flow', fresh().create(await options()), `${i}`)).toBeDefined()
      }
      expect(await one.factors.addPasskey(name, 'flow', fresh().create(await options()), 'more')).toBeUndefined()
    })

    test('that is removed signs nobody in', async () => {
      const { id } = (await one.factors.list(name)).passkeys[0]!
      expect(await other.factors.removePasskey(neighbour, id)).toBe(false)
      expect(await other.factors.removePasskey(name, id)).toBe(true)
      expect(await one.factors.checkPasskey('flow', key.get(await one.factors.passkeyRequest('flow')))).toBeUndefined()
    })
  })

  test.skipIf(isSkipped)('who is removed leaves nothing behind', async () => {
    const offer = await one.factors.offerTotp(name)
    const code = new TOTP({ secret: offer.secret }).generate()
    await one.factors.acceptTotp(name, offer.sealed, code)
    await one.factors.newRecoveryCodes(name)
    expect(await one.remove(name)).toBe(true)
    expect(await store.list(`factor/${hash('sha256', name, 'base64url')}/`, { limit: 100 })).toEqual([])
    expect(await other.stillStands(name, Math.floor(Date.now() / 1_000))).toBe(false)
    expect(await other.remove(name)).toBe(false)
  })
})

test('a name that nobody has takes as long as a wrong password', async () => {
  const backend = embedded()
  const { store, counters } = await backend.open()
  const ring = await openKeyRing({ store, master: passingKey(), now: Date.now, log })
  const accounts = createAccounts({
    store,
    counters,
    vault: async () => ring,
    now: Date.now,
    tell: () => {},
    settings: { issuer, mfa: [], theme: {} },
    cost: { memoryKiB: 16_384, passes: 2, lanes: 1 },
  })
  await accounts.set('anna', password)
  const times: Record<'anna' | 'nobody', number[]> = { anna: [], nobody: [] }
  await accounts.tryPassword('warm up', 'x', { address: '10.9.9.9' })
  for (let i = 0; i < 15; i++) {
    // By turns, so that what else the machine does falls on both.
    for (const name of ['anna', 'nobody'] as const) {
      const started = performance.now()
      await accounts.tryPassword(name, 'wrong', { address: `10.9.${i}.1` })
      times[name].push(performance.now() - started)
    }
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[7]!
  const ratio = median(times.nobody) / median(times.anna)
  expect(ratio).toBeGreaterThan(0.6)
  expect(ratio).toBeLessThan(1.7)
  accounts.close()
  ring.close()
  await backend.close()
})
