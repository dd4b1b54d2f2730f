import type { Guard } from '../gate/guard.ts'
import { address } from './address.ts'
import { auth } from './auth.ts'
import { authorize } from './authorize.ts'
import { concurrency } from './concurrency.ts'
import { cors } from './cors.ts'
import { errors } from './errors.ts'
import { headers } from './headers.ts'
import { identityHeaders } from './identity-headers.ts'
import { limits } from './limits.ts'
import { payload } from './payload.ts'
import { protect } from './protect.ts'
import { queryCredentials } from './query-credentials.ts'
import { security } from './security.ts'
import { trace } from './trace.ts'
import { unlisted } from './unlisted.ts'
import { validate } from './validate.ts'
import { waf } from './waf.ts'

/** Every guard, in running order within its stage (see `gate/guard.ts` for the order of stages). */
// biome-ignore lint/suspicious/noExplicitAny: a list of guards whose options differ; each reads its own.
export const guards: readonly Guard<any, any>[] = [
  // admit
  trace,
  cors,
  address,
  queryCredentials,
  // identify
  auth,
  // limit
  limits,
  concurrency,
  // authorize
  security,
  authorize,
  payload,
  // validate
  unlisted,
  validate,
  // inspect
  waf,
  // shape
  errors,
  headers,
  identityHeaders,
  protect,
]
