/*
 * What is written down for readers and editors and made from the code: schema/v1.json, the types behind `defineConfig`,
 * docs/reference/. `node scripts/write-reference.ts` writes all of it; a test tells when it is stale.
 */
import { errorPages } from '../src/config/error-codes.ts'
import type { GuardShapes } from '../src/config/load.ts'
import { configSchema } from '../src/config/schema.ts'

/** A JSON Schema of the kind that zod prints. */
interface Schema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly propertyNames?: Schema
  readonly items?: Schema
  readonly prefixItems?: readonly Schema[]
  readonly title?: string
  readonly examples?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
}

const note = 'Written by `node scripts/write-reference.ts`; edit the code it is made from'

/** Every generated file with its content, by path from the root of the repository. */
export async function generated(): Promise<Readonly<Record<string, string>>> {
  const { guards } = await import('../src/guards/index.ts')
  const schema = configSchema(guards as unknown as readonly GuardShapes[]) as Schema
  return {
    'schema/v1.json': `${JSON.stringify(schema, null, 2)}\n`,
    'src/config/input.ts': inputTypes(schema),
    'docs/reference/configuration.md': configurationPage(schema),
    'docs/reference/errors.md': errorsPage(),
    'docs/reference/commands.md': await commandsPage(),
    'docs/reference/denials.md': await denialsPage(),
  }
}

/** The TypeScript types of a configuration as it is written. */
export function inputTypes(schema: Schema): string {
  const head = `// ${note}.\n\n/** A configuration as it is written: the keys of portcullis.yaml. */\n`
  return `${head}export interface ConfigInput ${objectType(schema, 0, false)}\n`
}

/** Maps of several layers are merged, so any one layer may leave a key out; lists are replaced, so their entries are whole. */
function objectType(schema: Schema, depth: number, whole: boolean): string {
  const pad = '  '.repeat(depth + 1)
  const required = new Set(schema.required)
  const members = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const doc =
      property.description === undefined ? '' : `${pad}/** ${property.description.replaceAll('*/', '*\\/')} */\n`
    const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : `'${name}'`
    const optional = required.has(name) && whole ? '' : '?'
    return `${doc}${pad}readonly ${key}${optional}: ${typeOf(property, depth + 1, whole)}${optional === '' ? '' : ' | undefined'}\n`
  })
  if (members.length === 0) return 'Record<string, never>'
  return `{\n${members.join('')}${'  '.repeat(depth)}}`
}

function typeOf(schema: Schema, depth: number, whole: boolean): string {
  const several = schema.anyOf ?? schema.oneOf
  if (several !== undefined) return [...new Set(several.map((one) => wrapped(typeOf(one, depth, whole))))].join(' | ')
  if (schema.const !== undefined) return literal(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(literal).join(' | ')
  if (schema.allOf !== undefined) return schema.allOf.map((one) => typeOf(one, depth, whole)).join(' & ')
  if (Array.isArray(schema.type))
    return schema.type.map((type) => typeOf({ ...schema, type }, depth, whole)).join(' | ')
  switch (schema.type) {
    case 'object': {
      if (schema.properties !== undefined) return objectType(schema, depth, whole)
      const { additionalProperties: rest } = schema
      return `{ readonly [name: string]: ${typeof rest === 'object' ? typeOf(rest, depth, whole) : 'unknown'} }`
    }
    case 'array':
      return schema.items === undefined
        ? 'readonly unknown[]'
        : `readonly ${wrapped(typeOf(schema.items, depth, true))}[]`
    case 'string':
      return 'string'
    case 'number':
    case 'integer':
      return 'number'
    case 'boolean':
      return 'boolean'
    case 'null':
      return 'null'
    default:
      return 'unknown'
  }
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value.replaceAll("'", "\\'")}'` : String(value)
}

function wrapped(type: string): string {
  return /[|&] /.test(type) || type.startsWith('readonly ') ? `(${type})` : type
}

/** docs/reference/configuration.md. */
function configurationPage(schema: Schema): string {
  const lines = [
    '# Configuration',
    '',
    `${note}.`,
    '',
    'One file, `portcullis.yaml`: YAML, JSON, or a module (`portcullis.config.ts`) that exports `defineConfig({ … })`.',
    'Unknown keys are refused. Paths count from the folder of the file that writes them. `${NAME}`, `${NAME:-default}` and',
    '`${file:./path}` are filled in from the environment, `.env` beside the file, or the file that `NAME_FILE` names.',
    '',
    'What stands under `apis.<name>` can be refined for one operation by `x-portcullis` in the document or an Overlay.',
    '',
    '| key | value | default | meaning |',
    '|---|---|---|---|',
    ...rows(schema, ''),
    '',
  ]
  return lines.join('\n')
}

function rows(schema: Schema, path: string): string[] {
  const found: string[] = []
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const at = path === '' ? name : `${path}.${name}`
    const isRequired = schema.required?.includes(name) === true && property.default === undefined
    found.push(row(at, property, isRequired))
    // A version's upstream is written as the API's.
    if (!at.endsWith('versions.<name>.upstream')) found.push(...below(property, at))
  }
  return found
}

/** The keys that stand below a value of any of its forms. */
function below(schema: Schema, at: string): string[] {
  return [
    ...(schema.properties === undefined ? [] : rows(schema, at)),
    ...(typeof schema.additionalProperties === 'object' ? below(schema.additionalProperties, `${at}.<name>`) : []),
    ...(schema.items === undefined ? [] : below(schema.items, `${at}[]`)),
    ...[...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])].flatMap((one) => below(one, at)),
  ]
}

function row(at: string, schema: Schema, isRequired: boolean): string {
  const shown = isRequired
    ? '*required*'
    : schema.default === undefined || isObject(schema.default)
      ? ''
      : code(schema.default)
  const meaning = schema.description ?? (schema.anyOf ?? []).flatMap(({ description }) => description ?? [])[0] ?? ''
  return `| \`${at}\` | ${kindOf(schema)} | ${shown} | ${cell(meaning)} |`
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function code(value: unknown): string {
  return `\`${cell(typeof value === 'string' ? value : JSON.stringify(value))}\``
}

function kindOf(schema: Schema): string {
  const several = schema.anyOf ?? schema.oneOf
  if (several !== undefined) return [...new Set(several.map(kindOf))].join(' or ')
  if (schema.const !== undefined) return code(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ')
  if (schema.title !== undefined)
    return `${schema.title}${schema.examples === undefined ? '' : `, such as ${code(schema.examples[0])}`}`
  if (schema.type === 'array') return `list of ${schema.items === undefined ? 'anything' : kindOf(schema.items)}`
  if (schema.type === 'object') return 'map'
  if (schema.type === 'string') return 'text'
  if (schema.type === 'boolean') return '`true`, `false`'
  if (schema.type !== 'number' && schema.type !== 'integer') return 'anything'
  const limits = [schema.minimum, schema.maximum].map((limit) => (limit === undefined ? '' : String(limit)))
  return limits.join('') === '' ? 'number' : `number, ${limits[0] || '…'} to ${limits[1] || '…'}`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

/** docs/reference/errors.md. */
function errorsPage(): string {
  const pages = Object.entries(errorPages).sort(([a], [b]) => (a < b ? -1 : 1))
  const texts = pages.map(([name, { title, help }]) => `## ${name}\n\n**${title}.** ${help}\n`)
  return `# Error codes\n\n${note}. \`portcullis explain P1007\` prints the same.\n\n${texts.join('\n')}`
}

/** docs/reference/commands.md: what `--help` prints, all on one page. */
async function commandsPage(): Promise<string> {
  const { everyCommand } = await import('../src/cli/main.ts')
  const commands = (await everyCommand()).flatMap((command) => [command, ...command.commands])
  const texts = commands.map((command) => {
    let text = ''
    command.configureOutput({ writeOut: (piece) => (text += piece), getOutHelpWidth: () => 100 })
    command.outputHelp()
    const name =
      command.parent === null || command.parent.name() === 'portcullis'
        ? command.name()
        : `${command.parent.name()} ${command.name()}`
    return `## portcullis ${name}\n\n\`\`\`\n${text.trim()}\n\`\`\`\n`
  })
  return `# Commands\n\n${note}.

Every command takes \`--config FILE\` (default \`./portcullis.yaml\`) and \`--json\`: one JSON document on standard output, messages on
standard error. Exit codes: 0 done, 1 the answer is no (a check failed), 2 usage or configuration.

${texts.join('\n')}`
}

interface Refusal {
  readonly status: number
  readonly code: string
  readonly detail: string
}

/** Every refusal that the sources make, by code. */
export async function everyRefusal(): Promise<readonly Refusal[]> {
  const found = new Map<string, Refusal>()
  for (const refusal of [...(await refusalsInSource()), ...(await tokenRefusalsMade())]) {
    if (found.get(refusal.code)?.detail || (found.has(refusal.code) && refusal.detail === '')) continue
    found.set(refusal.code, refusal)
  }
  return [...found.values()].sort((a, b) => (a.code < b.code ? -1 : 1))
}

/** docs/reference/denials.md: every refusal, found where it is made, with what an operator does about it. */
async function denialsPage(): Promise<string> {
  const { denialPages } = await import('../src/guards/denials.ts')
  const groups = Map.groupBy(await everyRefusal(), ({ code }) => code.slice(0, code.indexOf('.')))
  const texts = [...groups].map(([group, refusals]) => {
    const lines = refusals.map(
      ({ code, status, detail }) =>
        `| <a id="${code}"></a>\`${code}\` | ${status} | ${cell(detail)} | ${cell(denialPages[code]?.operator ?? '')} |`,
    )
    return `## ${group}\n\n| code | status | what the caller is told | for the operator |\n|---|---|---|---|\n${lines.join('\n')}\n`
  })
  return `# Refusals

${note}.

A refusal is \`application/problem+json\` (RFC 9457), or XML where that is asked for: \`type\`, \`title\`, \`status\`, \`detail\`, \`instance\` (the
request id), \`code\`, and for what the document refuses \`errors: [{ pointer, in, detail }]\`. Codes are stable: match them, not the words.
\`portcullis explain <request id>\` tells the operator more than the caller gets to know.

${texts.join('\n')}`
}

const quotedText = String.raw`(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")`

/** What `denial(status, code, detail)`, `unauthorized(code, detail)` and problems of the administration say in the sources. */
async function refusalsInSource(): Promise<Refusal[]> {
  const { readdir, readFile } = await import('node:fs/promises')
  const root = new URL('../src/', import.meta.url)
  const names = (await readdir(root, { recursive: true })).filter(
    (name) => /\.ts$/.test(name) && !/\.test\.ts$/.test(name),
  )
  const found: Refusal[] = []
  for (const name of names.sort()) {
    const text = await readFile(new URL(name, root), 'utf8')
    const code = String.raw`'([a-z][A-Za-z0-9-]*\.[A-Za-z0-9_-]+)'`
    const calls = new RegExp(
      String.raw`\b(?:(?:denial|AdminProblem)\(\s*(\d{3})|unauthorized\(),?\s*${code},\s*(?:${quotedText}|([A-Za-z]+))?`,
      'g',
    )
    for (const { index, 1: status, 2: of, 3: single, 4: double, 5: named } of text.matchAll(calls)) {
      const detail = single ?? double ?? (named === undefined ? '' : constantBefore(text.slice(0, index), named))
      found.push({ status: Number(status ?? 401), code: of!, detail: detail.replace(/\\(.)/g, '$1') })
    }
  }
  return found
}

/** The text of the nearest `const name = '…'` above. */
function constantBefore(text: string, name: string): string {
  const declared = new RegExp(String.raw`const ${name} =\s*(?:${quotedText}|\`([^\`]*)\`)`, 'g')
  const last = [...text.matchAll(declared)].at(-1)
  return last?.[1] ?? last?.[2] ?? last?.[3]?.replace(/\$\{[^}]*\}/g, '…') ?? ''
}

/** The refusals of tokens have their codes put together. */
async function tokenRefusalsMade(): Promise<Refusal[]> {
  const { tokenRefusals } = await import('../src/guards/auth/issuer.ts')
  return Object.values(tokenRefusals('api')).map(({ status, code, detail }) => ({ status, code, detail }))
}
