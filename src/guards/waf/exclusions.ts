import { parseRules, RuleError, type Target } from '../../waf/index.ts'

/**
 * Reads what an exclusion names: a target as rules write it, or a JSON Pointer into the body. Throws what is wrong with it,
 * in words.
 */
export function readTarget(text: string): Target {
  const written = text.startsWith('/') ? targetOfPointer(text) : text
  // One target and nothing else: it becomes part of a rule below.
  if (!/^[A-Za-z_]+(?::(?:\/[^\s"\\|,]*(?:\\.[^\s"\\|,]*)*\/|[^\s"'|,!&\\]+))?$/.test(written)) {
    throw new Error(
      'expected a target such as ARGS:comment or REQUEST_HEADERS:X-Note, or a JSON Pointer such as /items/*/note',
    )
  }
  try {
    const rules = parseRules([
      { name: 'target', text: `SecRule ${written} "@unconditionalMatch" "id:1,phase:2,pass"\n` },
    ])
    const rule = rules.phases[2].find((one) => one.kind === 'rule')
    return rule!.conditions[0].targets[0]!
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    const { message, hint } = error.problems[0]!
    throw new Error(hint === undefined ? message : `${message}: ${hint}`)
  }
}

/** How a member of a JSON body is called among the arguments: `/items/0/note` is `ARGS:json.items.0.note`. */
function targetOfPointer(pointer: string): string {
  const tokens = pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
  if (tokens.some((token) => /[\s"'|,!&\\]/.test(token)))
    throw new Error('a pointer with such characters cannot name a target')
  if (!tokens.includes('*') && !tokens.some((token) => token.includes('/'))) return `ARGS:json.${tokens.join('.')}`
  const source = tokens.map((token) => (token === '*' ? '[^.]+' : token.replace(/[.*+?^${}()[\]/-]/g, '\\$&')))
  return `ARGS:/^json\\.${source.join('\\.')}$/`
}

/** The rules that an exclusion names, from and to. */
export function readRange(rule: number | string): readonly [from: number, to: number] {
  const [from, to] = String(rule).split('-').map(Number)
  return [from!, to ?? from!]
}
