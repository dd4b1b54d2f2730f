import { hash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { extname } from 'node:path'
import { ConfigError, messageOf } from '../../base/errors.ts'
import type { ThemeSettings } from '../people.ts'
import { passkeyScript } from './passkey-script.ts'
import { styles } from './styles.ts'

/** A file that pages load, under a name that changes with its content. */
export interface Asset {
  readonly name: string
  readonly type: string
  readonly body: Buffer
}

export interface Theme {
  readonly serviceName: string
  readonly style: Asset
  readonly script: Asset
  /** `@simplewebauthn/browser`, as its package ships it for browsers. */
  readonly library: Asset
  readonly logo: Asset | undefined
}

const logoBytesMax = 512 * 1024
const logoTypes: Readonly<Record<string, string>> = { '.svg': 'image/svg+xml', '.png': 'image/png' }
const defaultColour = '#1f5fbf'

/** Reads what pages are made of, once. */
export function loadTheme({ name, logo, colour = defaultColour }: ThemeSettings, issuer: string): Theme {
  return {
    serviceName: name ?? new URL(issuer).host,
    style: asset('style.css', 'text/css; charset=utf-8', Buffer.from(paletteOf(colour) + styles)),
    script: asset('passkey.js', 'text/javascript; charset=utf-8', Buffer.from(passkeyScript)),
    library: asset('webauthn.js', 'text/javascript; charset=utf-8', readFileSync(libraryFile())),
    logo: logo === undefined ? undefined : logoAsset(logo),
  }
}

function libraryFile(): URL {
  return new URL('../dist/bundle/index.umd.min.js', import.meta.resolve('@simplewebauthn/browser'))
}

function logoAsset(file: string): Asset {
  const type = logoTypes[extname(file).toLowerCase()]
  if (type === undefined) throw new ConfigError('P1063', `theme.logo: expected an .svg or .png file, found ${file}`)
  let body: Buffer
  try {
    if (statSync(file).size > logoBytesMax) throw new Error(`${file} has more than ${logoBytesMax} bytes`)
    body = readFileSync(file)
  } catch (error) {
    throw new ConfigError('P1063', `theme.logo: ${messageOf(error)}`, { cause: error })
  }
  return asset(`logo${extname(file).toLowerCase()}`, type, body)
}

function asset(name: string, type: string, body: Buffer): Asset {
  const extension = extname(name)
  const mark = hash('sha256', body, 'hex').slice(0, 12)
  return { name: `${name.slice(0, -extension.length)}.${mark}${extension}`, type, body }
}

type Rgb = readonly [number, number, number]

const white: Rgb = [255, 255, 255]
const black: Rgb = [0, 0, 0]
const lightCard: Rgb = [255, 255, 255]
const darkCard: Rgb = [27, 31, 38]

/** The operator's colour in shades that can be read on both backgrounds (WCAG 2.2, 1.4.3: a contrast of 4.5). */
function paletteOf(colour: string): string {
  const chosen = parse(colour)
  const onLight = readable(chosen, lightCard, black)
  const onDark = readable(chosen, darkCard, white)
  const line = (accent: Rgb) => {
    const ink = contrast(accent, white) >= contrast(accent, black) ? white : black
    return `--accent:${hex(accent)};--on-accent:${hex(ink)}`
  }
  return `:root{${line(onLight)}}@media(prefers-color-scheme:dark){:root{${line(onDark)}}}\n`
}

/** Moves a colour towards another until it stands out from the ground. */
function readable(colour: Rgb, ground: Rgb, towards: Rgb): Rgb {
  for (let step = 0; step <= 20; step++) {
    const mixed = colour.map((part, index) => Math.round(part + ((towards[index]! - part) * step) / 20)) as [
      number,
      number,
      number,
    ]
    if (contrast(mixed, ground) >= 4.5) return mixed
  }
  return towards
}

/** WCAG 2.2, contrast ratio. */
export function contrast(a: Rgb, b: Rgb): number {
  const [lighter, darker] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number]
  return (lighter + 0.05) / (darker + 0.05)
}

function luminance(colour: Rgb): number {
  const [red, green, blue] = colour.map((part) => {
    const share = part / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

function parse(colour: string): Rgb {
  const [, digits] = /^#([0-9a-f]{6})$/i.exec(colour) ?? []
  if (digits === undefined) throw new ConfigError('P1063', `theme.colour: expected #rrggbb, found ${colour}`)
  const value = Number.parseInt(digits, 16)
  return [value >> 16, (value >> 8) & 255, value & 255]
}

function hex(colour: Rgb): string {
  return `#${colour.map((part) => part.toString(16).padStart(2, '0')).join('')}`
}
