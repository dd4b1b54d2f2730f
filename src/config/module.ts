import { registerHooks } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError, messageOf } from '../base/errors.ts'

/** What a configuration module exports, and the files it was made from. */
export interface Loaded {
  readonly value: unknown
  readonly files: readonly string[]
}

let loads = 0

/**
 * Runs a `.ts`, `.js` or `.mjs` module and returns its default export, fresh on every call: its own imports are loaded
 * anew with it, those from `node_modules` are not. `import … from 'portcullis'` is this very program, so that a
 * configuration needs nothing installed beside it.
 */
export async function loadModule(file: string): Promise<Loaded> {
  const mark = `portcullis-load=${++loads}`
  const files = new Set([file])
  const door = new URL(import.meta.url.endsWith('.ts') ? '../index.ts' : '../index.js', import.meta.url).href
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (context.parentURL?.includes(mark) !== true) return next(specifier, context)
      if (specifier === 'portcullis') return { url: door, shortCircuit: true }
      const resolved = next(specifier, context)
      if (!resolved.url.startsWith('file:') || resolved.url.includes('/node_modules/')) return resolved
      const url = new URL(resolved.url)
      files.add(fileURLToPath(url))
      url.searchParams.set(...(mark.split('=') as [string, string]))
      return { ...resolved, url: url.href }
    },
  })
  try {
    const module = (await import(`${pathToFileURL(file).href}?${mark}`)) as { default?: unknown }
    if (!('default' in module)) {
      throw new ConfigError('P1004', 'a configuration module has a default export', {
        place: { file, line: 1, column: 1 },
        hint: 'export default defineConfig({ … })',
      })
    }
    return { value: await module.default, files: [...files] }
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const line = lineIn(error, file)
    throw new ConfigError('P1017', `cannot load this module: ${messageOf(error)}`, {
      place: { file, line, column: 1 },
      cause: error,
    })
  } finally {
    hooks.deregister()
  }
}

/** The line of the module that the error's stack names first. */
function lineIn(error: unknown, file: string): number {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const at = stack.indexOf(pathToFileURL(file).href)
  const match = /^[^\s)]*?:(\d+)(?::\d+)?/.exec(stack.slice(at + pathToFileURL(file).href.length))
  return at === -1 || match === null ? 1 : Number(match[1])
}
