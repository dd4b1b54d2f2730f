import { messageOf } from '../../base/errors.ts'
import { duration, file, object, z } from '../../config/language.ts'
import { parseSelector } from '../../openapi/select.ts'

export const derivedComponents = [
  '@method',
  '@target-uri',
  '@authority',
  '@scheme',
  '@request-target',
  '@path',
  '@query',
] as const

const match = z
  .union([z.string(), z.array(z.string()).min(1).max(1_000)])
  .superRefine((text, context) => {
    try {
      parseSelector(text)
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) })
    }
  })
  .optional()
  .describe('Which operations: op:pay, tag:payments, POST /payments/*, or a list. Default: all that are listed.')

const use = (description: string) => z.enum(['required', 'allowed', 'off']).default('off').describe(description)

const pointer = z
  .string()
  .regex(/^(\/([^~/]|~[01])*)+$/)
  .max(500)

const component = z
  .string()
  .max(200)
  .refine(
    (name) => (derivedComponents as readonly string[]).includes(name) || /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name),
    { message: `expected ${derivedComponents.join(', ')}, or a header's name in lower case` },
  )

const jweShape = object({
  match,
  request: use(
    'Whether bodies come as a JWE (RFC 7516) that only this gate can open: content type application/jose, or the `fields`.',
  ),
  response: z
    .enum(['client-jwk', 'off'])
    .default('off')
    .describe(
      "Whether answers are encrypted to the caller's own key, one of `clients`. A caller without a key is refused.",
    ),
  fields: z
    .array(pointer)
    .min(1)
    .max(100)
    .optional()
    .describe(
      'JSON Pointers (RFC 6901) of fields that are a JWE each, in bodies that are JSON otherwise; requests and answers. Default: the whole body.',
    ),
}).prefault({})

const signaturesShape = object({
  match,
  request: use('Whether requests must carry a message signature (RFC 9421) of the caller.'),
  components: z
    .array(component)
    .min(1)
    .max(50)
    .default(['@method', '@target-uri', 'content-digest'])
    .describe(
      'What a signature must cover at least. `content-digest` (RFC 9530) and headers only where the request has a body or that header.',
    ),
  maxAge: duration('How old a signature may be, by its `created`; within that time each is taken once.')
    .refine((ms) => ms >= 1_000 && ms <= 86_400_000, { message: 'expected 1s to 1d' })
    .default(300_000),
}).prefault({})

export const optionsShape = object({
  mode: z.enum(['off', 'enforce']).default('enforce').describe('Whether the rule stands.'),
  jwe: jweShape.describe('Encrypted bodies.'),
  signatures: signaturesShape.describe('Signed requests.'),
  clients: z
    .record(
      z.string().regex(/^[^:]+:.+$/, { message: 'expected METHOD:NAME, such as apiKey:partner or main:partner-app' }),
      z.union([file('A JWK set.'), z.looseObject({ keys: z.array(z.looseObject({})).min(1).max(20) })]),
    )
    .default({})
    .describe(
      "Public keys of callers: the entry of `auth` that vouches for them with their application's or their own name, and a JWK set (RFC 7517), as a file or here. `use: enc` is for answers, `use: sig` for signatures. Clients of the gate's own token service that registered a JWK set need no entry.",
    ),
}).prefault({})

export type Options = z.output<typeof optionsShape>
