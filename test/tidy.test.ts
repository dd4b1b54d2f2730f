import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = new URL('..', import.meta.url).pathname
const everything = '*'

/** Who may import whom: ARCHITECTURE.md has the table with its reasons. Every folder may import itself. */
const mayImport: Readonly<Record<string, readonly string[] | typeof everything>> = {
  base: [],
  // The language of rules is a library of its own: a scope tells it what there is to ask for.
  rules: ['base'],
  config: ['base'],
  http: ['base'],
  openapi: ['base'],
  // A passage speaks of nothing but text and numbers.
  traffic: ['base'],
  store: ['base', 'config'],
  credentials: ['base', 'config', 'store'],
  vault: ['base', 'config', 'store'],
  identity: ['base', 'config', 'http', 'vault', 'store', 'credentials'],
  gate: ['base', 'config', 'http', 'openapi', 'traffic', 'store', 'vault'],
  // For callers, in Node and in browsers: nothing of the gate is in it.
  client: [],
  // The engine is a library of its own: nothing of the gate is in it.
  waf: ['base'],
  crs: ['base', 'config', 'http', 'waf'],
  guards: [
    'base',
    'config',
    'http',
    'openapi',
    'traffic',
    'credentials',
    'store',
    'vault',
    'gate',
    'rules',
    'waf',
    'crs',
  ],
  watch: ['base', 'config', 'http', 'traffic', 'store'],
  admin: ['base', 'config', 'http', 'store', 'credentials', 'identity', 'vault', 'traffic'],
  middleware: everything,
  cli: everything,
}

/** Folders that do no input or output of their own: engines, to be called with everything they need. */
const pure: Readonly<Record<string, RegExp>> = {
  base: /from 'node:(?!buffer|crypto|util)/,
  rules: /from 'node:/,
  client: /from 'node:/,
  http: /from 'node:(?!http'|http2'|buffer|crypto)/,
  // `module`: a native library is loaded by name. `crypto`: hashes that rules ask for.
  waf: /from 'node:(?!buffer|crypto|module)/,
}

const sources = globSync('src/**/*.ts', { cwd: root }).filter((file) => !isTest(file))

function isTest(file: string): boolean {
  return /\.(test|contract|fixture)\.ts$|\/(fixture|testing|wire-kit)\.ts$/.test(file)
}

function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!)
}

function folderOf(file: string): string | undefined {
  const [, folder, rest] = file.split('/')
  return rest === undefined ? undefined : folder
}

describe('the house', () => {
  test('every folder of src stands in the table of who may import whom', () => {
    const folders = new Set(sources.map(folderOf).filter((folder) => folder !== undefined))
    expect([...folders].sort()).toEqual(Object.keys(mayImport).sort())
  })

  test.each(Object.entries(mayImport))('%s imports only what it may', (folder, allowed) => {
    if (allowed === everything) return
    const wrong = sources
      .filter((file) => folderOf(file) === folder)
      .flatMap((file) =>
        importsOf(file)
          .filter((name) => name.startsWith('.'))
          .map((name) => [file, relative(root, join(root, dirname(file), name))] as const),
      )
      .filter(([, target]) => {
        const other = folderOf(target)
        return other !== folder && (other === undefined || !allowed.includes(other))
      })
    expect(wrong).toEqual([])
  })

  test.each(Object.entries(pure))('%s touches no socket, file or process', (folder, forbidden) => {
    const wrong = sources
      .filter((file) => folderOf(file) === folder)
      .filter((file) => forbidden.test(readFileSync(join(root, file), 'utf8')))
    expect(wrong).toEqual([])
  })

  test('the gate knows no guard by name', () => {
    const names = globSync('src/guards/*.ts', { cwd: root })
      .filter((file) => !isTest(file) && !file.endsWith('index.ts'))
      .map((file) => /name: '(\w+)',\n\s+stage:/.exec(readFileSync(join(root, file), 'utf8'))?.[1])
      .filter((name) => name !== undefined)
    expect(names.length).toBeGreaterThan(10)
    const wrong = sources
      .filter((file) => folderOf(file) === 'gate')
      .filter((file) => {
        const text = readFileSync(join(root, file), 'utf8')
        return names.some((name) => new RegExp(`(===|case|!==) '${name}'`).test(text))
      })
    expect(wrong).toEqual([])
  })

  test('every guard has its test beside it', () => {
    const guards = globSync('src/guards/*.ts', { cwd: root }).filter((file) => !isTest(file))
    const untested = guards
      .filter((file) => /stage: '/.test(readFileSync(join(root, file), 'utf8')))
      .filter((file) => !existsSync(join(root, file.replace('.ts', '.test.ts'))))
    expect(untested).toEqual([])
  })

  test('nothing is left to do later without saying where it is written down', () => {
    const files = globSync('{src,test,bench,examples,scripts}/**/*.{ts,mjs}', { cwd: root })
    const wrong = files.filter((file) => {
      // Put together, so that this line is not one itself.
      const word = `\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['X', 'XX'].join('')})\\b`
      return new RegExp(word).test(readFileSync(join(root, file), 'utf8'))
    })
    expect(wrong).toEqual([])
  })

  test('no test skips, sleeps or stands alone by accident', () => {
    const tests = globSync('{src,test,examples}/**/*.test.ts', { cwd: root }).filter(
      (file) => !file.endsWith('tidy.test.ts'),
    )
    const wrong = tests.filter((file) => {
      const text = readFileSync(join(root, file), 'utf8')
      return /\b(test|describe|it)\.only\(|\btest\.skip\(|toMatchSnapshot|toMatchInlineSnapshot/.test(text)
    })
    expect(wrong).toEqual([])
  })
})

describe('the promises', () => {
  test('every test that docs/rows.md names is there', () => {
    const text = readFileSync(join(root, 'docs/rows.md'), 'utf8')
    const missing: string[] = []
    for (const row of text.split('\n').filter((line) => line.startsWith('| '))) {
      let source = ''
      for (const [, file, title] of row.matchAll(/`((?:test|src)\/[^`]+\.ts)`|“([^”]+)”/g)) {
        if (file !== undefined) source = existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8') : ''
        if (source === '') missing.push(file ?? title!)
        else if (title !== undefined && !source.includes(title)) missing.push(title)
      }
    }
    expect(missing).toEqual([])
  })
})

describe('dependencies', () => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }

  test('every one of them has a line in docs/decisions on why it is there', () => {
    const decisions = globSync('docs/decisions/*.md', { cwd: root })
      .map((file) => readFileSync(join(root, file), 'utf8'))
      .join('\n')
    expect(Object.keys(dependencies).filter((name) => !decisions.includes(name))).toEqual([])
  })

  test('none of them runs a script when it is installed', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { readonly hasInstallScript?: boolean; readonly dev?: boolean }>
    }
    const wrong = Object.entries(lock.packages).filter(
      ([, entry]) => entry.hasInstallScript === true && entry.dev !== true,
    )
    expect(wrong.map(([path]) => path)).toEqual([])
  })
})
