import { createRequire } from 'node:module'
import { InjectionUnavailable } from './detector.ts'

/**
 * Asks libinjection, as it is built into libddwaf, about small texts: the fingerprint of each that it takes for injected SQL, by index. Only texts that
 * are made here are handed in, never a caller's: ASCII, shorter than the 4,096 bytes at which libddwaf cuts, and not many kinds of them.
 */
export type Carrier = (texts: readonly string[]) => readonly (string | undefined)[]

/* What is used of @datadog/native-appsec. */
interface Native {
  readonly DDWAF: new (rules: object, path: string) => { createContext(): Context }
}
interface Context {
  run(payload: { readonly ephemeral: Readonly<Record<string, string>> }, timeoutMicroseconds: number): Outcome
}
interface Outcome {
  readonly timeout: boolean
  readonly errorCode?: number
  readonly metrics?: { readonly maxTruncatedString?: number }
  readonly events?: readonly {
    readonly rule: { readonly id: string }
    readonly rule_matches: readonly { readonly parameters: readonly { readonly highlight?: readonly string[] }[] }[]
  }[]
}

/** How many texts are asked about in one call. Each has an address and a rule of its own: of one rule only the first match is told. */
const slotCount = 64
const slots: readonly string[] = Array.from({ length: slotCount }, (_, i) => `text${i}`)
/** Microseconds. The texts take less than one each; what takes a second is no answer. */
const timeoutMicroseconds = 1_000_000

/** Loads the library, once. Throws `InjectionUnavailable` where there is none for this system. */
export function openCarrier(): Carrier {
  carrier ??= load()
  return carrier
}

let carrier: Carrier | undefined

function load(): Carrier {
  let native: Native
  try {
    native = createRequire(import.meta.url)('@datadog/native-appsec') as Native
  } catch (error) {
    throw new InjectionUnavailable(error)
  }
  // Rules with one type are a group of which only the first match is told, so each has its own.
  const rules = slots.map((slot) => ({
    id: slot,
    name: slot,
    tags: { type: slot, category: 'attack_attempt' },
    conditions: [{ operator: 'is_sqli', parameters: { inputs: [{ address: slot }] } }],
    transformers: [],
  }))
  const library = new native.DDWAF({ version: '2.2', metadata: { rules_version: '1.0.0' }, rules }, 'portcullis')
  // Held together: a context must not outlive what it was made of.
  const held = { library, context: library.createContext() }

  return (texts) => {
    const found: (string | undefined)[] = texts.map(() => undefined)
    for (let first = 0; first < texts.length; first += slotCount) {
      const ephemeral: Record<string, string> = {}
      for (let i = first; i < Math.min(first + slotCount, texts.length); i++) ephemeral[slots[i - first]!] = texts[i]!
      const outcome = held.context.run({ ephemeral }, timeoutMicroseconds)
      if (outcome.timeout || outcome.errorCode !== undefined || outcome.metrics?.maxTruncatedString !== undefined) {
        throw new Error('libinjection gave no answer', { cause: outcome })
      }
      for (const { rule, rule_matches: matches } of outcome.events ?? []) {
        found[first + slots.indexOf(rule.id)] = matches[0]?.parameters[0]?.highlight?.[0]
      }
    }
    return found
  }
}
