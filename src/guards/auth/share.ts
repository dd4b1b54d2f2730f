interface Shared {
  readonly value: unknown
  readonly close: () => void | Promise<void>
  users: number
}

// By what the things hang on: the store of a process, its clock. Each test has its own, so tests share nothing.
const byOwner = new WeakMap<object, Map<string, Shared>>()

/**
 * One thing for all that ask for it under the same name, made by the first and closed after the last. Guards use it
 * for caches and connections that several APIs share and that must outlive a reload: a reload while an issuer is down
 * must not forget keys that are still good, nor make every caller's password be hashed anew.
 */
export function share<T>(
  owner: object,
  name: string,
  make: () => { readonly value: T; readonly close: () => void | Promise<void> },
): { readonly value: T; readonly release: () => void | Promise<void> } {
  const all = byOwner.get(owner) ?? new Map<string, Shared>()
  byOwner.set(owner, all)
  const shared = all.get(name) ?? { ...make(), users: 0 }
  all.set(name, shared)
  shared.users++
  let released = false
  return {
    value: shared.value as T,
    release() {
      if (released) return
      released = true
      shared.users--
      if (shared.users > 0) return
      all.delete(name)
      return shared.close()
    },
  }
}
