import { messageOf } from '../base/errors.ts'
import { z } from '../config/language.ts'
import { parseMatch } from '../openapi/select.ts'

/** Reads which operations an entry of the configuration is about; what was written stays at hand for evidence. */
export const matchShape = (description: string) =>
  z
    .string()
    .min(1)
    .max(1_024)
    .transform((text, context) => {
      try {
        return { text, selects: parseMatch(text) }
      } catch (error) {
        context.addIssue({ code: 'custom', message: messageOf(error) })
        return z.NEVER
      }
    })
    .describe(description)
