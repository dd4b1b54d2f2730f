/*
 * What the vault costs a request: sealing and opening, and the fields of a body through the guard. `node bench/vault.ts`.
 * Not part of `npm run bench`, which measures the whole gate.
 */
import { silentLogger } from '../src/base/log.ts'
import { UpstreamReply } from '../src/gate/upstream-reply.ts'
import { protect } from '../src/guards/protect.ts'
import { openStore } from '../src/store/open.ts'
import { compileGuard, makeExchange, makeHost, makeOperation, makePrincipal } from '../test/kit/guard.ts'
import { testVault } from '../test/kit/vault.ts'

/** The least of fifty short rounds, in microseconds per call: what the work costs when nobody disturbs it. */
async function measure(name: string, calls: number, work: () => unknown): Promise<void> {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 50; round++) {
    const since = performance.now()
    for (let i = 0; i < calls; i++) {
      const waiting = work()
      if (waiting instanceof Promise) await waiting
    }
    least = Math.min(least, ((performance.now() - since) * 1000) / calls)
  }
  console.log(`${name.padEnd(58)} ${least.toFixed(1).padStart(8)} µs`)
}

const store = await openStore('sqlite::memory:', { log: silentLogger })
const ring = await testVault(store)
const sealer = await ring.sealer('bench')
for (const kilobytes of [1, 10]) {
  const plain = Buffer.alloc(kilobytes * 1024, 'x')
  const sealed = sealer.seal(plain, 'context')
  await measure(`${kilobytes} KB sealed`, 1_000, () => sealer.seal(plain, 'context'))
  await measure(`${kilobytes} KB sealed for look-ups`, 1_000, () => sealer.sealSame(plain, 'context'))
  await measure(`${kilobytes} KB opened`, 1_000, () => sealer.open(sealed, 'context'))
}

const operation = makeOperation({ method: 'POST' })
const fields = ['card', 'email', 'phone', 'iban', 'address', 'birthday', 'passport', 'note', 'tax', 'name']
for (const [count, kilobytes] of [
  [1, 1],
  [10, 1],
  [10, 10],
] as const) {
  const options = fields.slice(0, count).map((name) => ({
    field: `$..${name}`,
    atRest: 'encrypt',
    response: { 'role:editor': 'show', '*': 'last4' },
  }))
  const steps = (await compileGuard(protect as never, options, operation, {
    ...makeHost(),
    vault: async () => ring,
  }))!
  const value = Object.fromEntries(fields.map((name) => [name, '4111 1111 1111 1111']))
  const rest = kilobytes * 1024 - JSON.stringify(value).length
  // Many values that are none of the fields, as bodies have.
  const items = Array.from({ length: Math.floor(rest / 64) }, (_, i) => ({
    id: i,
    kind: 'some item of a list',
    size: 3,
  }))
  const body = JSON.stringify({ ...value, items })
  const headers = { 'content-type': 'application/json' }
  const seal = () => {
    const exchange = makeExchange({ method: 'POST', headers, body, operation })
    return { exchange, verdict: steps.sealRequest!(exchange) }
  }
  await seal().verdict
  const sealed = seal().exchange.requestBody!
  const answer = (role: string) => {
    const exchange = makeExchange({ operation, principal: makePrincipal('jane', { roles: new Set([role]) }) })
    exchange.response = new UpstreamReply(200, ['content-type', 'application/json'])
    exchange.response.body = sealed
    void steps.openResponse!(exchange)
    void steps.sealResponse!(exchange)
  }
  const what = `${count === 1 ? '1 field' : `${count} fields`} of a body of ${kilobytes} KB`
  await measure(`read and written again, for comparison: ${kilobytes} KB`, 400, () => JSON.stringify(JSON.parse(body)))
  await measure(`${what}, encrypted`, 400, seal)
  await measure(`${what}, opened and shown`, 400, () => answer('editor'))
  await measure(`${what}, opened and masked`, 400, () => answer('support'))
}
ring.close()
await store.close()
