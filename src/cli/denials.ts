import type { Host } from '../gate/guard.ts'
import type { Mount } from '../gate/router.ts'
import type { Answer } from '../gate/verdict.ts'
import { type DenialPage, denialPages } from '../guards/denials.ts'
import { escapeXml } from '../http/problem.ts'
import { defaultSecurityHeaders } from '../http/security-headers.ts'
import { type OwnPage, ownMount } from './own-pages.ts'

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

/** The mount of the pages that a problem's `type` leads to: small, open to everybody, the same on every gate. */
export function denialMount(host: Host): Promise<Mount> {
  const prefix = '/.well-known/portcullis'
  const all: OwnPage = { method: 'GET', path: `${prefix}/denials`, steps: { requestHead: () => index } }
  const one: OwnPage = {
    method: 'GET',
    path: `${prefix}/denials/{code}`,
    steps: { requestHead: ({ pathValues: [code] }) => pages.get(code!) ?? unknown },
  }
  return ownMount(prefix, [all, one], host)
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
