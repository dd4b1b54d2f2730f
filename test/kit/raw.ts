import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

/** A client that sends exactly the bytes it is told to, and keeps all that comes back. */
export interface RawClient {
  readonly socket: Socket
  /** Everything received so far, one character a byte. */
  readonly text: () => string
  readonly bytes: () => Buffer
  /** Status codes of the HTTP/1.1 answers so far, interim ones included. */
  readonly statuses: () => number[]
  readonly closed: () => boolean
  send(bytes: string | Buffer): RawClient
  /** Closes the sending half. */
  end(): RawClient
  /** Waits for an answer with a final status; tells it. */
  status(deadlineMs?: number): Promise<number>
  /** Waits for the other side to close; tells all that came. */
  whole(deadlineMs?: number): Promise<string>
  destroy(): void
}

/** Opens a connection on loopback, with TLS when options for it are given. */
export async function rawClient(port: number, tls?: ConnectionOptions): Promise<RawClient> {
  const socket: Socket =
    tls === undefined
      ? connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true })
      : connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...tls })
  const chunks: Buffer[] = []
  let closed = false
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => {})
  socket.once('end', () => (closed = true))
  socket.once('close', () => (closed = true))
  await new Promise<void>((resolve, reject) => {
    socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed before it was open')))
  })
  const bytes = () => Buffer.concat(chunks)
  const text = () => bytes().toString('latin1')
  const statuses = () => [...text().matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]))
  const client: RawClient = {
    socket,
    text,
    bytes,
    statuses,
    closed: () => closed,
    send(data) {
      socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data)
      return client
    },
    end() {
      socket.end()
      return client
    },
    status: (deadlineMs) =>
      until(
        () => {
          const final = statuses().find((status) => status >= 200)
          if (final === undefined && closed) throw new Error(`closed without an answer: ${JSON.stringify(text())}`)
          return final
        },
        'an answer',
        deadlineMs,
      ),
    async whole(deadlineMs) {
      await until(() => closed, `the connection to close after ${JSON.stringify(text().slice(0, 300))}`, deadlineMs)
      return text()
    },
    destroy: () => socket.destroy(),
  }
  return client
}

/** One HTTP/2 frame (RFC 9113, 4.1). */
export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export const frameType = {
  data: 0,
  headers: 1,
  rst: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

/** Header fields as literals, never indexed and without Huffman coding (RFC 7541, 6.2.2): exactly these bytes. */
export function fields(...pairs: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(pairs.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  const { length } = bytes
  if (length < 127) return Buffer.concat([Buffer.from([length]), bytes])
  const size = [127]
  let rest = length - 127
  for (; rest >= 128; rest >>= 7) size.push((rest & 127) | 128)
  size.push(rest)
  return Buffer.concat([Buffer.from(size), bytes])
}

/** What a client sends first: its preface and empty settings (RFC 9113, 3.4). */
export const preface = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(frameType.settings, 0, 0)])

/** A frame as it came. */
export interface ReceivedFrame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** The whole frames among the bytes received. */
export function framesOf(bytes: Buffer): ReceivedFrame[] {
  const frames: ReceivedFrame[] = []
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    if (at + 9 + length > bytes.length) break
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      stream: bytes.readUInt32BE(at + 5) & 0x7fff_ffff,
      payload: bytes.subarray(at + 9, at + 9 + length),
    })
    at += 9 + length
  }
  return frames
}

/** Asks until there is an answer. Here, and not from `gate.ts`, so that tests beside the sources do not load the whole product. */
export async function until<T>(ask: () => T | undefined | false, what: string, deadlineMs = 10_000): Promise<T> {
  const end = Date.now() + deadlineMs
  for (;;) {
    const answer = ask()
    if (answer !== undefined && answer !== false) return answer
    if (Date.now() > end) throw new Error(`waited ${deadlineMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
