// `node bench/waf-corpus.ts`: what our own rules find of other people's attacks, and what they refuse of harmless requests; the OWASP CRS
// beside them on the same bytes. Corpora are not part of this repository: bench/waf/mirror.ts says where clones are looked for.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compileProgram, createInjectionDetector, type Program, parseRules } from '../src/waf/index.ts'
import { sharedPath } from '../test/kit/shared.ts'
import { type Attack, loadAttacks } from './waf/attacks.ts'
import { type Benign, loadBenign } from './waf/benign.ts'
import type { SentRequest } from './waf/place.ts'

const rules = join(import.meta.dirname, '../rules')
const injection = createInjectionDetector()

function compile(files: readonly string[], variables: Readonly<Record<string, string>>): Program {
  const sources = files.map((name) => ({ name, text: readFileSync(name, 'latin1') }))
  return compileProgram(parseRules(sources, { readData: (file) => readFileSync(file, 'latin1') }), {
    injection,
    variables,
  })
}

const confIn = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.conf') && name !== 'base.conf')
    .sort()
    .map((name) => join(folder, name))

function contenders(): readonly { readonly name: string; readonly program: Program }[] {
  const base = join(rules, 'base.conf')
  const own = [1, 2].map((level) => ({
    name: `own rules, level ${level}`,
    program: compile([base, ...confIn(rules)], { portcullis_paranoia: String(level) }),
  }))
  const crs = sharedPath('crs')
  if (crs === undefined || !existsSync(crs)) return own
  // As an API sets it up: its methods are allowed, all else is as shipped.
  const variables = { allowed_methods: 'GET HEAD POST OPTIONS PUT PATCH DELETE' }
  const program = compile([base, join(crs, 'crs-setup.conf.example'), ...confIn(join(crs, 'rules'))], variables)
  return [...own, { name: 'CRS, level 1', program }]
}

const client = { address: '203.0.113.9', port: 4711 }
const server = { address: '192.0.2.1', port: 443 }

/** Whether the request is stopped, by its head or its body. */
function isRefused(program: Program, { method, uri, headers, body }: SentRequest): boolean {
  const head = { method, uri, protocol: 'HTTP/1.1', headers, client, server, id: 'corpus', receivedAt: 0 }
  const transaction = program.begin(head)
  const stopped =
    transaction.requestHead() ?? transaction.requestBody(body === undefined ? undefined : Buffer.from(body, 'latin1'))
  transaction.end()
  return stopped !== undefined
}

/** Refused of all, by contender. */
interface Tally {
  total: number
  readonly refused: number[]
}

/** Counts by class, and by class and corpus. */
function count(list: readonly (Attack | Benign)[], programs: readonly Program[]): ReadonlyMap<string, Tally> {
  const tallies = new Map<string, Tally>()
  for (const { class: kind, corpus, request } of list) {
    const refused = programs.map((program) => isRefused(program, request))
    for (const key of ['', kind, `${kind}\t${corpus}`]) {
      const tally = tallies.get(key) ?? { total: 0, refused: programs.map(() => 0) }
      tallies.set(key, tally)
      tally.total++
      refused.forEach((is, index) => {
        if (is) tally.refused[index]! += 1
      })
    }
  }
  return tallies
}

const percent = (part: number, whole: number) =>
  `${((100 * part) / whole).toFixed(part === whole || part === 0 ? 0 : 2)} %`

function table(title: string, tallies: ReadonlyMap<string, Tally>, names: readonly string[], passes: boolean): void {
  const all = passes ? 'passed' : 'refused'
  console.log(`\n${title}\n\n| class | corpus | requests | ${names.map((name) => `${name}: ${all}`).join(' | ')} |`)
  console.log(`|---|---|---:|${names.map(() => '---:|').join('')}`)
  for (const [key, { total, refused }] of [...tallies].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [kind = '', corpus = ''] = key.split('\t')
    const cells = refused.map((number) => percent(passes ? total - number : number, total))
    console.log(`| ${kind === '' ? '**all**' : kind} | ${corpus} | ${total} | ${cells.join(' | ')} |`)
  }
}

const { attacks, absent } = loadAttacks()
const { benign, absent: alsoAbsent } = loadBenign()
const running = contenders()
const names = running.map(({ name }) => name)
const programs = running.map(({ program }) => program)
const missing = [...new Set([...absent, ...alsoAbsent])]
if (missing.length > 0) console.log(`Not at hand, left out: ${missing.join(', ')}.`)
for (const set of ['held-out', 'development'] as const) {
  table(`## Attacks, ${set}`, count(attacks[set], programs), names, false)
  table(`## Harmless requests, ${set}`, count(benign[set], programs), names, true)
}
