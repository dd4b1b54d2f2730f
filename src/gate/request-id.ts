import { randomFillSync } from 'node:crypto'

const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** Ten bits as two digits of Crockford's base 32. */
const pairs = Array.from({ length: 1024 }, (_, i) => digits[i >> 5]! + digits[i & 31]!)

// 80 random bits an id, taken from a pool: one call of the generator fills 512 ids.
const pool = new Uint16Array(8 * 512)
let next = pool.length

let lastMs = -1
let lastTime = ''

/** `req_` and a ULID: 48 bits of time, then 80 random ones, so that ids sort by time and cannot be guessed. */
export function requestId(now: number): string {
  if (now !== lastMs) {
    lastMs = now
    lastTime = `req_${timeOf(now)}`
  }
  if (next === pool.length) {
    randomFillSync(pool)
    next = 0
  }
  let id = lastTime
  for (const end = next + 8; next < end; next++) id += pairs[pool[next]! & 1023]!
  return id
}

function timeOf(ms: number): string {
  let rest = Math.max(0, Math.floor(ms))
  let text = ''
  for (let i = 0; i < 5; i++) {
    text = pairs[rest % 1024]! + text
    rest = Math.floor(rest / 1024)
  }
  return text
}
