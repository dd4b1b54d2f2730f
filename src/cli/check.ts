import { existsSync, readFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { ConfigError, ConfigErrors } from '../base/errors.ts'
import type { LogFields } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import type { ApiDocument, Operation } from '../openapi/operation.ts'
import { type CommonOptions, type ExitCode, newCommand, run, UsageError } from './command.ts'
import { print, printError, printJson, problemOf, say } from './output.ts'

/** `portcullis check …`. */
export function command(): Command {
  return newCommand('check', 'check the configuration and its documents; one document; or the headers of a reply', [
    ['portcullis check', 'the configuration here, and everything it names'],
    ['portcullis check ./openapi.yaml', 'one OpenAPI document'],
    ['portcullis check ./other.yaml', 'another configuration'],
    ['portcullis check headers https://api.example.com/', 'the security headers of a reply (a GET is sent)'],
    ['portcullis check --json', 'for a pipeline'],
  ])
    .argument('[what]', 'a configuration, an OpenAPI document, or `headers`')
    .argument('[url]', 'with `headers`: where to ask')
    .option('--cacert <file>', "with `headers`: an authority to trust, in place of the system's")
    .action(run(check))
}

interface CheckOptions extends CommonOptions {
  readonly cacert?: string
}

async function check(what: string | undefined, url: string | undefined, options: CheckOptions): Promise<ExitCode> {
  if (what === 'headers') {
    if (url === undefined) throw new UsageError('Say where to ask: portcullis check headers https://localhost:8443/')
    return checkHeaders(url, options)
  }
  if (url !== undefined) throw new UsageError(`One file at a time: portcullis check ${what}`)
  if (what === undefined) return checkConfiguration(options)
  if (!existsSync(what)) throw new UsageError(`There is no file ${what}.`)
  return isDocument(what) ? checkDocument(what, options) : checkConfiguration({ ...options, config: what })
}

/** Whether a file is an OpenAPI document rather than a configuration: by the key at its top that every document has. */
function isDocument(file: string): boolean {
  if (/\.[cm]?[jt]s$/.test(file)) return false
  const text = readFileSync(file, 'utf8')
  if (!text.trimStart().startsWith('{')) return /^["']?(openapi|swagger)["']?\s*:/m.test(text)
  try {
    return !Object.hasOwn(JSON.parse(text) as object, 'apis')
  } catch {
    // Broken, or YAML's flow style: the words decide.
    return !/["']?apis["']?\s*:/.test(text)
  }
}

/** What a check found of one document. */
interface Checked {
  readonly api: string
  readonly version: string | undefined
  readonly title: string
  readonly openapi: string
  readonly operations: number
  /** Operations that everyone may call, because the document says so. */
  readonly public: readonly string[]
  /** Operations whose document is silent about security. */
  readonly silent: readonly string[]
  /** Operations with an identifier in their path, of whose object no rule says whose it is. */
  readonly unowned: readonly string[]
}

async function checkConfiguration(options: CheckOptions): Promise<ExitCode> {
  const [
    { readConfig },
    { rehearse },
    { silentLogger },
    { unsecuredOperations, isPublic },
    { lintDocument, schemaProblems },
    { unownedOperations },
    { mergeOptions },
    { idleRuleMessage },
  ] = await Promise.all([
    import('./read-config.ts'),
    import('./rehearse.ts'),
    import('../base/log.ts'),
    import('../guards/security.ts'),
    import('../openapi/index.ts'),
    import('../guards/authorize/owner-advice.ts'),
    import('../gate/compile.ts'),
    import('../guards/idle-rules.ts'),
  ])
  // What is wrong with the configuration itself ends with 2, as for every command; from here on the answer is no.
  const config = await readConfig(options)
  const file = relative('', config.file)
  try {
    const warnings: ConfigError[] = []
    // What a start would log of rules that are about nothing.
    const warn = (message: string, { api, rule }: LogFields = {}) => {
      if (message === idleRuleMessage) warnings.push(idleRule(config, String(api), String(rule)))
    }
    const documents = await rehearse(config, { ...silentLogger, warn }, (load) =>
      load.served.map(({ api, version, document }) => {
        warnings.push(...document.warnings)
        const problems = schemaProblems(document)
        if (problems.length > 0) throw new ConfigErrors(problems)
        const silent = unsecuredOperations(document)
        const base = config.raw(['apis', api, 'authorize'])
        const unowned = unownedOperations(document, ({ policy }) =>
          policy.authorize === undefined ? base : mergeOptions(base, policy.authorize),
        )
        return checkedOf(api, version, document, silent, document.operations.filter(isPublic), unowned)
      }),
    )
    for (const { openapi, overlays, versions = {} } of Object.values(config.settings.apis)) {
      const files = new Set([openapi, ...Object.values(versions).map((version) => version.openapi ?? openapi)])
      for (const document of files) warnings.push(...(await lintDocument({ file: document, overlays })))
    }
    const all = [...config.warnings, ...distinct(warnings)]
    if (options.json === true) printJson({ ok: true, file, documents, warnings: all.map(problemOf) })
    else {
      for (const checked of documents) print(described(checked))
      tellWarnings(all)
      print(`${file} holds.`)
    }
    return 0
  } catch (error) {
    return refused(error, config, options)
  }
}

/** `rule` as guards name it: `authorize.acl[2]`, below the API. */
function idleRule(config: Config, api: string, rule: string): ConfigError {
  const steps = rule.split(/[.[\]]+/).filter((step) => step !== '')
  const path = ['apis', api, ...steps.map((step) => (/^\d+$/.test(step) ? Number(step) : step))]
  const place = config.placeOf(path)
  return new ConfigError('P1413', `apis.${api}.${rule} matches no operation of the document`, place && { place })
}

function refused(error: unknown, config: Config, options: CheckOptions): ExitCode {
  if (!(error instanceof ConfigError || error instanceof ConfigErrors)) throw error
  printError(error, options.json === true)
  if (options.json !== true) say(`\n${relative('', config.file)} does not hold.`)
  return 1
}

function tellWarnings(warnings: readonly ConfigError[]): void {
  for (const { message, hint, code, place } of warnings) {
    const where = place === undefined ? '' : `${relative('', place.file)}:${place.line}:${place.column}: `
    say(`${where}warning ${code}: ${message}${hint ? ` (${hint})` : ''}`)
  }
}

/** Reading and comparing with the schema may both say that an overlay's target selects nothing. */
function distinct(warnings: readonly ConfigError[]): ConfigError[] {
  return [...new Map(warnings.map((one) => [`${one.place?.file}:${one.place?.line} ${one.message}`, one])).values()]
}

async function checkDocument(file: string, options: CheckOptions): Promise<ExitCode> {
  const [{ lintDocument, loadDocument, schemaProblems }, { unsecuredOperations, isPublic }] = await Promise.all([
    import('../openapi/index.ts'),
    import('../guards/security.ts'),
  ])
  try {
    const document = await loadDocument({ file: resolve(file), overlays: [], api: 'document' })
    const problems = schemaProblems(document)
    if (problems.length > 0) throw new ConfigErrors(problems)
    const silent = unsecuredOperations(document)
    const checked = checkedOf('document', undefined, document, silent, document.operations.filter(isPublic), [])
    const ok = silent.length === 0
    const warnings = [...document.warnings, ...(await lintDocument({ file: resolve(file) }))]
    if (options.json === true) printJson({ ok, file, documents: [checked], warnings: warnings.map(problemOf) })
    else {
      print(described(checked))
      tellWarnings(warnings)
      for (const { method, path, place } of silent) {
        const where = place === undefined ? '' : `${relative('', place.file)}:${place.line}: `
        say(
          `${where}${method} ${path} does not say who may call it: give it \`security\`, or \`security: []\` if all may`,
        )
      }
      if (ok) print(`${file} holds.`)
    }
    return ok ? 0 : 1
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof ConfigErrors)) throw error
    printError(error, options.json === true)
    return 1
  }
}

function checkedOf(
  api: string,
  version: string | undefined,
  document: ApiDocument,
  silent: readonly Operation[],
  open: readonly Operation[],
  unowned: readonly Operation[],
): Checked {
  const names = (operations: readonly Operation[]) => operations.map(({ method, path }) => `${method} ${path}`)
  return {
    api,
    version,
    title: `${document.title} ${document.version}`,
    openapi: document.openapi,
    operations: document.operations.length,
    public: names(open),
    silent: names(silent),
    unowned: names(unowned),
  }
}

function described({ api, version, title, openapi, operations, public: open, silent, unowned }: Checked): string {
  const name = version === undefined ? api : `${api} ${version}`
  const lines = [`${name}: ${title}, OpenAPI ${openapi}, ${operations} operation${operations === 1 ? '' : 's'}`]
  if (open.length > 0) lines.push(`  open to everyone: ${open.join(', ')}`)
  if (silent.length > 0) lines.push(`  silent about security: ${silent.join(', ')}`)
  if (unowned.length > 0) {
    const more = unowned.length > 5 ? ` and ${unowned.length - 5} more` : ''
    lines.push(
      `  hint: no rule says whose the objects of ${unowned.slice(0, 5).join(', ')}${more} are: authorize.rules with "owner"`,
    )
  }
  return lines.join('\n')
}

async function checkHeaders(url: string, options: CheckOptions): Promise<ExitCode> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new UsageError(`${url} is no URL; write https://host/path`)
  }
  const [{ checkSecurityHeaders }, reply] = await Promise.all([
    import('../http/security-headers.ts'),
    get(url, options),
  ])
  const findings = checkSecurityHeaders(reply.headers, { encrypted: url.startsWith('https:') })
  const ok = findings.every((finding) => finding.ok)
  if (options.json === true) printJson({ ok, url, status: reply.status, findings })
  else {
    for (const { name, ok: right, found, expected, advice } of findings) {
      print(`${right ? 'pass' : 'FAIL'}  ${name}: ${found ?? 'absent'}`)
      if (!right) print(`      expected ${expected}\n      ${advice}`)
    }
    const passed = findings.filter((finding) => finding.ok).length
    print(`${passed} of ${findings.length} pass (GET ${url} answered ${reply.status}).`)
  }
  return ok ? 0 : 1
}

/** One GET, no redirect followed: the headers of this very reply are meant. */
async function get(
  url: string,
  { cacert }: CheckOptions,
): Promise<{ status: number; headers: Record<string, string | string[] | undefined> }> {
  const { Agent, request } = await import('undici')
  const ca = cacert ?? ownAuthorityFor(url)
  const dispatcher = new Agent({
    connect: { timeout: 5_000, ...(ca === undefined ? {} : { ca: readFileSync(ca, 'utf8') }) },
  })
  try {
    const { statusCode, headers, body } = await request(url, { dispatcher, signal: AbortSignal.timeout(10_000) })
    body.on('error', () => {}).destroy()
    return { status: statusCode, headers }
  } catch (error) {
    const { code } = error as { code?: string }
    const hint = /CERT|SELF_SIGNED|UNABLE_TO/.test(code ?? '') ? '; --cacert names an authority to trust' : ''
    throw new UsageError(`${url} does not answer: ${(error as Error).message || code}${hint}`)
  } finally {
    await dispatcher.destroy()
  }
}

/** The development certificate of a gate on this machine is trusted here without being asked to. */
function ownAuthorityFor(url: string): string | undefined {
  const file = '.portcullis/tls/development-ca.pem'
  return ['localhost', '127.0.0.1', '[::1]'].includes(new URL(url).hostname) && existsSync(file) ? file : undefined
}
