import { createCompiler } from '../gate/compile.ts'
import type { Guard, Host, Steps } from '../gate/guard.ts'
import type { Mount } from '../gate/router.ts'
import type { Upstream } from '../gate/upstream.ts'
import { unlisted } from '../guards/unlisted.ts'
import { loadDocument, unlistedOperations } from '../openapi/index.ts'

/** A page that the gate itself answers. */
export interface OwnPage {
  readonly method: 'GET' | 'POST'
  /** Whole, at the gate; `{name}` is any one segment. */
  readonly path: string
  readonly steps: Steps
}

/**
 * Pages under a prefix that is the gate's own. They run through the same listeners, router and log as everything else;
 * of the guards only `unlisted` and they themselves do.
 */
export async function ownMount(prefix: string, pages: readonly OwnPage[], host: Host): Promise<Mount> {
  const paths: Record<string, Record<string, unknown>> = {}
  const stepsOf = new Map<string, Steps>()
  for (const { method, path, steps } of pages) {
    stepsOf.set(`${method} ${path}`, steps)
    const parameters = [...path.matchAll(/\{(.+?)\}/g)].map(([, name]) => {
      return { name, in: 'path', required: true, schema: { type: 'string' } }
    })
    const operation = { parameters, responses: { 200: { description: 'Answered here.' } } }
    paths[path] = { ...paths[path], [method.toLowerCase()]: operation }
  }
  const document = { openapi: '3.1.0', info: { title: 'Portcullis', version: '1' }, security: [], paths }
  const loaded = await loadDocument({
    file: `${prefix}.json`,
    api: 'portcullis',
    read: async () => JSON.stringify(document),
  })
  const answering: Guard = {
    name: 'ownPages',
    stage: 'validate',
    options: { parse: () => undefined } as never,
    setup: () => (operation) => stepsOf.get(`${operation.method} ${operation.path}`),
  }
  const compile = await createCompiler(
    {
      guards: [unlisted as unknown as Guard, answering],
      optionsOf: () => undefined,
      rootOf: () => undefined,
      hostOf: () => host,
    },
    loaded.operations,
  )
  const others = unlistedOperations(loaded)
  return {
    api: 'portcullis',
    version: undefined,
    hosts: host.hosts,
    prefix,
    upstreamPrefix: prefix,
    header: undefined,
    mediaType: undefined,
    fallback: false,
    // Never asked: every operation is answered here.
    upstream: undefined as unknown as Upstream,
    operations: loaded.operations.map((operation) => ({
      method: operation.method,
      path: operation.path.slice(prefix.length),
      program: compile(operation),
    })),
    unlistedPath: compile(others.path),
    unlistedMethod: (allow, path) => compile(others.method(allow, path)),
  }
}
