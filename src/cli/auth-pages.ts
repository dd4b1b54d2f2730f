import type { Host } from '../gate/guard.ts'
import type { Mount } from '../gate/router.ts'
import { authPlanOf } from '../guards/auth/plan.ts'
import { metadataPrefix } from '../guards/auth/resource.ts'
import { signInPrefix } from '../guards/auth/sign-in.ts'
import { type OwnPage, ownMount } from './own-pages.ts'

/** What the gate answers for the APIs that take tokens: their metadata (RFC 9728), and the pages of signing in. */
export async function authMounts(
  mounts: readonly Mount[],
  hostOf: (hosts: readonly string[] | undefined) => Host,
): Promise<readonly Mount[]> {
  const byHosts = new Map<
    string,
    { readonly hosts: readonly string[] | undefined; readonly pages: Map<string, OwnPage> }
  >()
  for (const { hosts, operations } of mounts) {
    const plan = operations.map(({ program }) => authPlanOf(program.operation)).find((one) => one !== undefined)
    if (plan === undefined) continue
    const key = hosts === undefined ? '' : [...hosts].sort().join()
    const { pages } = byHosts.get(key) ?? { pages: new Map<string, OwnPage>() }
    byHosts.set(key, { hosts, pages })
    const { resource, signIn } = plan
    const own: readonly OwnPage[] = [
      ...(resource === undefined
        ? []
        : [{ method: 'GET' as const, path: resource.path, steps: { requestHead: resource.metadata } }]),
      ...(signIn?.pages ?? []),
    ]
    for (const page of own) {
      const name = `${page.method} ${page.path}`
      // Versions of an API share their pages.
      if (!pages.has(name)) pages.set(name, page)
    }
  }
  const made: Mount[] = []
  for (const { hosts, pages } of byHosts.values()) {
    for (const prefix of [metadataPrefix, signInPrefix]) {
      const below = [...pages.values()].filter(({ path }) => path.startsWith(prefix))
      // An API that describes this place itself answers there.
      const isTaken = mounts.some((mount) =>
        mount.operations.some(({ path }) => (mount.prefix + path).startsWith(prefix)),
      )
      if (below.length > 0 && !isTaken) made.push(await ownMount(prefix, below, hostOf(hosts)))
    }
  }
  return made
}
