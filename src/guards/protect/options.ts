import { object, z } from '../../config/language.ts'

/** What one kind of caller gets to see of a field. */
export type Sight = 'show' | 'last4' | 'mask' | 'remove' | 'envelope'

const rule = {
  name: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .describe(
      'What the field is called in keys and logs. Fields of the same name share a key and may hold the same encrypted value. Default: the last name of its path.',
    ),
  atRest: z
    .enum(['encrypt', 'deterministic'])
    .optional()
    .describe(
      'How it reaches the upstream: `encrypt` makes another text of it each time; `deterministic` makes the same text of the same value, so that parameters of the same name find it, and whoever reads the store sees which values are equal. Without it the field reaches the upstream as it is.',
    ),
  response: z
    .record(z.string().min(1).max(512), z.enum(['show', 'last4', 'mask', 'remove', 'envelope']))
    .describe(
      'Who gets to see what: `role:support` (or `support`), `scope:cards:read`, `app:shop`, `via:main`, `sub:jane`, `owner`, `*` for every known caller. The first that fits counts, in the order written; who is not listed gets nothing. `show`, `last4`, `mask` (`***`), `remove`, or `envelope` (as it is stored).',
    ),
  owner: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe(
      'The property that names whose field it is, in the object that holds the field or the nearest around it; compared with the subject of the caller for `owner`.',
    ),
  bind: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe(
      'A property beside the field or around it, or a path parameter, whose value the encrypted value is bound to, such as the id of the customer: moved to another object it does not open. It must be known when the field is written.',
    ),
  unsealed: z
    .enum(['remove', 'show'])
    .default('remove')
    .describe(
      'What becomes of a value that the upstream holds in the open although the field is encrypted: `remove`, or, while old data is still to be written anew, `show` to whom `response` shows it.',
    ),
}

/** A field that a schema marks: `x-portcullis: { protect: { … } }`. */
export const markShape = object(rule)

/** A field that the configuration names. */
export const fieldShape = object({
  field: z
    .string()
    .min(1)
    .max(500)
    .describe(
      'Which field of JSON bodies: `$..cardNumber`, `$.payment.card`, `$.items[*].note`, or as a pointer with wildcards `/items/*/note`. Schemas may mark fields themselves: `x-portcullis: { protect: { … } }`.',
    ),
  ...rule,
})

export type FieldRule = z.output<typeof markShape>
