/** Takes the places that JSON Pointers (RFC 6901) name out of a JSON value. The value is changed. */
export function dropMembers(value: unknown, pointers: readonly string[]): unknown {
  for (const pointer of pointers) {
    const tokens = pointer
      .split('/')
      .slice(1)
      .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = tokens.pop()
    if (last === undefined) continue
    let holder: unknown = value
    for (const token of tokens)
      holder =
        typeof holder === 'object' && holder !== null && Object.hasOwn(holder, token)
          ? (holder as Record<string, unknown>)[token]
          : undefined
    // Only members go: taking an item out of a list would move the ones behind it.
    if (typeof holder === 'object' && holder !== null && !Array.isArray(holder))
      delete (holder as Record<string, unknown>)[last]
  }
  return value
}
