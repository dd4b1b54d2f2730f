import { escapeBytes, pick, type Random, type RandomExchange } from '../kit/random-rules.ts'

/** Names and values that go into one place of a request, or of its response. */
export interface Sent {
  readonly kind: (typeof kinds)[number]
  readonly pairs: readonly (readonly [name: string, value: string])[]
}

const kinds = [
  'query',
  'path',
  'headers',
  'cookies',
  'form',
  'json',
  'broken json',
  'multipart',
  'xml',
  'response',
] as const

const names = ['q', 'id', 'name', 'a.b', 'x[]', 'items', 'callback', 'url', 'file', 'cmd', 'user_name', 'X-1']
const headers = [
  'User-Agent',
  'Referer',
  'X-Forwarded-For',
  'Accept',
  'Accept-Language',
  'Content-Type',
  'Range',
  'X-Api-Key',
  'Authorization',
  'X-Filename',
  'Origin',
  'Accept-Encoding',
]

/** Some fifty values in one place: as many tests of each rule as fifty requests, at the price of one. */
export function randomSent(random: Random, value: () => string): Sent {
  const kind = pick(random, kinds)
  const count =
    kind === 'path' ? 3 : kind === 'headers' || kind === 'response' ? 12 : random(4) === 0 ? 1 + random(4) : 50
  const name = () =>
    random(4) === 0 ? value() : pick(random, kind === 'headers' || kind === 'response' ? headers : names)
  return { kind, pairs: Array.from({ length: count }, () => [name(), value()] as const) }
}

/** The exchange in which something is sent. */
export function exchangeOf({ kind, pairs }: Sent): RandomExchange {
  const form = pairs.map(([name, value]) => `${escapeBytes(name)}=${escapeBytes(value)}`).join('&')
  const head = (uri: string, more: readonly string[], method = 'GET'): RandomExchange['head'] => ({
    method,
    uri,
    protocol: 'HTTP/1.1',
    headers: ['Host', 'shop.example', 'User-Agent', 'Mozilla/5.0', 'Accept', '*/*', ...more],
    client: { address: '192.0.2.7', port: 40_000 },
    server: { address: '198.51.100.1', port: 443 },
    id: 'request-1',
    receivedAt: 1_700_000_000_000,
  })
  const none = {
    body: undefined,
    reply: { status: 200, protocol: 'HTTP/1.1', headers: ['Content-Type', 'application/json'] },
    replyBody: Buffer.from('{}'),
    phases: [1, 2, 3, 4, 5],
  }
  const posted = (type: string, body: string | Buffer): RandomExchange => {
    const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body
    return {
      ...none,
      head: head('/api', ['Content-Type', type, 'Content-Length', String(bytes.length)], 'POST'),
      body: bytes,
    }
  }
  switch (kind) {
    case 'query':
      return { ...none, head: head(`/api?${form}`, []) }
    case 'path':
      return { ...none, head: head(`/${pairs.map(([name, value]) => `${name}/${value}`).join('/')}`, []) }
    case 'headers':
      return { ...none, head: head('/api', pairs.flat()) }
    case 'cookies':
      return { ...none, head: head('/api', ['Cookie', pairs.map(([name, value]) => `${name}=${value}`).join('; ')]) }
    case 'form':
      return posted('application/x-www-form-urlencoded', form)
    case 'json':
      return posted(
        'application/json',
        Buffer.from(JSON.stringify(nested(pairs.map(([name, value]) => [textOf(name), textOf(value)])))),
      )
    case 'broken json':
      return posted('application/json', `{${pairs.map(([name, value]) => `"${name}":"${value}"`).join(',')}}`)
    case 'multipart':
      return posted(
        'multipart/form-data; boundary=bb',
        `${pairs.map(([name, value], at) => `--bb\r\nContent-Disposition: form-data; name="${name}"${at % 3 === 0 ? `; filename="${value}"` : ''}\r\n${at % 5 === 0 ? `X-A: ${value}\r\n` : ''}\r\n${value}\r\n`).join('')}--bb--\r\n`,
      )
    case 'xml':
      return posted(
        'application/xml',
        `<r>${pairs.map(([name, value], at) => (at % 2 === 0 ? `<e a="${escapeXml(name)}">${escapeXml(value)}</e>` : `<e><![CDATA[${value}]]>${escapeXml(name)}</e>`)).join('')}</r>`,
      )
    case 'response':
      return {
        ...none,
        head: head('/api', []),
        reply: {
          status: 500,
          protocol: 'HTTP/1.1',
          headers: ['Content-Type', 'text/html', ...pairs.slice(0, 6).flat()],
        },
        replyBody: Buffer.from(pairs.slice(6).flat().join('\n'), 'latin1'),
      }
  }
}

/** As arrays and objects, some in each other. */
function nested(pairs: readonly (readonly [string, string])[]): unknown {
  const object: Record<string, unknown> = {}
  pairs.forEach(([name, value], at) => {
    object[name] =
      at % 7 === 3 ? nested(pairs.slice(at + 1, at + 3)) : at % 5 === 4 ? [value, { [value]: name }] : value
  })
  return object
}

function textOf(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"]/g, (char) => `&#${char.charCodeAt(0)};`)
}

/** The smallest that is found of what still shows a difference: fewer pairs, then shorter texts. */
export function minimise(sent: Sent, differs: (sent: Sent) => boolean): Sent {
  let { pairs } = sent
  const holds = (some: Sent['pairs']) => differs({ ...sent, pairs: some })
  for (let size = Math.ceil(pairs.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < pairs.length; ) {
      const fewer = [...pairs.slice(0, at), ...pairs.slice(at + size)]
      if (fewer.length > 0 && holds(fewer)) pairs = fewer
      else at += size
    }
  }
  pairs.forEach((_, index) => {
    for (const part of [0, 1] as const) {
      for (
        let size = Math.ceil(pairs[index]![part].length / 2);
        size >= 1;
        size = size === 1 ? 0 : Math.ceil(size / 2)
      ) {
        for (let at = 0; at < pairs[index]![part].length; ) {
          const text = pairs[index]![part]
          const shorter = text.slice(0, at) + text.slice(at + size)
          const tried = pairs.map((pair, i) =>
            i !== index ? pair : part === 0 ? ([shorter, pair[1]] as const) : ([pair[0], shorter] as const),
          )
          if (holds(tried)) pairs = tried
          else at += size
        }
      }
    }
  })
  return { ...sent, pairs }
}
