import type { Users } from '../credentials/users.ts'
import type { CommonOptions, ExitCode } from './command.ts'

/** Opens the users of the configured store for one command, and closes them after it. */
export async function withUsers(options: CommonOptions, use: (users: Users) => Promise<ExitCode>): Promise<ExitCode> {
  const [{ readStoreUrl }, { openStore }, { createUsers }, { createLogger }] = await Promise.all([
    import('./read-config.ts'),
    import('../store/open.ts'),
    import('../credentials/users.ts'),
    import('./logger.ts'),
  ])
  const { url } = await readStoreUrl(options)
  const store = await openStore(url, { log: await createLogger({ level: 'warn' }) })
  const users = createUsers({ store })
  try {
    return await use(users)
  } finally {
    users.close()
    await store.close()
  }
}
