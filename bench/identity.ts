/*
 * What the token service costs over HTTP, beside the library it is made of, on one core that both and the load generator
 * share, in turns: `node bench/identity.ts`. BENCH_ROUNDS and BENCH_SECONDS say how long. Needs wrk, nginx and taskset.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bare, type Contender, startGate, startPeer, startUpstream } from './contenders.ts'
import { measure, median, spread } from './measure.ts'

const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const seconds = Number(process.env.BENCH_SECONDS ?? 2)
const id = 'bench'
const secret = 'a-secret-of-the-bench-that-guards-nothing'
const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
const form = { authorization, 'content-type': 'application/x-www-form-urlencoded' }
const plenty = '1000000000/min'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-'))
for (const name of ['tmp', 'tmp2', 'tmp3', 'tmp4', 'tmp5']) mkdirSync(join(dir, name))
const started: Contender[] = []
const keep = (contender: Contender) => {
  started.push(contender)
  return contender
}

/** Asks once, so that a wrong answer is seen before it is measured. */
async function ask({ port }: Contender, path: string, body: string): Promise<Readonly<Record<string, unknown>>> {
  const reply = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers: form, body })
  if (!reply.ok) throw new Error(`${path} answered ${reply.status}: ${await reply.text()}`)
  return (await reply.json()) as Readonly<Record<string, unknown>>
}

const lua = (body: string) =>
  [
    'wrk.method = "POST"',
    ...Object.entries(form).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`),
    `wrk.body = "${body}"`,
  ].join('\n')

try {
  const upstream = keep(await startUpstream(dir, 28_100))
  const gate = keep(
    await startGate(dir, 28_101, `http://127.0.0.1:${upstream.port}`, {
      name: 'token service',
      api: bare,
      root: {
        tokenService: {
          clients: { [id]: { secret, scopes: ['orders'] } },
          limits: { client: plenty, address: plenty, failures: plenty },
        },
      },
    }),
  )
  const peer = keep(await startPeer('oidc-provider alone, in memory', 'identity-peer.ts', dir, 28_102, [id, secret]))
  const contenders = [gate, peer]
  const grant = 'grant_type=client_credentials&scope=orders'

  console.log('| | requests/s | CPU of the process | times the peer |')
  console.log('|---|---|---|---|')
  await compare('token by client credentials', '/oauth/token', async () => grant)
  await compare('introspection of it', '/oauth/introspect', async (contender) => {
    const { access_token: token } = await ask(
      contender,
      '/oauth/token',
      contender === peer ? `${grant}&resource=urn:opaque` : grant,
    )
    return `token=${token as string}`
  })

  async function compare(what: string, path: string, bodyFor: (contender: Contender) => Promise<string>) {
    const runs = await Promise.all(
      contenders.map(async (contender) => {
        const body = await bodyFor(contender)
        await ask(contender, path, body)
        return { contender, body, perSecond: [] as number[], cpuUs: [] as number[] }
      }),
    )
    for (let round = -1; round < rounds; round++) {
      for (const run of round % 2 === 1 ? runs.toReversed() : runs) {
        const options = { seconds: round < 0 ? 4 : seconds, connections: 8, dir, lua: lua(run.body) }
        const sample = await measure(run.contender, { name: what, method: 'POST', path }, options)
        if (sample.errors > 0) throw new Error(`${run.contender.name}, ${what}: ${sample.errors} wrong replies`)
        if (round < 0) continue
        run.perSecond.push(sample.perSecond)
        run.cpuUs.push(sample.cpuUs)
      }
    }
    const [ours, other] = runs as [(typeof runs)[0], (typeof runs)[0]]
    const times = ours.perSecond.map((value, round) => value / other.perSecond[round]!)
    for (const { contender, perSecond, cpuUs } of runs) {
      const ratio = contender === gate ? `${median(times).toFixed(2)} (± ${(spread(times) * 100).toFixed(0)} %)` : ''
      const rate = median(perSecond).toFixed(0)
      console.log(`| ${what}, ${contender.name} | ${rate} | ${median(cpuUs).toFixed(0)} µs | ${ratio} |`)
    }
  }
} finally {
  for (const { stop } of started) stop()
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
}
