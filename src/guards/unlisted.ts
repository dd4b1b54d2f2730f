import { mode, object } from '../config/language.ts'
import type { Guard, Mode } from '../gate/guard.ts'
import { denial } from '../gate/verdict.ts'

const unlistedPath = denial(404, 'unlisted.path', 'There is no such path in this API.')

const unlistedMethod = denial(405, 'unlisted.method', 'This path does not have the method of the request.')

/** Refuses paths and methods that the document does not list. */
export const unlisted: Guard<{ readonly mode: Mode }> = {
  name: 'unlisted',
  stage: 'validate',
  options: object({
    mode: mode(
      'How the rule stands. `observe` lets through what nobody has described: for finding out what there is.',
    ).default('enforce'),
  }).prefault({}),
  setup:
    () =>
    ({ kind, allow }) => {
      if (kind === 'listed') return undefined
      if (kind === 'unlisted-path') return { requestHead: () => unlistedPath }
      // RFC 9110, 15.5.6: the answer must say which methods there are. A listed GET serves HEAD as well (9.3.2).
      const methods = allow.includes('GET') && !allow.includes('HEAD') ? [...allow, 'HEAD'] : allow
      const refusal = { ...unlistedMethod, headers: { allow: methods.join(', ') } }
      return { requestHead: () => refusal }
    },
}
