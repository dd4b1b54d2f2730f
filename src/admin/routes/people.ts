import type { User } from '../../credentials/users.ts'
import type { Accounts } from '../../identity/accounts.ts'
import { AdminProblem, type AdminRoute, notFound } from '../contract.ts'
import { changedMeanwhile, isoOf, optionalTag, page, tagged } from '../reply.ts'

/** Accounts over HTTP: who may take over an account must be an administrator. */
export function adminRoutes(accounts: Accounts): AdminRoute[] {
  async function existing(name: string): Promise<User> {
    const user = await accounts.find(name)
    if (user === undefined) throw notFound('user')
    return user
  }
  const withFactors = async (user: User) => {
    const { totp, passkeys, recoveryCodesLeft } = await accounts.factors.list(user.name)
    return { ...show(user), totp: totp !== undefined, passkeys: passkeys.length, recoveryCodesLeft }
  }

  return [
    {
      operation: 'listUsers',
      level: 'viewer',
      handle: ({ query }) => page(query, accounts.list, ({ name }) => name, show),
    },
    {
      operation: 'showUser',
      level: 'viewer',
      handle: async ({ params }) => tagged(200, await withFactors(await existing(params.name!))),
    },
    {
      operation: 'createUser',
      level: 'admin',
      async handle({ body, audit }) {
        const { name, password, scopes, roles } = body as NewUser
        // Made anew it would be another person's account with the same name; a password is changed elsewhere.
        if ((await accounts.find(name)) !== undefined) {
          throw new AdminProblem(409, 'admin.exists', 'There is a user of this name.')
        }
        const user = await accounts.set(name, password, {
          ...(scopes === undefined ? {} : { scopes }),
          ...(roles === undefined ? {} : { roles }),
        })
        audit({ id: user.name, after: show(user) })
        return tagged(201, await withFactors(user), { location: `/v1/users/${encodeURIComponent(user.name)}` })
      },
    },
    {
      operation: 'removeUser',
      level: 'admin',
      async handle({ params, headers, audit }) {
        const user = await existing(params.name!)
        if (!optionalTag(headers)(await withFactors(user))) throw changedMeanwhile()
        await accounts.remove(user.name)
        audit({ id: user.name, before: show(user) })
        return { status: 204 }
      },
    },
    {
      operation: 'unlockUser',
      level: 'operator',
      async handle({ params, audit }) {
        const user = await existing(params.name!)
        await accounts.unlock(user.name)
        audit({ id: user.name })
        return { status: 204 }
      },
    },
    {
      operation: 'resetFactors',
      level: 'admin',
      async handle({ params, audit }) {
        const user = await existing(params.name!)
        const before = await withFactors(user)
        await accounts.factors.removeAll(user.name)
        audit({ id: user.name, before, after: await withFactors(user) })
        return { status: 204 }
      },
    },
  ]
}

interface NewUser {
  readonly name: string
  readonly password: string
  readonly scopes?: readonly string[]
  readonly roles?: readonly string[]
}

function show({ name, scopes, roles, createdAt, changedAt }: User) {
  return { name, scopes, roles, createdAt: isoOf(createdAt), passwordSetAt: isoOf(changedAt) }
}
