import { connect } from 'node:net'

/** What came back over a connection. */
export interface WireReply {
  /** Of the final answer; `undefined` where none came. */
  readonly status: number | undefined
  /** All bytes, one character each. */
  readonly text: string
}

const replyBytesMax = 4 * 1024 * 1024

/** Sends exactly these bytes to a port of this machine and reads the answer to its end, or until nothing more comes. */
export function sendBytes(port: number, bytes: Buffer, timeoutMs: number): Promise<WireReply> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    let received = 0
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    const finish = () => {
      clearTimeout(timer)
      socket.destroy()
      const text = Buffer.concat(parts).toString('latin1')
      resolve({ status: finalHead(text)?.status, text })
    }
    const timer = setTimeout(finish, timeoutMs)
    socket.on('connect', () => socket.write(bytes))
    socket.on('data', (part: Buffer) => {
      parts.push(part)
      received += part.length
      if (received > replyBytesMax || isWhole(Buffer.concat(parts).toString('latin1'))) finish()
    })
    // A connection that is reset has said all it had to say.
    socket.on('error', finish)
    socket.on('end', finish)
    socket.on('close', finish)
  })
}

interface Head {
  readonly status: number
  readonly fields: string
  /** Where the body begins. */
  readonly end: number
}

/** The first answer that is not an interim one. */
function finalHead(text: string): Head | undefined {
  for (let at = 0; ; ) {
    const found = /^HTTP\/1\.[01] (\d{3})[^\r\n]*\r\n/.exec(text.slice(at))
    const end = text.indexOf('\r\n\r\n', at)
    if (found === null || end < 0) return undefined
    const status = Number(found[1])
    if (status >= 200) return { status, fields: text.slice(at, end + 2), end: end + 4 }
    at = end + 4
  }
}

/** Whether an answer is there to its end, as far as its head says where that is. */
function isWhole(text: string): boolean {
  const head = finalHead(text)
  if (head === undefined) return false
  if (head.status === 204 || head.status === 304) return true
  const length = /\ncontent-length:[ \t]*(\d+)[ \t]*\r/i.exec(head.fields)
  if (length !== null) return text.length >= head.end + Number(length[1])
  return /\ntransfer-encoding:[ \t]*chunked/i.test(head.fields) && text.endsWith('0\r\n\r\n')
}
