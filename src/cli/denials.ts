import { createCompiler } from '../gate/compile.ts'
import type { Guard, Host } from '../gate/guard.ts'
import type { Mount } from '../gate/router.ts'
import type { Upstream } from '../gate/upstream.ts'
import type { Answer } from '../gate/verdict.ts'
import { type DenialPage, denialPages } from '../guards/denials.ts'
import { unlisted } from '../guards/unlisted.ts'
import { escapeXml } from '../http/problem.ts'
import { defaultSecurityHeaders } from '../http/security-headers.ts'
import { loadDocument, unlistedOperations } from '../openapi/index.ts'

/** Where a problem's `type` leads: a small page on the gate itself, open to everybody, the same on every gate. */
const document = {
  openapi: '3.1.0',
  info: { title: 'What a refusal means', version: '1' },
  security: [],
  paths: {
    '/.well-known/portcullis/denials': { get: { responses: { 200: { description: 'All of them.' } } } },
    '/.well-known/portcullis/denials/{code}': {
      get: {
        parameters: [{ name: 'code', in: 'path', required: true, schema: { type: 'string' } }],
        responses: { 200: { description: 'One of them.' } },
      },
    },
  },
}

const headers = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'max-age=86400',
  ...Object.fromEntries(pairs(defaultSecurityHeaders(false))),
}
const pages = new Map<string, Answer>(
  Object.entries(denialPages).map(([code, page]) => [code, answer(onePage(code, page))]),
)
const index = answer(indexPage())
const unknown: Answer = { ...answer(layout('No such refusal', '<p>No refusal has this code.</p>')), status: 404 }

/** Answers in the upstream's place, so that the pages run through the same listeners, router and log as everything else. */
const pagesGuard: Guard = {
  name: 'denialPages',
  stage: 'validate',
  options: { parse: () => undefined } as never,
  setup: () => (operation) =>
    operation.kind === 'listed'
      ? { requestHead: ({ pathValues: [code] }) => (code === undefined ? index : (pages.get(code) ?? unknown)) }
      : undefined,
}

/** The mount that serves the pages about refusals, for one set of hosts. */
export async function denialMount(hosts: readonly string[] | undefined, host: Host): Promise<Mount> {
  const loaded = await loadDocument({
    file: '/denials.json',
    api: 'portcullis',
    read: async () => JSON.stringify(document),
  })
  const compile = await createCompiler(
    {
      guards: [unlisted as unknown as Guard, pagesGuard],
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
    hosts,
    prefix: '/.well-known/portcullis',
    upstreamPrefix: '/.well-known/portcullis',
    header: undefined,
    mediaType: undefined,
    fallback: false,
    // Never asked: every operation is answered here.
    upstream: undefined as unknown as Upstream,
    operations: loaded.operations.map((operation) => ({
      method: operation.method,
      path: operation.path.slice('/.well-known/portcullis'.length),
      program: compile(operation),
    })),
    unlistedPath: compile(others.path),
    unlistedMethod: (allow, path) => compile(others.method(allow, path)),
  }
}

function pairs(flat: readonly string[]): (readonly [string, string])[] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!] as const)
}

function answer(body: string): Answer {
  return { kind: 'answer', status: 200, headers, body }
}

function onePage(code: string, { status, caller, operator }: DenialPage): string {
  const came = status.filter((one) => one > 0).join(' or ')
  return layout(
    code,
    `<p>Status ${came || 'none: the connection is closed'}.</p>
<h2>If you sent the request</h2><p>${inline(caller)}</p>
<h2>If you run the gate</h2><p>${inline(operator)}</p>
<p><code>portcullis explain &lt;instance&gt;</code> tells what happened to one request.</p>
<p><a href="/.well-known/portcullis/denials">All refusals</a></p>`,
  )
}

function indexPage(): string {
  const items = Object.keys(denialPages).map(
    (code) => `<li><a href="/.well-known/portcullis/denials/${code}">${code}</a></li>`,
  )
  return layout('Refusals', `<ul>${items.join('')}</ul>`)
}

function layout(title: string, body: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>${escapeXml(title)}</title><h1>${escapeXml(title)}</h1>
${body}</html>
`
}

/** `code` in Markdown's way. */
function inline(text: string): string {
  return escapeXml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}
