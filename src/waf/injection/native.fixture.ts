import { createRequire } from 'node:module'

/** What libddwaf's build of libinjection says by itself of a value. */
export interface NativeVerdict {
  readonly sqli: string | undefined
  readonly xss: boolean
}

interface Context {
  run(
    payload: object,
    timeout: number,
  ): {
    readonly events?: readonly { rule: { id: string }; rule_matches: { parameters: { highlight: string[] }[] }[] }[]
  }
}

const slots = Array.from({ length: 64 }, (_, i) => `v${i}`)

/** Asks it about values of up to 4,096 ASCII characters each. */
export function createNativeJudge(): (values: readonly string[]) => readonly NativeVerdict[] {
  const { DDWAF } = createRequire(import.meta.url)('@datadog/native-appsec') as {
    DDWAF: new (rules: object, path: string) => { createContext(): Context }
  }
  const rule = (operator: string, slot: string) => ({
    id: `${operator} ${slot}`,
    name: slot,
    tags: { type: `${operator} ${slot}`, category: 'attack_attempt' },
    conditions: [{ operator, parameters: { inputs: [{ address: slot }] } }],
    transformers: [],
  })
  const rules = slots.flatMap((slot) => [rule('is_sqli', slot), rule('is_xss', slot)])
  const context = new DDWAF({ version: '2.2', metadata: { rules_version: '1' }, rules }, 'judge').createContext()
  return (values) => {
    const verdicts: { sqli: string | undefined; xss: boolean }[] = values.map(() => ({ sqli: undefined, xss: false }))
    for (let first = 0; first < values.length; first += slots.length) {
      const part = values.slice(first, first + slots.length)
      const ephemeral = Object.fromEntries(part.map((value, i) => [slots[i]!, value]))
      for (const { rule: found, rule_matches: matches } of context.run({ ephemeral }, 10_000_000).events ?? []) {
        const [operator, slot] = found.id.split(' ') as [string, string]
        const verdict = verdicts[first + slots.indexOf(slot)]!
        if (operator === 'is_xss') verdict.xss = true
        else verdict.sqli = matches[0]!.parameters[0]!.highlight[0]
      }
    }
    return verdicts
  }
}

/** A stream of numbers from 0 to 1 that is the same each time (Mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Random values, put together of pieces. */
export function* compose(pieces: readonly string[], glue: string, count: number, seed = 1): Generator<string[]> {
  const random = createRandom(seed)
  for (let made = 0; made < count; made += 1_000) {
    yield Array.from({ length: Math.min(1_000, count - made) }, () =>
      Array.from({ length: 1 + Math.floor(random() * 9) }, () => pieces[Math.floor(random() * pieces.length)]!).join(
        glue === '' && random() < 0.5 ? ' ' : glue,
      ),
    )
  }
}

/** How many random values a test takes: 100,000 unless FUZZ_RUNS says more. */
export const valuesCount = Math.max(100_000, Number(process.env.FUZZ_RUNS ?? 0))
