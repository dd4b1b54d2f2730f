/**
 * The arguments of a JSON text that JSON.parse accepts, made the slow way: cut into tokens by a pattern, strings read by
 * JSON.parse, containers by recursion. Equal keys and the writing of numbers stay, unlike in what JSON.parse makes.
 */
export function judgeJson(bytes: string): [string, string][] {
  const text = Buffer.from(bytes, 'latin1').toString('utf8')
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? []
  let at = 0
  const read = (name: string): [string, string][] => {
    const token = tokens[at++]!
    if (token !== '{' && token !== '[') return [[name, token === 'null' ? '' : plain(token)]]
    const close = token === '{' ? '}' : ']'
    const found: [string, string][] = []
    let count = 0
    for (; tokens[at] !== close; count++) {
      if (tokens[at] === ',') at++
      if (token === '[') found.push(...read(`${name}.${count}`))
      else {
        const key = plain(tokens[at]!)
        at += 2
        found.push(...read(`${name}.${key}`))
      }
    }
    at++
    if (token === '[') found.push([name, String(count)])
    else if (count === 0) found.push([name, ''])
    return found
  }
  return read('json')
}

function plain(token: string): string {
  if (!token.startsWith('"')) return token
  return Buffer.from((JSON.parse(token) as string).toWellFormed(), 'utf8').toString('latin1')
}
