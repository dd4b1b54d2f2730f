import { isLoopback } from './checks.ts'
import { duration, object, z } from './language.ts'

const level = z.enum(['viewer', 'operator', 'admin'])

/** `127.0.0.1:9443`, `[::1]:9443`, or a port of loopback. */
const address = z.string().transform((text, context) => {
  const match = /^(?:(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+)):)?(\d{1,5})$/i.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) {
    context.addIssue({ code: 'custom', message: 'expected host:port, such as 127.0.0.1:9443' })
    return z.NEVER
  }
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port }
})

/** The shape of `admin`; `tls` as a listener has it. */
export const adminShape = <Tls extends z.ZodType>(tlsShape: Tls) =>
  object({
    listen: address
      .prefault('127.0.0.1:9443')
      .describe('host:port of the administration over HTTP; loopback unless `anywhere` says otherwise.'),
    anywhere: z
      .boolean()
      .default(false)
      .describe('Lets `listen` be an address that others can reach. It then needs a certificate of its own in `tls`.'),
    tls: tlsShape.describe(
      'As under `listen`; default: a development certificate. With `off` only API keys and tokens administer: passwords need TLS.',
    ),
    auth: object({
      oidc: z
        .string()
        .min(1)
        .optional()
        .describe('The entry of `issuers` whose tokens may administer, or `tokenService`. Default: none.'),
      roles: z
        .record(z.string().min(1).max(256), level)
        .default({})
        .describe(
          "What roles in those tokens mean here: `{ sec-team: admin, devs: viewer }`. No token administers by a role that doesn't stand here.",
        ),
    })
      .prefault({})
      .describe(
        'Who may administer, beside users, keys and grants with the roles `portcullis:admin`, `portcullis:operator` and `portcullis:viewer`.',
      ),
    sessionTtl: duration('How long somebody stays signed in.').default(8 * 3_600_000),
    sessionIdle: duration('How long somebody stays signed in without a request.').default(1_800_000),
  })
    .superRefine((settings, context) => {
      const { listen, anywhere, auth } = settings
      const { tls } = settings as { readonly tls?: unknown }
      const complain = (message: string, path: string[]) => context.addIssue({ code: 'custom', message, path })
      if (!isLoopback(listen.host)) {
        if (!anywhere)
          complain(`${listen.host} can be reached by others; say \`anywhere: true\` if that is meant`, ['listen'])
        if (tls === 'off') complain('secrets would be readable on the way', ['tls'])
      }
      if (auth.oidc === undefined && Object.keys(auth.roles).length > 0) {
        complain(
          'roles of tokens mean nothing without `oidc`; users and keys have the roles portcullis:admin and so on',
          ['roles'],
        )
      }
    })
    .describe('Administration over HTTP, for scripts and the console. Off unless this key is there.')
