/**
 * A bounded cache in two generations: when the young one is full it becomes the old one, and the old one is
 * dropped. A hit in the old generation moves the entry to the young one. It holds at most `entriesMax` entries,
 * costs one or two map look-ups, and needs no list to keep in order.
 */
export class Lru<K, V> {
  readonly #halfMax: number
  #young = new Map<K, V>()
  #old = new Map<K, V>()

  constructor(options: { readonly entriesMax: number }) {
    this.#halfMax = Math.max(1, Math.floor(options.entriesMax / 2))
  }

  get(key: K): V | undefined {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const old = this.#old.get(key)
    if (old !== undefined) {
      this.#old.delete(key)
      this.set(key, old)
    }
    return old
  }

  set(key: K, value: V): void {
    if (this.#young.size >= this.#halfMax && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
    this.#old.delete(key)
  }

  delete(key: K): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }
}
