/**
 * A test for a pattern in which `*` stands for any text, also none; everything else stands for itself. Each piece between
 * stars is looked for once, from where the last one ended, so that no text takes more than one reading a piece.
 */
export function globTest(pattern: string): (text: string) => boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return (text) => text === first
  const middle = rest.filter((piece) => piece !== '')
  const least = first.length + last.length
  if (middle.length === 0) return (text) => text.length >= least && text.startsWith(first) && text.endsWith(last)
  return (text) => {
    if (text.length < least || !text.startsWith(first) || !text.endsWith(last)) return false
    const end = text.length - last.length
    let from = first.length
    for (let i = 0; i < middle.length; i++) {
      const found = text.indexOf(middle[i]!, from)
      if (found === -1) return false
      from = found + middle[i]!.length
    }
    return from <= end
  }
}
