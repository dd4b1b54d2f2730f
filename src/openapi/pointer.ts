/** The keys of a JSON Pointer (RFC 6901), decoded. The empty pointer has none. */
export function pointerTokens(pointer: string): string[] {
  if (pointer === '') return []
  return pointer
    .slice(1)
    .split('/')
    .map((token) => (token.includes('~') ? token.replaceAll('~1', '/').replaceAll('~0', '~') : token))
}

/** `pointer` with one more key. */
export function child(pointer: string, key: string | number): string {
  return `${pointer}/${typeof key === 'number' ? key : escapePointer(key)}`
}

/** A key as it stands in a pointer. */
export function escapePointer(key: string): string {
  // Most keys hold neither character; two searches are cheaper than two copies.
  return key.includes('~') || key.includes('/') ? key.replaceAll('~', '~0').replaceAll('/', '~1') : key
}

export function toPointer(tokens: readonly (string | number)[]): string {
  let pointer = ''
  for (const token of tokens) pointer = child(pointer, token)
  return pointer
}

const needsNoEncoding = /^[\w/~.-]*$/

/** The pointer as a URI fragment without `#` (RFC 6901, 6). Every reference and `SchemaRef.uri` is written this way. */
export function pointerToFragment(pointer: string): string {
  if (needsNoEncoding.test(pointer)) return pointer
  return pointer
    .split('/')
    .map((token) => encodeURIComponent(token.toWellFormed()))
    .join('/')
}

/** The value below `root` that the keys lead to, own properties only; `undefined` where there is none. */
export function valueAt(root: unknown, tokens: readonly string[]): unknown {
  let value = root
  for (const token of tokens) {
    value = member(value, token)
    if (value === undefined) return undefined
  }
  return value
}

/** An own member of an object or array. Never a property that `Object.prototype` has. */
export function member(container: unknown, key: string): unknown {
  if (typeof container !== 'object' || container === null) return undefined
  if (Array.isArray(container)) return /^(0|[1-9]\d*)$/.test(key) ? container[Number(key)] : undefined
  return Object.hasOwn(container, key) ? (container as Record<string, unknown>)[key] : undefined
}

export type JsonObject = Record<string, unknown>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Sets a member whatever its name is: a plain assignment to `__proto__` would set the prototype. */
export function setMember(object: JsonObject, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  } else {
    object[key] = value
  }
}
