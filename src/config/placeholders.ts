import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { ConfigError, type Place } from '../base/errors.ts'
import { nearest } from '../base/suggest.ts'
import { readText, type ScalarTree, type Tree } from './tree.ts'

const secretBytesMax = 1024 * 1024

/** Where `${NAME}` gets its value: the environment, then `.env` beside the configuration, then the file `NAME_FILE` names. */
export class Variables {
  readonly #sources: readonly Readonly<Record<string, string | undefined>>[]
  readonly #directory: string
  readonly #filled = new Map<string, string>()
  readonly #files = new Set<string>()

  constructor(env: Readonly<Record<string, string | undefined>>, directory: string) {
    const dotEnv = resolve(directory, '.env')
    this.#directory = directory
    // Watched also while it does not exist: writing it is the usual answer to "is not set".
    this.#files.add(dotEnv)
    this.#sources = existsSync(dotEnv) ? [env, parseEnv(readText(dotEnv, 'P1001', secretBytesMax))] : [env]
  }

  /** `.env` and every file whose text went into the configuration. */
  get files(): readonly string[] {
    return [...this.#files]
  }

  /** Replaces every value that was filled in by the placeholder it came from, so that a message can be shown. */
  redact(text: string): string {
    let redacted = text
    const longestFirst = [...this.#filled].sort(([a], [b]) => b.length - a.length)
    for (const [value, placeholder] of longestFirst) {
      redacted = redacted.replaceAll(value, placeholder)
      const quoted = JSON.stringify(value).slice(1, -1)
      if (quoted !== value) redacted = redacted.replaceAll(quoted, placeholder)
    }
    return redacted
  }

  /** A copy of the tree with the placeholders of every text filled in. What cannot be filled goes to `errors`. */
  fill(tree: Tree, errors: ConfigError[]): Tree {
    if (tree.kind === 'list') return { ...tree, items: tree.items.map((item) => this.fill(item, errors)) }
    if (tree.kind === 'map') {
      const entries = new Map(
        [...tree.entries].map(([name, entry]) => [name, { ...entry, tree: this.fill(entry.tree, errors) }]),
      )
      return { ...tree, entries }
    }
    return typeof tree.value === 'string' && tree.value.includes('${') ? this.#fillScalar(tree, errors) : tree
  }

  #fillScalar(tree: ScalarTree, errors: ConfigError[]): ScalarTree {
    const asWritten = tree.value as string
    const value = asWritten.replace(/\$\$\{|\$\{([^}]*)(\}?)/g, (whole, inside: string | undefined, end: string) => {
      if (inside === undefined) return '${'
      try {
        if (end !== '}') throw new ConfigError('P1011', 'this placeholder has no end', { place: tree.place, hint: '}' })
        const text = this.#textOf(inside, tree.place)
        this.#remember(text, whole)
        return text
      } catch (error) {
        errors.push(error as ConfigError)
        return whole
      }
    })
    return { ...tree, value, asWritten }
  }

  #textOf(inside: string, place: Place): string {
    if (inside.startsWith('file:')) return this.#textOfFile(resolve(dirname(place.file), inside.slice(5).trim()), place)
    const match = /^([A-Za-z_][A-Za-z0-9_]*)(:-([\s\S]*))?$/.exec(inside)
    if (match === null) {
      const hint = 'write ${NAME}, ${NAME:-default} or ${file:./path}; $${ stands for ${ itself'
      throw new ConfigError('P1011', 'this placeholder cannot be understood', { place, hint })
    }
    const name = match[1]!
    for (const source of this.#sources) {
      const value = source[name]
      if (value !== undefined && value !== '') return value
    }
    for (const source of this.#sources) {
      const file = source[`${name}_FILE`]
      if (file !== undefined && file !== '') return this.#textOfFile(resolve(this.#directory, file), place)
    }
    if (match[3] !== undefined) return match[3]
    const empty = this.#sources.some((source) => source[name] === '')
    const meant = nearest(
      name,
      this.#sources.flatMap((source) => Object.keys(source)),
    )
    const hint = empty
      ? 'allow it with ${NAME:-}'.replace('NAME', name)
      : meant
        ? `did you mean "${meant}"?`
        : undefined
    throw new ConfigError('P1010', `the variable ${name} is ${empty ? 'set but empty' : 'not set'}`, {
      place,
      hint: hint ?? `set it, write it to .env, name a file in ${name}_FILE, or give a default: \${${name}:-…}`,
    })
  }

  #textOfFile(file: string, place: Place): string {
    this.#files.add(file)
    return readText(file, 'P1012', secretBytesMax, place).replace(/\r?\n$/, '')
  }

  /** Texts of a few letters are in any message by chance, and no secrets. */
  #remember(value: string, placeholder: string): void {
    const secrets = [value]
    // A message about a URL may quote its password alone.
    if (URL.canParse(value)) secrets.push(new URL(value).password, decode(new URL(value).password))
    for (const secret of secrets) {
      if (secret.length >= 4 && !placeholder.includes(secret)) this.#filled.set(secret, placeholder)
    }
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
