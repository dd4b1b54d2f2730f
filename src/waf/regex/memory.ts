/**
 * The memory that the automata of many patterns share. Each grows while it is used; when all together pass the bound,
 * those that were not used of late start again from nothing. That costs time, never an answer.
 */
export interface CacheMemory {
  readonly bytesMax: number
  bytes: number
  readonly holders: Set<Cache>
}

/** Something that can be dropped and built again. */
export interface Cache {
  /** What it holds at present. */
  bytes: number
  /** Set by each use, taken back by whoever looks for something to drop. */
  used: boolean
  drop(): void
}

export function createCacheMemory(options: { readonly bytesMax: number }): CacheMemory {
  return { bytesMax: options.bytesMax, bytes: 0, holders: new Set() }
}

/** For patterns compiled without a memory of their own. */
export const commonMemory = createCacheMemory({ bytesMax: 32 * 1024 * 1024 })

/**
 * Books what a cache has grown by, and drops others where the bound is passed. False where that was not enough: then
 * the cache itself is to be dropped soon.
 */
export function bookMemory(memory: CacheMemory, cache: Cache, bytes: number): boolean {
  if (cache.bytes === 0) memory.holders.add(cache)
  cache.bytes += bytes
  memory.bytes += bytes
  if (memory.bytes > memory.bytesMax) dropOthers(memory, cache)
  return memory.bytes <= memory.bytesMax
}

/** Gives back all that a cache held, when it has dropped its contents. */
export function releaseMemory(memory: CacheMemory, cache: Cache): void {
  memory.bytes -= cache.bytes
  cache.bytes = 0
  memory.holders.delete(cache)
}

/** The clock: who was used since the last round is passed over once. */
function dropOthers(memory: CacheMemory, cache: Cache): void {
  for (let round = 0; round < 2; round++) {
    for (const holder of [...memory.holders]) {
      if (holder === cache) continue
      if (holder.used) holder.used = false
      else holder.drop()
      if (memory.bytes <= memory.bytesMax) return
    }
  }
}
