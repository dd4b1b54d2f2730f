/**
 * The candidate that a writer most likely meant: at most a third of the letters differ, where a swap of two
 * neighbours counts once (Damerau–Levenshtein, optimal string alignment) and case counts nothing. `undefined` when
 * none is near: a wild guess helps less than none.
 */
export function nearest(written: string, candidates: Iterable<string>): string | undefined {
  // A word this long is no slip of the fingers, and the distance is quadratic.
  if (written.length > 64) return undefined
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - written.length) > 3 || candidate.length > 64) continue
    const distance = editDistance(written.toLowerCase(), candidate.toLowerCase())
    const distanceMax = Math.max(1, Math.floor(Math.max(written.length, candidate.length) / 3))
    if (distance <= distanceMax && distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** How many letters must be inserted, dropped, replaced or swapped with a neighbour to get from `a` to `b`. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1)
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
