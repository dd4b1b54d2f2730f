import { duration, z } from '../../config/language.ts'
import { RuleError } from '../../rules/rule-error.ts'
import { parseOwner, parseSource, type Source } from './owner-expression.ts'

/** A text that a parser of this folder reads; what it refuses is told with the place inside the text. */
function parsed<T>(parse: (text: string) => T) {
  return z
    .string()
    .min(1)
    .max(2_048)
    .transform((text, context) => {
      try {
        return parse(text)
      } catch (error) {
        if (!(error instanceof RuleError)) throw error
        const { message, offset, length, hint } = error
        context.addIssue({ code: 'custom', message, params: { offset, length, hint }, input: text })
        return z.NEVER
      }
    })
}

const source = parsed(parseSource)

/** Where lists stand, and what counts them: something in a body or a header of the answer. */
const place = (sides: readonly Source['side'][], what: string) =>
  source.refine(
    ({ side, tokens, header }) =>
      sides.includes(side) && (tokens !== undefined || (header !== undefined && what === 'count')),
    what === 'count'
      ? 'expected $response.body#/… or $response.header.…'
      : 'expected $request.body#/… or $response.body#/…',
  )

const lookupName = z.string().min(1).max(512)

const lookup = z
  .union([
    lookupName,
    z.strictObject({
      operation: lookupName.describe('The `operationId` of the operation that reads the object.'),
      with: z
        .record(z.string().min(1), source)
        .default({})
        .describe(
          'Where its path parameters come from, where the path of the request has none of that name: `{ id: "$request.body#/orderId" }`.',
        ),
      headers: z
        .array(
          z
            .string()
            .regex(/^[!#$%&'*+.^_`|~\w-]+$/, 'expected a header name')
            .toLowerCase(),
        )
        .max(20)
        .default([])
        .describe(
          "The caller's headers that the look-up carries, too, beside those that both operations document: `[cookie]`.",
        ),
      timeout: duration('How long the look-up may take; then the request is answered 504.').default(2_000),
      ifMatch: z
        .boolean()
        .default(false)
        .describe(
          'Puts the strong ETag that the look-up gave into `If-Match` of the write, so that an upstream that keeps to RFC 9110, 13.1.1, refuses it where the object has changed meanwhile.',
        ),
    }),
  ])
  .transform((said) =>
    typeof said === 'string' ? { operation: said, with: {}, headers: [], timeout: 2_000, ifMatch: false } : said,
  )

/** The keys of `authorize.rules[]` that say whose an object is. */
export const ownerOptions = {
  owner: parsed(parseOwner)
    .optional()
    .describe(
      'Whose the object is: `$response.body#/userId == $claims.sub`. Runtime expressions of OpenAPI, `$claims.NAME`, `$subject`, `$application`, `$via`, texts and numbers, compared with `==`, `in` (a list) or `==?` (equal, or not there), joined by `&&` and `||`. What is missing, null or empty is never equal.',
    ),
  lookup: lookup
    .optional()
    .describe(
      'The operation that reads the object: asked before a write, and before what answers without telling the owner. Default for writes: GET at the same path. `none`: judged by its own answer.',
    ),
  each: z
    .union([place(['requestBody', 'response'], 'list'), z.array(place(['requestBody', 'response'], 'list')).max(8)])
    .transform((said) => [said].flat())
    .optional()
    .describe(
      'Where a list of objects stands in an answer or a request: `$response.body#/items`. `$response.body` in `owner` is then each of them. Default: a body that is a list, or what the document says.',
    ),
  list: z
    .enum(['filter', 'refuse'])
    .default('filter')
    .describe('What becomes of a list that holds objects of others: they are taken out, or it is not sent at all.'),
  recount: z
    .array(place(['response'], 'count'))
    .max(16)
    .default([])
    .describe('Places in an answer with a list that get the number of objects that are left: `$response.body#/count`.'),
  drop: z
    .array(place(['response'], 'count'))
    .max(16)
    .default([])
    .describe('Places in an answer with a list that are left out: `$response.header.X-Total-Count`.'),
  deny: z
    .union([z.literal(404), z.literal(403)])
    .default(404)
    .describe(
      'The status for an object of somebody else. With 404 it is the same answer as for one that is not there.',
    ),
  errors: z
    .enum(['hide', 'pass'])
    .default('hide')
    .describe(
      'Answers other than 2xx to requests that are judged by their answer: only their status reaches the caller, or all of them. Redirects never pass.',
    ),
}

const shape = z.strictObject(ownerOptions)

/** What a rule says of owners, read. */
export type OwnerOptions = Omit<z.output<typeof shape>, 'owner'> & {
  readonly owner: NonNullable<z.output<typeof shape>['owner']>
}

export type LookupOptions = z.output<typeof lookup>
