import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { bare, type Contender, startGate, startNginx, startUpstream } from './contenders.ts'
import { cpuUsOf, measure, median } from './measure.ts'
import { wafDocument } from './waf-document.ts'
import { type BenchRequest, requests } from './waf-requests.ts'

/** Requests per second of one contender for one request, round by round. */
export interface PeerLine {
  readonly contender: string
  readonly request: string
  readonly perSecond: readonly number[]
}

interface Line {
  readonly contender: Contender
  readonly request: BenchRequest
  readonly perSecond: number[]
}

const modsecurityModule = '/usr/lib/nginx/modules/ngx_http_modsecurity_module.so'
const rounds = Number(process.env.BENCH_ROUNDS ?? 3)
const seconds = Number(process.env.BENCH_SECONDS ?? 2)
// Each waits while ModSecurity takes a tenth of a second for one: many would leave it a queue to work off after its turn.
const connections = 8

/** V8 optimises what a gate with rules runs over its first fifty thousand requests; the GET comes first, and has most of them. */
function warmUpSeconds({ name }: Contender, { body }: BenchRequest): number {
  return !name.startsWith('gate') ? 1 : body === undefined ? 10 : 5
}

export const withoutFirewall = 'gate, no firewall'
export const withFirewall = 'gate + WAF'
export const withDocument = 'gate + WAF, spec-aware'
export const peer = 'nginx + ModSecurity'

/** The gate and nginx on one core, in turns, with and without their firewalls over the same rules. `say` tells how far it is. */
export async function comparePeers(
  dir: string,
  port: number,
  crs: string,
  say: (text: string) => void,
): Promise<readonly PeerLine[]> {
  const started: Contender[] = []
  const keep = (contender: Contender) => {
    started.push(contender)
    return contender
  }
  try {
    const upstream = `http://127.0.0.1:${keep(await startUpstream(dir, port)).port}`
    const root = { waf: { crs: { path: crs } } }
    // A core that all share makes the gate late: that it would shed load then is not what is measured.
    const concurrency = { overload: { mode: 'off' } }
    const gate = async (at: number, name: string, waf: object) =>
      keep(
        await startGate(dir, at, upstream, { name, api: { ...bare, concurrency, waf }, root, document: wafDocument }),
      )
    const contenders = [
      keep(await startNginx(dir, port + 1, upstream)),
      ...(existsSync(modsecurityModule) ? [keep(await startNginx(dir, port + 2, upstream, rulesIn(crs)))] : []),
      await gate(port + 3, withoutFirewall, { mode: 'off' }),
      await gate(port + 4, withFirewall, { mode: 'enforce', paranoia: 1, specAware: false }),
      await gate(port + 5, withDocument, { mode: 'enforce', paranoia: 1 }),
    ]
    const lines: Line[] = requests.flatMap((request) =>
      contenders.map((contender) => ({ contender, request, perSecond: [] })),
    )
    for (let round = -1; round < rounds; round++) {
      for (const { contender, request, perSecond } of round % 2 === 1 ? lines.toReversed() : lines) {
        const isSlow = contender.name === peer && request.body !== undefined
        const sample = await measure(
          contender,
          { name: request.name, method: request.method, path: request.uri },
          {
            seconds: round < 0 ? warmUpSeconds(contender, request) : isSlow ? seconds * 2 : seconds,
            connections,
            dir,
            lua: luaOf(request),
          },
        )
        if (sample.errors > 0) throw new Error(`${contender.name}, ${request.name}: ${sample.errors} wrong replies`)
        if (round >= 0) perSecond.push(sample.perSecond)
        await untilIdle(contender)
      }
      say(round < 0 ? '  warmed up' : `  round ${round + 1} of ${rounds}`)
    }
    return lines.map(({ contender, request, perSecond }) => {
      return { contender: contender.name, request: request.name, perSecond }
    })
  } finally {
    for (const { stop } of started) stop()
  }
}

function rulesIn(crs: string): readonly string[] {
  const setup = ['crs-setup.conf', 'crs-setup.conf.example'].map((name) => join(crs, name)).find(existsSync)
  return [setup!, join(crs, 'rules/*.conf')]
}

function luaOf({ method, headers, body }: BenchRequest): string {
  const lines = [`wrk.method = "${method}"`]
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== 'Content-Length') lines.push(`wrk.headers["${headers[i]}"] = [==[${headers[i + 1]}]==]`)
  }
  if (body !== undefined) lines.push(`wrk.body = [==[${body}]==]`)
  return lines.join('\n')
}

/** What was under way when the load ended must not be the next one's burden. */
async function untilIdle({ pid }: Contender): Promise<void> {
  const end = Date.now() + 10_000
  for (let before = -1; Date.now() < end; ) {
    const now = cpuUsOf(pid)
    if (now === before) return
    before = now
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** How many times the requests per second of another: the median over rounds. */
export function timesThatOf(line: PeerLine, other: PeerLine): number {
  return median(line.perSecond.map((perSecond, round) => perSecond / other.perSecond[round]!))
}
