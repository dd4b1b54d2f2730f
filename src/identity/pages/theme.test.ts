import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { html, trusted } from './html.ts'
import { createPages } from './page.ts'
import { contrast, loadTheme } from './theme.ts'

const issuer = 'https://id.example.com/oauth'
let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'portcullis-theme-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe('the theme', () => {
  test.each(['#000000', '#ffffff', '#ffd400', '#808080', '#0a7d5a', '#ff00ff', '#777777'])(
    'makes of %s shades that can be read on both backgrounds',
    (colour) => {
      const css = loadTheme({ colour }, issuer).style.body.toString()
      const shades = [...css.matchAll(/--accent:#([0-9a-f]{6});--on-accent:#([0-9a-f]{6})/g)]
      expect(shades).toHaveLength(2)
      const parts = (text: string) => [0, 2, 4].map((at) => Number.parseInt(text.slice(at, at + 2), 16)) as never
      for (const [index, ground] of ([0, 1] as const).entries()) {
        const [, accent, ink] = shades[index] as unknown as [string, string, string]
        expect(contrast(parts(accent), ground === 0 ? [255, 255, 255] : [27, 31, 38])).toBeGreaterThanOrEqual(4.5)
        expect(contrast(parts(accent), parts(ink))).toBeGreaterThanOrEqual(4.5)
      }
    },
  )

  test('takes an SVG or PNG file as logo, and says what is wrong with another', () => {
    const file = (name: string, body: string | Buffer) => {
      writeFileSync(join(dir, name), body)
      return join(dir, name)
    }
    expect(loadTheme({ logo: file('a.svg', '<svg/>') }, issuer).logo?.type).toBe('image/svg+xml')
    expect(() => loadTheme({ logo: file('a.gif', 'x') }, issuer)).toThrow('expected an .svg or .png file')
    expect(() => loadTheme({ logo: file('big.png', Buffer.alloc(513 * 1024)) }, issuer)).toThrow(
      'more than 524288 bytes',
    )
    expect(() => loadTheme({ logo: join(dir, 'none.svg') }, issuer)).toThrow('there is no')
    expect(() => loadTheme({ colour: 'red' }, issuer)).toThrow('expected #rrggbb')
  })

  test('names the service by its host where nothing else is said, and files by their content', () => {
    const pages = createPages({ issuer, theme: {} })
    expect(pages.render({ title: 'T', body: html`` })).toContain('<title>T · id.example.com</title>')
    const { style } = pages.theme
    expect(style.name).toMatch(/^style\.[0-9a-f]{12}\.css$/)
    expect(pages.asset(style.name)).toBe(style)
    expect(pages.asset('__proto__')).toBeUndefined()
  })
})

describe('markup', () => {
  test.each([
    [html`<p>${'<b>"\'&'}</p>`, '<p>&lt;b&gt;&quot;&#39;&amp;</p>'],
    [html`${[html`<i>${'<'}</i>`, '<']}`, '<i>&lt;</i>&lt;'],
    [html`${undefined}${false}${0}`, '0'],
    [html`${trusted('<b>')}`, '<b>'],
  ])('escapes all that is put into it, and nothing else: %#', (made, markup) => {
    expect(made.markup).toBe(markup)
  })
})
