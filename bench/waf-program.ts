import { silentLogger } from '../src/base/log.ts'
import { readExclusions, refiner } from '../src/guards/waf/operation.ts'
import { optionsShape, rootShape } from '../src/guards/waf/options.ts'
import { firewallChoice, firewallFor } from '../src/guards/waf/programs.ts'
import { loadDocument } from '../src/openapi/index.ts'
import type { Operation } from '../src/openapi/operation.ts'
import type { Program, RequestHead, Transaction } from '../src/waf/index.ts'
import { wafDocument } from './waf-document.ts'
import type { BenchRequest } from './waf-requests.ts'

/** Which program is wanted, as a user would say it in the configuration. */
export interface Wanted {
  /** Where an unpacked CRS lies; without it our own rules. */
  readonly crs?: string | undefined
  readonly evaluator?: 'fast' | 'plain' | undefined
  readonly paranoia?: number
}

/** Makes a program as the guard does. A `name` for each, or it is the one that was made before. */
export async function loadProgram({ crs, evaluator, paranoia = 1 }: Wanted, name = ''): Promise<Program> {
  const options = optionsShape.parse({ paranoia, ...(evaluator && { evaluator }) })
  const root = rootShape.parse({ waf: crs === undefined ? {} : { crs: { path: crs } } })
  return (await firewallFor(firewallChoice(options, root.waf, name), silentLogger)).program
}

/** The program of the operation that a request asks for, refined by its document as the guard does. */
export async function refineFor({ method, uri }: BenchRequest, program: Program): Promise<Program> {
  const options = optionsShape.parse({ specAware: true })
  const operation = (await operations()).find(
    (one) => one.method === method && uri.startsWith(`${one.path.split('{')[0]}`),
  )
  return refiner(program, options, readExclusions([], program, silentLogger))(operation!)(Date.now())
}

async function operations(): Promise<readonly Operation[]> {
  const read = async () => JSON.stringify(wafDocument)
  return (await loadDocument({ file: '/openapi.json', api: 'bench', read })).operations
}

/** Makes heads whose strings are as a socket's: flat, one byte each, and hashed by nobody yet. */
export function headMaker({ method, uri, headers }: BenchRequest): () => RequestHead {
  const fresh = (bytes: Buffer) => bytes.toString('latin1')
  const target = Buffer.from(uri, 'latin1')
  const pairs = headers.map((text) => Buffer.from(text, 'latin1'))
  return () => ({
    method,
    uri: fresh(target),
    protocol: 'HTTP/1.1',
    headers: pairs.map(fresh),
    client: { address: '203.0.113.9', port: 0 },
    server: { address: '0.0.0.0', port: 0, name: 'api.example.com' },
    id: 'req_01KB0000000000000000000000',
    receivedAt: 1_795_356_600_000,
  })
}

/** Phases 1 and 2, the body's parsing among them. */
export function inspect(program: Program, head: RequestHead, body: Buffer | undefined): Transaction {
  const transaction = program.begin(head)
  transaction.requestHead()
  transaction.requestBody(body)
  return transaction
}
