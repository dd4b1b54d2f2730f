import type { ServerResponse } from 'node:http'
import type { PeopleSettings } from '../people.ts'
import { type Html, html } from './html.ts'
import { type Asset, loadTheme, type Theme } from './theme.ts'

/** What one page shows, without the frame that all have. */
export interface View {
  readonly title: string
  readonly body: Html
  readonly wide?: boolean
  /** Loads what asks an authenticator. */
  readonly passkeys?: boolean
  /** Goes on by itself, at once. */
  readonly next?: string
}

/** The frame of all pages, and the files they load. */
export interface Pages {
  /** Path of everything that people see: `/oauth/interaction`. */
  readonly base: string
  readonly theme: Theme
  render(view: View): string
  asset(name: string): Asset | undefined
  /** Headers of every page. */
  readonly headers: Readonly<Record<string, string>>
}

/** Reads the theme and prepares the frame. Throws `ConfigError` for a logo or colour that cannot be used. */
export function createPages({ issuer, theme: settings }: Pick<PeopleSettings, 'issuer' | 'theme'>): Pages {
  const theme = loadTheme(settings, issuer)
  const { pathname, protocol } = new URL(issuer)
  const base = `${pathname.replace(/\/$/, '')}/interaction`
  const url = (asset: Asset) => `${base}/assets/${asset.name}`
  const assets = [theme.style, theme.script, theme.library, theme.logo].filter((asset) => asset !== undefined)
  const byName = new Map(assets.map((asset) => [asset.name, asset]))

  return {
    base,
    theme,
    asset: (name) => byName.get(name),
    headers: pageHeaders(protocol === 'https:'),
    render({ title, body, wide, passkeys, next }) {
      return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title} · ${theme.serviceName}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
${next !== undefined && html`<meta http-equiv="refresh" content="0;url=${next}">`}
<link rel="stylesheet" href="${url(theme.style)}">
<link rel="icon" href="${theme.logo === undefined ? 'data:,' : url(theme.logo)}">
${passkeys && html`<script src="${url(theme.library)}" defer></script><script src="${url(theme.script)}" defer></script>`}
</head>
<body>
<header class="brand">${theme.logo !== undefined && html`<img src="${url(theme.logo)}" alt="">`}<span>${theme.serviceName}</span></header>
<main${wide && html` class="wide"`}>
${body}
</main>
</body>
</html>
`.markup
    },
  }
}

/** Nothing from anywhere else, in no frame, and in no cache. */
function pageHeaders(isEncrypted: boolean): Readonly<Record<string, string>> {
  return {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy':
      "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    'X-Frame-Options': 'DENY',
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
    // Not `no-referrer`: browsers would then send forms with `Origin: null` (Fetch, 3.2), which we refuse.
    'Referrer-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    ...(isEncrypted ? { 'Strict-Transport-Security': 'max-age=31536000; includeSubDomains' } : {}),
  }
}

/** Answers with a page. */
export function sendPage(
  response: ServerResponse,
  pages: Pages,
  status: number,
  view: View,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = Buffer.from(pages.render(view))
  response.writeHead(status, { ...pages.headers, ...headers, 'Content-Length': body.length })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

const year = 31_536_000

/** Answers with a file that pages load; its name changes with its content, so that caches may keep it. */
export function sendAsset(response: ServerResponse, { type, body }: Asset): void {
  response.writeHead(200, {
    'Content-Type': type,
    'Content-Length': body.length,
    'Cache-Control': `public, max-age=${year}, immutable`,
    'X-Content-Type-Options': 'nosniff',
    // An SVG opened by itself is a document, too.
    'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
    'Cross-Origin-Resource-Policy': 'same-origin',
  })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}
