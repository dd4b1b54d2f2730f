import { readFileSync } from 'node:fs'

/** Mutations for each test: a few thousand unless FUZZ_RUNS says otherwise. */
export const fuzzRuns = Number(process.env.FUZZ_RUNS ?? 2_000)

const seed = Number(process.env.FUZZ_SEED ?? 1)

/** The inputs of `corpus/<name>.txt`, as byte strings. */
export function readCorpus(name: string): readonly string[] {
  const text = readFileSync(new URL(`corpus/${name}.txt`, import.meta.url), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => Buffer.from(bytesOf(line), 'latin1').toString('latin1'))
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0', '\\': '\\' }

function bytesOf(line: string): string {
  return line.replace(/\\(?:x([0-9a-fA-F]{2})|([nrt0\\]))/g, (_, hex?: string, letter?: string) =>
    hex === undefined ? escapes[letter!]! : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

/**
 * Runs `check` over every input of a corpus and over mutations of them: bytes changed, cut out, repeated, words of the
 * format put in, two inputs joined. The same seed makes the same mutations.
 */
export function fuzz(inputs: readonly string[], words: readonly string[], check: (input: string) => void): void {
  const run = (input: string) => {
    try {
      check(input)
    } catch (error) {
      throw new Error(`with FUZZ_SEED=${seed}, on ${JSON.stringify(input)}`, { cause: error })
    }
  }
  for (const input of inputs) run(input)
  const random = createRandom(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const pick = <T>(list: readonly T[]) => list[below(list.length)]!
  for (let i = 0; i < fuzzRuns; i++) {
    let input = pick(inputs)
    for (let changes = 1 + below(4); changes > 0; changes--) {
      const at = below(input.length + 1)
      const end = Math.min(input.length, at + 1 + below(8))
      switch (below(6)) {
        case 0:
          input = input.slice(0, at) + String.fromCharCode(below(256)) + input.slice(at + 1)
          break
        case 1:
          input = input.slice(0, at) + input.slice(end)
          break
        case 2:
          input = input.slice(0, at) + pick(words) + input.slice(at)
          break
        case 3:
          input = input.slice(0, at) + pick(words) + input.slice(end)
          break
        case 4:
          input = input.slice(0, at) + input.slice(at, end).repeat(1 + below(20)) + input.slice(end)
          break
        default: {
          const other = pick(inputs)
          input = input.slice(0, at) + other.slice(below(other.length + 1))
        }
      }
    }
    run(input.slice(0, 20_000))
  }
}

/** Mulberry32: small, and good enough to choose mutations. */
function createRandom(start: number): () => number {
  let state = start | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
