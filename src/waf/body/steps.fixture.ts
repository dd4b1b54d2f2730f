/** Bytes that string and pattern functions look at while `run` runs: a measure of work that no busy machine disturbs. */
export function countSteps(run: () => void): number {
  let steps = 0
  const strings = String.prototype
  const patterns = RegExp.prototype
  const { charCodeAt, indexOf, lastIndexOf, includes, startsWith, slice, toLowerCase } = strings
  const { exec } = patterns
  strings.charCodeAt = function (at) {
    steps++
    return charCodeAt.call(this, at)
  }
  strings.indexOf = function (needle, from = 0) {
    const at = indexOf.call(this, needle, from)
    steps += (at < 0 ? Math.max(0, this.length - from) : at - Math.max(0, from)) + needle.length
    return at
  }
  strings.lastIndexOf = function (needle) {
    const at = lastIndexOf.call(this, needle)
    steps += this.length - Math.max(0, at)
    return at
  }
  strings.includes = function (needle, from = 0) {
    const at = indexOf.call(this, needle, from)
    steps += at < 0 ? this.length : at
    return at >= 0
  }
  strings.startsWith = function (needle, from = 0) {
    steps += needle.length
    return startsWith.call(this, needle, from)
  }
  // A slice shares the bytes of the whole.
  strings.slice = function (from, to) {
    steps++
    return slice.call(this, from, to)
  }
  strings.toLowerCase = function () {
    steps += this.length
    return toLowerCase.call(this)
  }
  // `test` calls it. No pattern of the processors looks at a byte more than a few times; that they do so is for review.
  patterns.exec = function (text) {
    steps += text.length
    return exec.call(this, text)
  }
  try {
    run()
  } finally {
    Object.assign(strings, { charCodeAt, indexOf, lastIndexOf, includes, startsWith, slice, toLowerCase })
    patterns.exec = exec
  }
  return steps
}

/**
 * What doubling a hostile input does to the work of reading it: about 2 for a reader whose work grows with the input, 4 for
 * one whose work grows with its square.
 */
export function growth(read: (text: string) => void, make: (count: number) => string, count: number): number {
  const once = countSteps(() => read(make(count)))
  const twice = countSteps(() => read(make(2 * count)))
  return twice / once
}
