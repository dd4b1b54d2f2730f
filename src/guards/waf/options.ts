import { messageOf } from '../../base/errors.ts'
import { bytes, file, mode, object, outputFile, z } from '../../config/language.ts'
import { parseSelector } from '../../openapi/select.ts'
import { readTarget } from './exclusions.ts'

const selector = z.union([z.string(), z.array(z.string()).max(1_000)]).superRefine((text, context) => {
  try {
    parseSelector(text)
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) })
  }
})

const exclusion = object({
  rule: z
    .union([
      z.number().int().min(1),
      z.string().regex(/^\d{1,9}(?:-\d{1,9})?$/, 'expected a rule id or a range: 942100-942199'),
    ])
    .optional()
    .describe('The rule, or a range of rules: 942100, 942100-942199.'),
  tag: z.string().min(1).max(200).optional().describe('All rules with this tag: attack-sqli.'),
  target: z
    .string()
    .max(500)
    .superRefine((text, context) => {
      try {
        readTarget(text)
      } catch (error) {
        context.addIssue({ code: 'custom', message: messageOf(error) })
      }
    })
    .optional()
    .describe(
      'What the rule is no longer to look at: ARGS:comment, REQUEST_HEADERS:X-Note, or a JSON Pointer into the body with `*` for any item: /items/*/note. Without it the rule is taken out as a whole.',
    ),
  match: selector
    .optional()
    .describe('At which operations: op:createOrder, tag:orders, GET /orders/*, or a list. Default: all.'),
  reason: z.string().min(1).max(1_000).describe('Why: for whoever reads this later.'),
  expires: z.iso.date().optional().describe('The day from which it no longer holds: 2027-01-31.'),
}).superRefine(({ rule, tag }, context) => {
  if ((rule === undefined) === (tag === undefined)) {
    context.addIssue({ code: 'custom', message: 'an exclusion names either a rule or a tag' })
  }
})

export type ExclusionOptions = z.output<typeof exclusion>

const rulePath = outputFile('An unpacked OWASP CRS: the folder with crs-setup.conf and rules/.')

const include = object({
  before: z
    .array(file('A rule file.'))
    .max(100)
    .default([])
    .describe('Before the rules of the set: where settings and exclusions of your own belong.'),
  after: z.array(file('A rule file.')).max(100).default([]).describe('After them: where rules of your own belong.'),
}).prefault({})

/** `waf` at the top of the configuration: which rules there are. */
export const rootShape = object({
  waf: object({
    crs: z
      .union([z.literal('installed'), object({ path: rulePath })])
      .optional()
      .describe(
        'The OWASP Core Rule Set in place of our own rules: `installed` by `portcullis waf install`, or an unpacked release.',
      ),
    include: include.describe('SecLang files of your own, for all APIs.'),
  })
    .prefault({})
    .describe('Where the rules of the web application firewall come from.'),
}).prefault({})

export type RootOptions = z.output<typeof rootShape>

const points = z.number().int().min(1).max(10_000)

/** `waf` of an API or an operation. */
export const optionsShape = object({
  mode: mode('How requests are treated that rules find harmful.').default('enforce'),
  response: mode(
    "How the upstream's answers are. An observed answer is never held: it streams, and is looked at as it passes. Never stricter than `mode`.",
  ).default('observe'),
  rules: z
    .union([z.enum(['own', 'crs']), object({ path: rulePath })])
    .optional()
    .describe(
      'Our own rules, the OWASP CRS that `waf.crs` at the top names, or another. Default: `waf.crs` where it is set, else own.',
    ),
  paranoia: z
    .number()
    .int()
    .min(1)
    .max(4)
    .default(1)
    .describe(
      'How much is suspected, at the price of false alarms: 1 hardly any, 4 for those who mend them all. Own rules know 1 to 3.',
    ),
  detectionParanoia: z
    .number()
    .int()
    .min(1)
    .max(4)
    .optional()
    .describe(
      'Rules up to this level run and are told of, but only those up to `paranoia` count (OWASP CRS). Default: `paranoia`.',
    ),
  thresholds: object({
    inbound: points.optional().describe('Points from which a request is refused; a critical rule has 5. Default: 5.'),
    outbound: points
      .optional()
      .describe('Points from which an answer is withheld; a rule for leaks has 4. Default: 4.'),
  })
    .prefault({})
    .describe('Rules add up points; only their sum refuses.'),
  include: include.describe('SecLang files of your own, for this API, beside those at the top.'),
  exclusions: z
    .array(exclusion)
    .max(10_000)
    .default([])
    .describe(
      'What rules are not to look at: the cure for a false alarm, as `portcullis explain <id>` prints it. An operation’s own list takes the place of its API’s.',
    ),
  specAware: z
    .boolean()
    .default(true)
    .describe(
      'Values that are what the document says (enumerations, UUIDs, numbers, dates, identifiers) are proved harmless and not searched; methods and media types come from the document. Free text, unknown names and values that are something else are searched in full.',
    ),
  maxBody: bytes(
    'Request body that is inspected, files aside; more is answered 413. Bodies of other kinds than forms, JSON, XML and, with our own rules, text pass unlooked at.',
  ).default(1_048_576),
  maxValues: z
    .number()
    .int()
    .min(100)
    .max(1_000_000)
    .default(20_000)
    .describe(
      'Parameters, form fields and JSON values of one request; with more a body counts as unreadable and is refused. 20,000 take about 50 ms.',
    ),
  maxResponse: bytes('How much of an answer is inspected; the rest streams on.').default(524_288),
  onBudget: z
    .enum(['block', 'pass'])
    .default('block')
    .describe(
      'What becomes of a request whose inspection would cost too much time: refused, or passed on with a note.',
    ),
  evaluator: z
    .enum(['fast', 'plain'])
    .default('fast')
    .describe(
      '`plain` runs each rule on each value, without the proofs that make it fast: to compare, or if they are in doubt.',
    ),
}).prefault({})

export type WafOptions = z.output<typeof optionsShape>
