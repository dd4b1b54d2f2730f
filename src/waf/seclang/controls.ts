import { nearest } from '../../base/suggest.ts'
import { type Complaints, quotedShort } from './error.ts'
import { lowerCase } from './known.ts'
import { type Piece, trimmed } from './piece.ts'
import type { Control } from './rule.ts'
import { readTargets } from './targets.ts'

/** What may stand after the `=`: one of these words as spelled here, or a form. */
type ValueForm = readonly string[] | 'number' | 'ids' | 'text'

interface ControlSpec {
  readonly name: string
  readonly value: ValueForm
  /** Whether `;ARGS:x` follows. */
  readonly targets?: true
  readonly ineffective?: string
}

const switches = ['On', 'Off']

const controls: ReadonlyMap<string, ControlSpec> = new Map(
  (
    [
      { name: 'auditEngine', value: ['On', 'Off', 'RelevantOnly'] },
      { name: 'auditLogParts', value: 'text' },
      { name: 'debugLogLevel', value: 'number', ineffective: 'there is no debug log' },
      { name: 'forceRequestBodyVariable', value: switches },
      { name: 'forceResponseBodyVariable', value: switches },
      { name: 'hashEnforcement', value: switches, ineffective: 'links are not signed' },
      { name: 'hashEngine', value: switches, ineffective: 'links are not signed' },
      { name: 'requestBodyAccess', value: switches },
      { name: 'requestBodyLimit', value: 'number' },
      { name: 'requestBodyProcessor', value: ['URLENCODED', 'MULTIPART', 'XML', 'JSON', 'RAW'] },
      { name: 'responseBodyAccess', value: switches },
      { name: 'responseBodyLimit', value: 'number' },
      { name: 'responseBodyProcessor', value: ['XML', 'JSON', 'RAW'] },
      { name: 'ruleEngine', value: ['On', 'Off', 'DetectionOnly'] },
      { name: 'ruleRemoveById', value: 'ids' },
      { name: 'ruleRemoveByMsg', value: 'text' },
      { name: 'ruleRemoveByTag', value: 'text' },
      { name: 'ruleRemoveTargetById', value: 'ids', targets: true },
      { name: 'ruleRemoveTargetByMsg', value: 'text', targets: true },
      { name: 'ruleRemoveTargetByTag', value: 'text', targets: true },
    ] satisfies ControlSpec[]
  ).map((spec) => [lowerCase(spec.name), spec]),
)

/** Reads `ruleEngine=Off` or `ruleRemoveTargetById=942100;ARGS:password`. */
export function readControl(piece: Piece, complaints: Complaints): Control | undefined {
  const { text } = piece
  const equals = text.indexOf('=')
  const name = trimmed(piece, 0, equals === -1 ? text.length : equals)
  const spec = controls.get(lowerCase(name.text))
  if (spec === undefined) {
    const near = nearest(
      name.text,
      [...controls.values()].map((one) => one.name),
    )
    complaints.error(name, `unknown ctl ${quotedShort(name.text)}`, near && `did you mean "${near}"?`)
    return undefined
  }
  const semicolon = spec.targets === undefined ? -1 : text.indexOf(';', equals)
  const value = trimmed(piece, equals === -1 ? text.length : equals + 1, semicolon === -1 ? text.length : semicolon)
  if (value.text === '') {
    complaints.error(name, `${spec.name} needs a value`, `write ${spec.name}=…`)
    return undefined
  }
  const shown = wordOf(value, spec, complaints)
  if (spec.ineffective !== undefined) complaints.warn(name, `${spec.name} has no effect: ${spec.ineffective}`)
  if (spec.targets === undefined) return { name: spec.name, value: shown, targets: [] }
  const list = trimmed(piece, semicolon === -1 ? text.length : semicolon + 1, text.length)
  if (list.text === '') {
    complaints.error(name, `${spec.name} needs a variable`, `write ${spec.name}=…;ARGS:name`)
    return undefined
  }
  const { targets, exclusions } = readTargets(list, complaints)
  if (exclusions.length > 0 || targets.some((target) => target.count))
    complaints.error(list, 'expected variables without ! and &')
  return { name: spec.name, value: shown, targets }
}

/** The value, words of a list as the list spells them. */
function wordOf(value: Piece, { name, value: form }: ControlSpec, complaints: Complaints): string {
  if (form === 'text') return value.text
  if (form === 'number') {
    if (!/^\d{1,15}$/.test(value.text)) complaints.error(value, `${name} needs a number`)
    return value.text
  }
  if (form === 'ids') {
    const match = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(value.text)
    if (match === null || Number(match[2] ?? match[1]) < Number(match[1]))
      complaints.error(value, `${name} needs a rule id or a range`, 'such as 942100 or 942000-942999')
    return value.text
  }
  const word = form.find((one) => lowerCase(one) === lowerCase(value.text))
  if (word === undefined) complaints.error(value, `expected ${form.join(', ')}`)
  return word ?? value.text
}
