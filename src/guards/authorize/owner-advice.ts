import type { ApiDocument, Operation } from '../../openapi/operation.ts'
import { templateNames } from '../../openapi/paths.ts'
import { isPublic } from '../security.ts'
import { type AuthorizeOptions, authorizeShape } from './options.ts'

/**
 * Operations that take an identifier in their path while no rule says whose object that is: whoever has a credential can try
 * the identifiers of others. `optionsOf` gives what the configuration says under `authorize` for an operation.
 */
export function unownedOperations(document: ApiDocument, optionsOf: (operation: Operation) => unknown): Operation[] {
  const read = new Map<string, AuthorizeOptions>()
  return document.operations.filter((operation) => {
    if (templateNames(operation.path).length === 0 || isPublic(operation)) return false
    const raw = optionsOf(operation)
    const key = JSON.stringify(raw) ?? ''
    const options = read.get(key) ?? authorizeShape.parse(raw)
    read.set(key, options)
    if (options.mode === 'off') return true
    return !options.rules.some(
      ({ mode, match, owner, when }) =>
        mode !== 'off' && match.selects(operation) && (owner !== undefined || /\bpath\./.test(when ?? '')),
    )
  })
}
