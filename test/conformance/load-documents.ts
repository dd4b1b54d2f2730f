import { createInterface } from 'node:readline'
import { ConfigError, ConfigErrors } from '../../src/base/errors.ts'
import { createRouter, type Mount, type MountedOperation } from '../../src/gate/router.ts'
import { loadDocument, schemaProblems } from '../../src/openapi/index.ts'
import type { ApiDocument } from '../../src/openapi/operation.ts'

/*
 * Reads names of OpenAPI documents, one a line, does with each what `check` does, and answers with one line of JSON.
 * A process of its own, because only another process can stop a loop that does not end.
 */

/** What became of one document. */
export interface Outcome {
  readonly file: string
  readonly loaded: boolean
  readonly version: string
  readonly operations: number
  /** Operations that the document lists and that no request can reach. */
  readonly unreachable: number
  readonly warnings: number
  readonly milliseconds: number
  /** `code file:line:column message`, the first ones. */
  readonly errors: readonly string[]
  /** Something was thrown that is no complaint about the document. */
  readonly crash: string | undefined
}

async function check(file: string): Promise<Outcome> {
  const started = performance.now()
  const outcome = {
    file,
    loaded: false,
    version: '',
    operations: 0,
    unreachable: 0,
    warnings: 0,
    errors: [] as string[],
  }
  const since = () => Math.round(performance.now() - started)
  try {
    const document = await loadDocument({ file, api: 'conformance' })
    outcome.version = document.openapi
    outcome.operations = document.operations.length
    outcome.warnings = document.warnings.length
    outcome.unreachable = document.warnings.filter(({ message }) => /not served|the former/.test(message)).length
    const problems = schemaProblems(document)
    route(document)
    outcome.errors = problems.slice(0, 5).map(told)
    return { ...outcome, loaded: problems.length === 0, milliseconds: since(), crash: undefined }
  } catch (error) {
    if (error instanceof ConfigErrors) outcome.errors = error.errors.slice(0, 5).map(told)
    else if (error instanceof ConfigError) outcome.errors = [told(error)]
    else
      return {
        ...outcome,
        milliseconds: since(),
        crash: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }
    return { ...outcome, milliseconds: since(), crash: undefined }
  }
}

function told({ code, message, place }: ConfigError): string {
  return `${code} ${place === undefined ? 'nowhere' : `${place.file}:${place.line}:${place.column}`} ${message}`
}

/** Throws where the gate could not tell two paths apart. */
function route({ operations, basePath }: ApiDocument): void {
  const mounted = operations.map(
    (operation): MountedOperation => ({
      method: operation.method,
      path: operation.path.slice(basePath.length),
      program: { operation } as MountedOperation['program'],
    }),
  )
  createRouter([{ hosts: undefined, prefix: basePath, operations: mounted } as unknown as Mount])
}

for await (const file of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await check(file))}\n`)
}
