import { existsSync } from 'node:fs'
import { basename, relative, resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Config } from '../config/load.ts'
import { apiKeyHeader } from '../guards/auth/plan.ts'
import { type CommonOptions, type ExitCode, newCommand, run, UsageError } from './command.ts'
import type { BuiltLoad } from './load.ts'
import type { Running } from './serve.ts'

interface DevOptions extends CommonOptions {
  readonly upstream?: string
  readonly port: number
  readonly host: string
  readonly unsecured: 'refuse' | 'authenticate' | 'public'
}

const keyHours = 24

/** `portcullis dev`. */
export function command(): Command {
  return newCommand('dev', 'put one API behind the gate now, with HTTPS and a key', [
    ['portcullis dev ./openapi.yaml --upstream http://localhost:3000', 'no file needed'],
    ['portcullis dev ./openapi.yaml --upstream http://localhost:3000 --port 9000', 'on https://localhost:9000'],
    ['portcullis dev', 'with the portcullis.yaml that lies here'],
  ])
    .argument('[openapi]', 'the OpenAPI document: 2.0 to 3.2, YAML or JSON')
    .option('-u, --upstream <url>', 'where the API runs')
    .option('-p, --port <number>', 'where the gate listens', portOf, 8443)
    .option('--host <address>', 'and on which address', '127.0.0.1')
    .addOption(
      new Option('--unsecured <how>', 'operations whose document is silent about security')
        .choices(['refuse', 'authenticate', 'public'])
        .default('authenticate'),
    )
    .addHelpText(
      'after',
      '\nMakes its own certificate, prints a key and a `curl` line that works, and watches the document. The rules are the\n' +
        'same as in production. `portcullis init` turns this into a file.',
    )
    .action(run(dev))
}

async function dev(openapi: string | undefined, options: DevOptions): Promise<ExitCode> {
  const [{ readConfig }, { createLogger }, { runGate }] = await Promise.all([
    import('./read-config.ts'),
    import('./logger.ts'),
    import('./run.ts'),
  ])
  const source = openapi === undefined ? fromFile(options) : fromWords(openapi, options)
  const read = () => readConfig(source, { ...source, dev: true })
  const config = await read()
  const log = await createLogger({
    level: config.settings.telemetry.messages,
    format: options.json === true ? 'json' : 'human',
  })
  await runGate(config, {
    log,
    read,
    async onReady(running) {
      const key = await makeKey(running)
      const facts = factsOf(running, config, key)
      const { say } = await import('./output.ts')
      if (options.json === true) say(JSON.stringify({ message: 'ready', ...facts }))
      else say(welcome(facts, running.load()))
    },
  })
  return 0
}

function fromFile(options: DevOptions): { config: string; overrides?: Record<string, unknown> } {
  if (options.upstream !== undefined) {
    throw new UsageError(
      '--upstream goes with a document: portcullis dev ./openapi.yaml --upstream http://localhost:3000',
    )
  }
  // One process is enough to try things, and restarts faster.
  return { config: options.config, overrides: { workers: 1 } }
}

/** What six lines of portcullis.yaml would say. */
function fromWords(openapi: string, options: DevOptions): { config: string; value: unknown } {
  if (!existsSync(openapi)) throw new UsageError(`There is no file ${openapi}.`)
  if (options.upstream === undefined) {
    throw new UsageError(`Say where the API runs: portcullis dev ${openapi} --upstream http://localhost:3000`)
  }
  const name = basename(openapi)
    .replace(/\.[^.]+$/, '')
    .replace(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
  const api = name === '' || /^(openapi|swagger)$/i.test(name) ? 'api' : name.slice(0, 63)
  return {
    config: resolve('portcullis dev'),
    value: {
      version: 1,
      listen: [{ port: options.port, host: options.host, tls: 'development' }],
      apis: {
        [api]: { openapi: resolve(openapi), upstream: options.upstream, unsecured: options.unsecured },
      },
    },
  }
}

/** A key that opens everything the documents name, for a day. The one of the last `dev` ends now. */
async function makeKey(running: Running): Promise<string> {
  const { createApiKeys } = await import('../credentials/api-keys.ts')
  const { foundation } = running
  const keys = createApiKeys({ store: foundation.store, now: foundation.now })
  for (const { id, name, revokedAt } of await keys.list()) {
    if (name === devKeyName && revokedAt === undefined) await keys.revoke(id)
  }
  const scopes = new Set(
    running
      .load()
      .served.flatMap(({ document }) =>
        document.operations.flatMap(({ security }) => (security ?? []).flatMap((one) => [...one.values()].flat())),
      ),
  )
  const { key } = await keys.create({
    name: devKeyName,
    scopes: [...scopes].slice(0, 256),
    expiresAt: foundation.now() + keyHours * 3_600_000,
  })
  keys.close()
  return key
}

const devKeyName = 'dev'

interface Facts {
  readonly url: string
  readonly certificate: string | undefined
  readonly key: string
  readonly curl: string
  readonly upstreams: readonly string[]
}

function factsOf(running: Running, config: Config, key: string): Facts {
  const { scheme, port } = running.addresses[0]!
  const url = `${scheme}://localhost:${port}`
  const authority = resolve(config.settings.stateDir ?? `${config.directory}/.portcullis`, 'tls/development-ca.pem')
  const certificate = scheme === 'https' && existsSync(authority) ? relative('', authority) || authority : undefined
  const load = running.load()
  const upstreams = load.served.flatMap(({ upstream }) => upstream?.targets.map((target) => target.url) ?? [])
  return { url, certificate, key, curl: curlLine(load, url, certificate, key), upstreams: [...new Set(upstreams)] }
}

/** A call that passes as it stands: the first GET that needs nothing but the key. */
function curlLine(load: BuiltLoad, url: string, certificate: string | undefined, key: string): string {
  const mounted = load.mounts.flatMap((mount) => mount.operations.map((operation) => ({ mount, operation })))
  const ready = mounted.filter(
    ({ operation: { method, path, program } }) =>
      method === 'GET' && !path.includes('{') && program.operation.parameters.every(({ required }) => !required),
  )
  const secured = ready.find(({ operation: { program } }) => program.operation.security?.length !== 0)
  const { mount, operation } = secured ?? ready[0] ?? mounted[0] ?? {}
  const method = operation === undefined || operation.method === 'GET' ? '' : `-X ${operation.method} `
  const trust = certificate === undefined ? '' : `--cacert ${quoted(certificate)} `
  const header = operation === undefined ? 'X-API-Key' : apiKeyHeader(operation.program.operation.document)
  return `curl ${method}${trust}-H '${header}: ${key}' ${quoted(`${url}${mount?.prefix ?? ''}${operation?.path ?? '/'}`)}`
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

function welcome({ url, certificate, key, curl, upstreams }: Facts, load: BuiltLoad): string {
  const documents = load.served.map(
    ({ api, version, document }) =>
      `${document.title} ${document.version}: ${document.operations.length} operations (${version === undefined ? api : `${api} ${version}`})`,
  )
  const rows: [string, string][] = [
    ['URL', url],
    ['upstream', upstreams.join(', ')],
    ...documents.map((text): [string, string] => ['document', text]),
    ...(certificate === undefined
      ? []
      : ([['certificate', `${certificate} (made here; trust it with --cacert)`]] as [string, string][])),
    ['key', `${key} (all scopes, ends in ${keyHours} h)`],
  ]
  const lines = rows.map(([name, value]) => `  ${name.padEnd(12)} ${value}`)
  return `\nThe gate is up.\n\n${lines.join('\n')}\n\nTry:\n  ${curl}\n\nIt watches the document. Ctrl+C stops it; \`portcullis init\` writes a file of it.\n`
}

function portOf(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidArgumentError('a port is 0 to 65535')
  return port
}
