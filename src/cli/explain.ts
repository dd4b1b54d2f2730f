import { relative } from 'node:path'
import { type Command, Option } from 'commander'
import { errorPages } from '../config/error-codes.ts'
import type { Mount, MountedOperation } from '../gate/router.ts'
import { denialPages } from '../guards/denials.ts'
import type { TrafficRecord } from '../traffic/record.ts'
import { type CommonOptions, type ExitCode, newCommand, run, UsageError } from './command.ts'
import { matchesText } from './explain-matches.ts'
import type { BuiltLoad } from './load.ts'
import { print, printJson, say } from './output.ts'

interface ExplainOptions extends CommonOptions {
  readonly api?: string
}

/** `portcullis explain …`. */
export function command(): Command {
  return newCommand('explain', 'why a request was refused, what guards an operation, what an error code means', [
    ['portcullis explain req_01JDB2N7Z4', 'the request with this id (`instance` of a problem, Portcullis-Request-Id)'],
    ['portcullis explain GET /orders/{id}', 'every step before and after this operation'],
    ['portcullis explain GET /orders/7', 'the same, by a path as callers send it'],
    ['portcullis explain getOrder', 'the same, by operationId'],
    ['portcullis explain P1007', 'an error code'],
  ])
    .argument('<what...>', 'a request id, METHOD /path, an operationId or an error code')
    .addOption(new Option('--api <name>', 'of several APIs the one that is meant'))
    .action(run(explain))
}

async function explain(words: readonly string[], options: ExplainOptions): Promise<ExitCode> {
  const [first = '', second] = words
  if (/^req_/.test(first)) return explainRequest(first, options)
  if (/^P\d{4}$/i.test(first) && second === undefined) return explainCode(first.toUpperCase() as `P${number}`, options)
  if (words.length > 2) throw new UsageError('portcullis explain METHOD /path; a path with spaces needs quotes')
  if (second !== undefined) return explainOperation(first.toUpperCase(), second, options)
  return first.startsWith('/') ? explainOperation('GET', first, options) : explainOperation(undefined, first, options)
}

function explainCode(code: `P${number}`, options: ExplainOptions): ExitCode {
  const page = errorPages[code]
  if (page === undefined) throw new UsageError(`There is no error code ${code}.`)
  if (options.json === true) printJson({ code, ...page })
  else print(`${code}  ${page.title}\n\n${page.help}`)
  return 0
}

async function explainRequest(id: string, options: ExplainOptions): Promise<ExitCode> {
  const [{ readConfig }, { explainRequest: find }] = await Promise.all([
    import('./read-config.ts'),
    import('../watch/explain.ts'),
  ])
  const { stateDir, logFile } = await readConfig(options, { withoutUpstreams: true }).then(
    (config) => ({
      stateDir: config.settings.stateDir ?? `${config.directory}/.portcullis`,
      logFile: config.settings.telemetry.logs.file,
    }),
    (error) => {
      // Beside a `dev` without a file there is only its state.
      if (error instanceof UsageError) return { stateDir: `${process.cwd()}/.portcullis`, logFile: undefined }
      throw error
    },
  )
  const found = await find(id, { stateDir, logFile })
  if (found === undefined) {
    if (options.json === true) printJson(null)
    say(
      `Nothing is known of ${id}. A running gate remembers the latest refused requests; older and allowed ones are found where\n` +
        '`telemetry.logs.file` names a log.',
    )
    return 1
  }
  if (options.json === true) {
    printJson(found)
    return 0
  }
  print(requestText(found.record, found.detail, found.observed))
  return 0
}

function requestText(
  record: TrafficRecord,
  detail: string | undefined,
  observed: readonly { readonly code: string; readonly evidence?: unknown }[],
): string {
  const { denial } = record
  const rows: (readonly [string, string | undefined])[] = [
    [
      'request',
      `${record.method} ${record.path}${record.query === undefined || record.query === '' ? '' : `?${record.query}`}`,
    ],
    ['when', record.time],
    ['operation', `${record.operation} (${record.api}${record.version === undefined ? '' : ` ${record.version}`})`],
    ['client', record.client],
    ['caller', record.user === undefined ? 'unknown' : `${record.user} (${record.credential ?? 'unknown credential'})`],
    ['answer', `${record.status} after ${record.durationMs} ms`],
    ['refused by', denial?.code],
    ['because', detail],
    ['to mend', denial === undefined ? undefined : denialPages[denial.code]?.operator],
    ['evidence', denial?.evidence === undefined ? undefined : JSON.stringify(denial.evidence)],
    ['passed by', record.decision?.rules.join(', ')],
    ['fault', record.fault],
    ['trace', record.traceId],
    ...observed.map((one) => ['observed', evidenceText(one)] as const),
  ]
  return lines(rows) + matchesText(record)
}

function evidenceText({ code, evidence }: { readonly code: string; readonly evidence?: unknown }): string {
  return evidence === undefined ? code : `${code} ${JSON.stringify(evidence)}`
}

async function explainOperation(method: string | undefined, name: string, options: ExplainOptions): Promise<ExitCode> {
  const [{ readConfig }, { rehearse }, { silentLogger }] = await Promise.all([
    import('./read-config.ts'),
    import('./rehearse.ts'),
    import('../base/log.ts'),
  ])
  const config = await readConfig(options)
  return rehearse(config, silentLogger, async (load) => {
    const found = findOperation(load, method, name, options.api)
    if (found.length === 0) {
      const near = await nearestOperation(load, method, name)
      if (options.json === true) printJson([])
      if (method === undefined)
        say(`No operation is called ${name}, and it is no METHOD /path, request id or error code.${near}`)
      else say(`No document lists ${method} ${name}: it is answered 404 or 405.${near}`)
      return 1
    }
    const explained = await Promise.all(found.map(facts))
    if (options.json === true) printJson(explained)
    else print(explained.map(operationText).join('\n\n'))
    return 0
  })
}

interface Found {
  readonly mount: Mount
  readonly operation: MountedOperation
}

/** By template, by a path as sent (a template's parameters take any one segment), or by operationId. */
function findOperation(load: BuiltLoad, method: string | undefined, name: string, api: string | undefined): Found[] {
  const all = load.mounts
    .filter((mount) => api === undefined || mount.api === api)
    .flatMap((mount) => mount.operations.map((operation): Found => ({ mount, operation })))
  if (method === undefined) return all.filter(({ operation }) => operation.program.operation.id === name)
  const path = name.split('?', 1)[0]!
  const ofMethod = all.filter(({ operation }) => operation.method === method)
  const exact = ofMethod.filter(
    ({ mount, operation }) => mount.prefix + operation.path === path || operation.path === path,
  )
  if (exact.length > 0) return exact
  const fitting = ofMethod.filter(({ mount, operation }) => patternOf(mount.prefix + operation.path).test(path))
  // The more of a template is literal, the sooner the router takes it.
  const literal = ({ operation }: Found) => operation.path.replace(/\{[^}]*\}/g, '').length
  const most = Math.max(...fitting.map(literal))
  return fitting.filter((one) => literal(one) === most)
}

function patternOf(template: string): RegExp {
  const source = template
    .split(/\{[^}]*\}/)
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^/]+')
  return new RegExp(`^${source}$`)
}

async function nearestOperation(load: BuiltLoad, method: string | undefined, name: string): Promise<string> {
  const { nearest } = await import('../base/suggest.ts')
  const operations = load.mounts.flatMap(({ prefix, operations: all }) =>
    all.map((operation) => ({ ...operation, path: prefix + operation.path })),
  )
  if (method !== undefined) {
    const allowed = operations
      .filter(({ path }) => patternOf(path).test(name) || path === name)
      .map((one) => one.method)
    if (allowed.length > 0) return ` The path has ${allowed.join(', ')}.`
  }
  const candidates =
    method === undefined ? operations.map((one) => one.program.operation.id) : operations.map((one) => one.path)
  const meant = nearest(name, candidates)
  return meant === undefined ? '' : ` Did you mean ${meant}?`
}

/** A compiled program as data. */
async function facts({ mount, operation: { method, path, program } }: Found) {
  const { describeSecurity } = await import('../guards/security.ts')
  const { operation, listing, requestBytesMax, responseBytesMax } = program
  const phases = ['requestHead', 'requestBody', 'responseHead', 'responseBody'] as const
  return {
    api: mount.api,
    version: mount.version,
    operation: operation.id,
    method,
    path: mount.prefix + path,
    place: operation.place,
    upstreams: mount.upstream.settings.targets.map(({ url }) => url),
    security: describeSecurity(operation),
    steps: Object.fromEntries(
      phases.map((phase) => [
        phase,
        listing.filter((one) => one.phase === phase).map(({ guard, mode }) => ({ guard, mode })),
      ]),
    ),
    requestBody: program.requestBody.length === 0 ? 'streamed' : 'read first',
    responseBody: program.responseBody.length === 0 ? 'streamed' : 'held',
    requestBytesMax,
    responseBytesMax,
  }
}

function operationText(found: Awaited<ReturnType<typeof facts>>): string {
  const step = ({ guard, mode }: { guard: string; mode: string }) => (mode === 'enforce' ? guard : `${guard} (${mode})`)
  const steps = (phase: string) => found.steps[phase]?.map(step).join(' → ') || 'nothing'
  const { place, security } = found
  const callers = security.public
    ? 'everyone'
    : security.anyOf
        .map((parts) =>
          parts
            .map(({ scheme, methods, scopes }) => {
              const proof = methods.length === 0 ? 'nothing proves it' : `proved by ${methods.join(' or ')}`
              return `${scheme ?? 'any credential'}${scopes.length === 0 ? '' : ` with ${scopes.join(', ')}`} (${proof})`
            })
            .join(' and '),
        )
        .join(', or ') + (security.optional ? ', or without a credential' : '')
  const title = `${found.method} ${found.path}  (${found.operation}, ${found.api}${found.version === undefined ? '' : ` ${found.version}`})`
  return `${title}\n${lines([
    ['document', place === undefined ? undefined : `${relative('', place.file)}:${place.line}`],
    ['callers', callers],
    ['1 head', steps('requestHead')],
    ['2 body', `${steps('requestBody')}; ${found.requestBody}, at most ${found.requestBytesMax} bytes`],
    ['3 upstream', found.upstreams.join(', ')],
    ['4 answer', steps('responseHead')],
    ['5 its body', `${steps('responseBody')}; ${found.responseBody}`],
  ])}`
}

function lines(rows: readonly (readonly [string, string | undefined])[]): string {
  const shown = rows.filter((row): row is readonly [string, string] => row[1] !== undefined)
  return shown.map(([name, value]) => `  ${name.padEnd(11)} ${value}`).join('\n')
}
