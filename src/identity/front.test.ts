import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Provider } from 'oidc-provider'
import { afterEach, expect, test } from 'vitest'
import { silentLogger as log } from '../base/log.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import { createFront } from './front.ts'
import type { ServiceSettings } from './issuer.ts'

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

/** A front before a provider that only notes which paths reach it. */
async function startFront(address: string, requests = 1_000) {
  const reached: string[] = []
  const provider = {
    callback: () => async (request: { url: string }, response: { end: () => void }) => {
      reached.push(request.url)
      response.end()
    },
  } as unknown as Provider
  const rate = { count: requests, windowMs: 60_000 }
  const front = createFront({
    settings: {
      issuer: 'http://127.0.0.1:1/oauth',
      limits: { client: rate, address: rate, failures: { count: 10, windowMs: 900_000 } },
    } as ServiceSettings,
    counters: createMemoryCounters(),
    now: Date.now,
    log,
    tell() {},
    provider: () => provider,
    readAccessToken: async () => undefined,
    shown: new Map(),
    callers: new WeakMap(),
  })
  let n = 0
  const server = createServer((request, response) =>
    front.handle(request, response, { address: `${address}${n++}`, certificate: undefined }),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ends.push(() => server.close())
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const post = async (path: string) => {
    const body = new URLSearchParams({ client_id: 'x', client_secret: 'guess' })
    return (await fetch(base + path, { method: 'POST', body })).status
  }
  return { post, reached }
}

test.each(['/oauth/token/', '/oauth/TOKEN', '/oauth/Device', '/oauth/device/', '/oauth/device/AUTH', '/oauth/%74oken'])(
  'a path that the provider would take for one of its own goes no way round the budgets: %s',
  async (path) => {
    const { post, reached } = await startFront('203.0.113.')
    expect(await post('/oauth/token')).toBe(200)
    expect(await post(path)).toBe(404)
    expect(reached).toEqual(['/token'])
  },
)

test('one network has one budget of requests, whichever of its addresses it uses', async () => {
  const { post } = await startFront('2001:db8::', 3)
  const statuses = []
  for (let i = 0; i < 4; i++) statuses.push(await post('/oauth/token'))
  expect(statuses).toEqual([200, 200, 200, 429])
})
