/*
 * What the firewall is measured with: requests as `waf.md` describes them, on which no rule fires, and bodies of prose.
 * The same bytes go to every contender.
 */

/** A request as it stands on the wire, less the framing that depends on the contender. */
export interface BenchRequest {
  readonly name: string
  readonly method: 'GET' | 'POST'
  readonly uri: string
  /** Name, value, name, value … */
  readonly headers: readonly string[]
  readonly body: string | undefined
}

const segment = (seed: number, length: number) => {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  let state = seed
  let text = ''
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    text += letters[(state >>> 16) % letters.length]
  }
  return text
}

/** Eight headers of an API client, with a JWT of usual length, a cookie and a browser's name. */
const headers = [
  ...['Host', 'api.example.com'],
  ...[
    'User-Agent',
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  ],
  ...['Accept', 'application/json'],
  ...['Accept-Language', 'en-GB,en;q=0.9'],
  ...['Accept-Encoding', 'gzip, deflate, br'],
  ...['Authorization', `Bearer eyJhbGciOiJSUzI1NiJ9.${segment(7, 260)}.${segment(11, 342)}`],
  ...['Cookie', `session=${segment(3, 32)}; theme=dark`],
  ...['X-Request-Id', '7d0f3c1e-62a4-4a39-9d84-0f4d6b1c2e11'],
]

const get: BenchRequest = {
  name: 'GET, 3 parameters',
  method: 'GET',
  uri: '/v1/orders/8412?page=2&sort=created_at&status=open',
  headers,
  body: undefined,
}

/** The body of a request, padded so that it has exactly so many bytes. */
function json(build: (padding: string) => unknown, bytes: number): string {
  const bare = JSON.stringify(build(''))
  return JSON.stringify(build('x'.repeat(bytes - bare.length)))
}

/** 52 values in 1,024 bytes. */
const small = json(
  (padding) => ({
    id: 'c-1029384756',
    note: `Leave it at the gate${padding}`,
    express: false,
    currency: 'EUR',
    lines: Array.from({ length: 12 }, (_, i) => ({
      sku: `gate-${String(i).padStart(4, '0')}`,
      quantity: i + 1,
      cents: 48_000 + i,
      note: 'painted black',
    })),
  }),
  1_024,
)

/** 622 values in 10,539 bytes. */
const large = json(
  (padding) => ({
    id: 'c-1029384756',
    note: `Leave it${padding}`,
    lines: Array.from({ length: 124 }, (_, i) => ({
      sku: `g-${String(i).padStart(4, '0')}`,
      n: i + 1,
      cents: 48_000 + i,
      city: ['Den Haag', 'Utrecht', 'Zwolle'][i % 3],
      note: 'black, lockable',
    })),
  }),
  10_539,
)

const post = (name: string, body: string): BenchRequest => ({
  name,
  method: 'POST',
  uri: '/v1/orders',
  headers: [...headers, 'Content-Type', 'application/json', 'Content-Length', String(body.length)],
  body,
})

/** The three requests of the table. */
export const requests: readonly BenchRequest[] = [get, post('POST 1 KB', small), post('POST 10 KB', large)]

/** 10 KB of prose with Markdown: every character class occurs. */
export const prose = Array.from({ length: 40 }, (_, i) =>
  [
    `## ${i + 1}. How the gate is hung\n\nThe smith said: "it's heavier than it looks" (about 48 kg), so we used two *long* hinges & a latch.\n`,
    `- see [the manual](https://docs.example.com/gates?id=${i}#hinges), page ${i + 3};\n- cost: $${i}20.50 + 19 % tax = more than planned!\n`,
    '> Select a place from the list, drop it where you like, and update the note; or ask `support@example.com`.\n\n',
  ].join(''),
)
  .join('')
  .slice(0, 10_240)

/** A POST of one value of prose. */
export const prosePost = post('POST 10 KB prose', JSON.stringify({ text: prose }))
