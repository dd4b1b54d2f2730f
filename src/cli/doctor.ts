import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { messageOf } from '../base/errors.ts'
import { silentLogger } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import type { Identity } from '../gate/tls/certificates.ts'
import { type CommonOptions, type ExitCode, newCommand, run } from './command.ts'
import { print, printError, printJson, problemsOf } from './output.ts'

/** One thing that was looked at. `warn` works today and will not for long. */
interface Finding {
  readonly what: string
  readonly state: 'ok' | 'warn' | 'bad'
  readonly detail: string
}

const timeoutMs = 5_000
const soonMs = 21 * 86_400_000
const skewMaxMs = 5_000

/** `portcullis doctor`. */
export function command(): Command {
  return newCommand(
    'doctor',
    'look for what is broken around the gate: certificates, issuers, clock, store, upstreams',
    [
      ['portcullis doctor', ''],
      ['portcullis doctor --json', 'for monitoring; exit code 1 if something is broken'],
    ],
  ).action(run(doctor))
}

async function doctor(options: CommonOptions): Promise<ExitCode> {
  const { readConfig } = await import('./read-config.ts')
  const node: Finding = { what: 'node', state: 'ok', detail: process.version }
  let config: Config
  try {
    config = await readConfig(options)
  } catch (error) {
    if (options.json === true)
      printJson({ ok: false, findings: [node, { what: 'configuration', state: 'bad', errors: problemsOf(error) }] })
    else printError(error, false)
    return 2
  }
  const held: Finding = { what: 'configuration', state: 'ok', detail: config.file }
  // Each look-out waits for somebody else; none waits for another.
  const looked = await Promise.all([
    documents(config),
    certificates(config),
    store(config),
    counters(config),
    ...issuers(config),
    ...upstreams(config),
  ])
  const findings = [node, held, ...looked.flat()].map((finding) => ({
    ...finding,
    detail: config.redact(finding.detail),
  }))
  const ok = findings.every(({ state }) => state !== 'bad')
  if (options.json === true) printJson({ ok, findings })
  else {
    for (const { what, state, detail } of findings) print(`${state.padEnd(4)}  ${what}: ${detail}`)
    print(ok ? '\nNothing is broken.' : `\n${findings.filter(({ state }) => state === 'bad').length} broken.`)
  }
  return ok ? 0 : 1
}

async function documents(config: Config): Promise<Finding[]> {
  return attempt('documents', async () => {
    const { rehearse } = await import('./rehearse.ts')
    const { framed } = await import('../config/frame.ts')
    try {
      return await rehearse(config, silentLogger, ({ served }) => {
        const operations = served.reduce((sum, { document }) => sum + document.operations.length, 0)
        return `${served.length} with ${operations} operations`
      })
    } catch (error) {
      throw new Error(`\`portcullis check\` tells more\n${framed(error)}`, { cause: error })
    }
  })
}

/** What each listener would show: the pair that is configured, read as the listener reads it, or what ACME obtained. */
async function certificates(config: Config): Promise<Finding[]> {
  const [{ readTlsMaterial }, { obtainedIdentities }, { stateDirOf }] = await Promise.all([
    import('../gate/tls/certificates.ts'),
    import('../gate/tls/front.ts'),
    import('./load.ts'),
  ])
  const found: Finding[] = []
  for (const { tls, port } of config.settings.listen) {
    if (tls === undefined || tls === 'off' || tls === 'development') continue
    const what = `certificate on port ${port}`
    try {
      const obtained = await obtainedIdentities(tls.acme, stateDirOf(config))
      for (const identity of [...(await readTlsMaterial(tls)).identities, ...obtained])
        found.push(endOf(what, identity))
      if (tls.acme !== undefined && obtained.length === 0) {
        found.push({ what, state: 'warn', detail: `none obtained yet for ${tls.acme.domains.join(', ')}` })
      }
    } catch (error) {
      found.push({ what, state: 'bad', detail: messageOf(error) })
    }
    if (tls.acme !== undefined) {
      found.push(...(await reach(`certificate authority ${new URL(tls.acme.directory).host}`, tls.acme.directory)))
    }
  }
  return found
}

function endOf(what: string, { names, source, beginsAt, expiresAt }: Identity): Finding {
  if (beginsAt > Date.now()) return { what, state: 'bad', detail: `begins only ${new Date(beginsAt).toISOString()}` }
  const left = expiresAt - Date.now()
  const days = Math.floor(left / 86_400_000)
  const detail = `${names.join(', ') || source}, ends ${new Date(expiresAt).toISOString()} (${days} days)`
  return { what, state: left <= 0 ? 'bad' : left < soonMs ? 'warn' : 'ok', detail }
}

async function store(config: Config): Promise<Finding[]> {
  const { url } = config.settings.store
  const kind = url.split(':', 1)[0]!
  return attempt(`store (${kind})`, async () => {
    const { openStore } = await import('../store/open.ts')
    const opened = await within(openStore(url, { log: silentLogger }))
    try {
      await within(opened.ping())
      return 'answers'
    } finally {
      await opened.close()
    }
  })
}

async function counters(config: Config): Promise<Finding[]> {
  const { url } = config.settings.counters
  const kind = url.split(':', 1)[0]!
  return attempt(`counters (${kind})`, async () => {
    const { openCounters } = await import('../store/open.ts')
    const opened = await openCounters(url, { log: silentLogger })
    try {
      // One request of a budget that nobody else uses: counters have no ping of their own.
      await within(Promise.resolve(opened.take('doctor', { count: 1_000_000, windowMs: 1_000 })))
      return 'count'
    } finally {
      await opened.close()
    }
  })
}

/** Asks each issuer for its metadata and keys, and compares its clock with ours. */
function issuers(config: Config): Promise<Finding[]>[] {
  const { issuers: all } = config.settings as {
    issuers?: Record<string, { issuer: string; jwks?: unknown; ca?: string; secret?: string }>
  }
  return Object.entries(all ?? {}).map(async ([name, { issuer, jwks, ca, secret }]): Promise<Finding[]> => {
    const what = `issuer ${name}`
    if (secret !== undefined) return [{ what, state: 'ok', detail: 'shared secret, nothing to fetch' }]
    if (typeof jwks === 'object' || (typeof jwks === 'string' && !/^https?:/.test(jwks))) {
      return [{ what, state: 'ok', detail: 'keys from the configuration, nothing to fetch' }]
    }
    try {
      const authority =
        ca === undefined
          ? undefined
          : ca.includes('-----BEGIN ')
            ? ca
            : readFileSync(resolve(config.directory, ca), 'utf8')
      const keysUrl = jwks ?? (await jwksUriOf(issuer, authority))
      const { body, clockMs } = await getJson(String(keysUrl), authority)
      const count = Array.isArray(body.keys) ? body.keys.length : 0
      const found: Finding[] = [
        { what, state: count === 0 ? 'bad' : 'ok', detail: `${count} key${count === 1 ? '' : 's'} from ${keysUrl}` },
      ]
      if (clockMs !== undefined) {
        const skew = Math.abs(clockMs)
        const detail = `${skew < 2_000 ? 'less than 2' : Math.round(skew / 1_000)} s from this machine's`
        found.push({ what: `clock of issuer ${name}`, state: skew > skewMaxMs ? 'warn' : 'ok', detail })
      }
      return found
    } catch (error) {
      return [{ what, state: 'bad', detail: messageOf(error) }]
    }
  })
}

/** OpenID Connect Discovery 1.0, 4, else RFC 8414, 3. */
async function jwksUriOf(issuer: string, ca: string | undefined): Promise<string> {
  const { origin, pathname } = new URL(issuer)
  const path = pathname === '/' ? '' : pathname.replace(/\/$/, '')
  const places = [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ]
  const faults: string[] = []
  for (const place of places) {
    try {
      const { body } = await getJson(place, ca)
      if (body.issuer !== issuer) throw new Error(`${place} is of issuer ${String(body.issuer)}`)
      if (typeof body.jwks_uri === 'string') return body.jwks_uri
      throw new Error(`${place} names no jwks_uri`)
    } catch (error) {
      faults.push(messageOf(error))
    }
  }
  throw new Error(faults.join('; '))
}

const jsonBytesMax = 262_144

async function getJson(
  url: string,
  ca: string | undefined,
): Promise<{ body: Record<string, unknown>; clockMs: number | undefined }> {
  const { Agent, request } = await import('undici')
  const dispatcher = new Agent({ connect: { timeout: timeoutMs, ...(ca === undefined ? {} : { ca }) } })
  try {
    const before = Date.now()
    const reply = await request(url, {
      dispatcher,
      signal: AbortSignal.timeout(timeoutMs),
      headers: { accept: 'application/json' },
    })
    const pieces: Buffer[] = []
    let bytes = 0
    for await (const piece of reply.body) {
      bytes += (piece as Buffer).length
      if (bytes > jsonBytesMax) throw new Error(`${url} answered more than ${jsonBytesMax} bytes`)
      pieces.push(piece as Buffer)
    }
    if (reply.statusCode !== 200) throw new Error(`${url} answered ${reply.statusCode}`)
    const date = Date.parse(String(reply.headers.date))
    // `Date` has whole seconds and was written between our two looks at the clock.
    const clockMs = Number.isNaN(date) ? undefined : date + 500 - (before + Date.now()) / 2
    return { body: JSON.parse(Buffer.concat(pieces).toString('utf8')) as Record<string, unknown>, clockMs }
  } catch (error) {
    throw new Error(`${url}: ${reasonOf(error)}`, { cause: error })
  } finally {
    await dispatcher.destroy()
  }
}

/** Whether each target can be connected to; what it answers is its own affair. */
function upstreams(config: Config): Promise<Finding[]>[] {
  const named = Object.entries(config.settings.apis).flatMap(([api, { upstream, versions }]) => [
    ...(upstream === undefined ? [] : [{ api, upstream }]),
    ...Object.entries(versions ?? {}).flatMap(([version, one]) =>
      one.upstream === undefined ? [] : [{ api: `${api} ${version}`, upstream: one.upstream }],
    ),
  ])
  return named.flatMap(({ api, upstream: { targets, tls } }) =>
    targets.map(({ url }) => reach(`upstream of ${api}`, url, tls)),
  )
}

async function reach(
  what: string,
  url: string,
  tls?: { ca?: string | string[] | undefined; serverName?: string | undefined },
): Promise<Finding[]> {
  return attempt(what, async () => {
    const { hostname, port, protocol } = new URL(url)
    const host = hostname.replace(/^\[|\]$/g, '')
    const secure = protocol === 'https:'
    const at = { host, port: Number(port) || (secure ? 443 : 80) }
    const [net, tlsModule] = await Promise.all([import('node:net'), import('node:tls')])
    const pemOf = (one: string) => (one.includes('-----BEGIN ') ? one : readFileSync(one, 'utf8'))
    const ca = tls?.ca === undefined ? undefined : [tls.ca].flat().map(pemOf)
    const socket = secure
      ? tlsModule.connect({
          ...at,
          servername: tls?.serverName ?? (net.isIP(host) ? '' : host),
          ...(ca === undefined ? {} : { ca }),
        })
      : net.connect(at)
    try {
      await within(
        new Promise<void>((done, failed) => {
          socket.once(secure ? 'secureConnect' : 'connect', () => done())
          socket.once('error', failed)
        }),
      )
      return `${url} accepts connections`
    } catch (error) {
      throw new Error(`${url}: ${reasonOf(error)}`, { cause: error })
    } finally {
      socket.destroy()
    }
  })
}

async function attempt(what: string, look: () => Promise<string>): Promise<Finding[]> {
  try {
    return [{ what, state: 'ok', detail: await look() }]
  } catch (error) {
    return [{ what, state: 'bad', detail: reasonOf(error) }]
  }
}

function reasonOf(error: unknown): string {
  const { code, errors } = error as { code?: string; errors?: unknown[] }
  const inner = errors?.[0]
  return messageOf(error) || (inner === undefined ? undefined : messageOf(inner)) || code || 'it failed'
}

async function within<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1_000} s`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
