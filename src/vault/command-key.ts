import { spawn } from 'node:child_process'
import type { KeyCommand, MasterKey } from './master-key.ts'

const timeoutMsDefault = 10_000
const outputBytesMax = 16_384

/**
 * A key that a program keeps: it is started with the arguments as configured, reads two lines (`wrap` or `unwrap`, then
 * base64) and writes one line of base64. Secrets go over pipes only: arguments can be read by every process of a machine.
 */
export function commandKey({ command, timeout: timeoutMs = timeoutMsDefault }: KeyCommand): MasterKey {
  const program = command[0]!
  return {
    source: `the command ${program}`,
    missing: false,
    wrap: (plain) => ask(command, 'wrap', plain, timeoutMs),
    unwrap: (wrapped) => ask(command, 'unwrap', wrapped, timeoutMs),
    close() {},
  }
}

function ask(
  [program, ...args]: readonly string[],
  operation: 'wrap' | 'unwrap',
  input: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    // What it says on standard error may quote what it was given: it is not ours to repeat.
    const child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'ignore'], shell: false, windowsHide: true })
    const pieces: Buffer[] = []
    let size = 0
    const failed = (why: string, cause?: unknown) => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      reject(new Error(`${program} (${operation}) ${why}`, { cause }))
    }
    const timer = setTimeout(() => failed(`did not answer within ${timeoutMs} ms`), timeoutMs)
    child.once('error', (error: NodeJS.ErrnoException) =>
      failed(error.code === 'ENOENT' ? 'was not found' : `could not be started: ${error.code}`, error),
    )
    child.stdout.on('data', (piece: Buffer) => {
      size += piece.length
      if (size > outputBytesMax) failed(`wrote more than ${outputBytesMax} bytes`)
      else pieces.push(piece)
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      const output = Buffer.concat(pieces)
      for (const piece of pieces) piece.fill(0)
      const text = output.toString('latin1').trim()
      output.fill(0)
      if (code !== 0) failed(code === null ? `was ended by ${signal}` : `ended with exit code ${code}`)
      else if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) failed('did not write one line of base64')
      else resolve(Buffer.from(text, 'base64'))
    })
    // A program that ends without reading is told of by its exit code.
    child.stdin.on('error', () => {})
    child.stdin.end(`${operation}\n${Buffer.from(input).toString('base64')}\n`)
  })
}
