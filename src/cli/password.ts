import { UsageError } from './command.ts'

const passwordBytesMax = 1024

/** A password from standard input, without the line end that an editor or `echo` adds. */
export async function readPassword(): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of process.stdin) {
    bytes += (piece as Buffer).length
    if (bytes > passwordBytesMax) throw new UsageError(`A password has at most ${passwordBytesMax} bytes.`)
    pieces.push(piece as Buffer)
  }
  const password = Buffer.concat(pieces)
    .toString('utf8')
    .replace(/\r?\n$/, '')
  if (password === '') throw new UsageError('No password came on standard input.')
  return password
}

/** Asks a person for a password, which is not shown. */
export async function askPassword(name: string): Promise<string> {
  if (process.stdin.isTTY !== true) throw new UsageError('There is no terminal to ask on; use --password-stdin.')
  const { isCancel, password } = await import('@clack/prompts')
  const answer = await password({
    message: `Password for ${name}`,
    validate: (text) => (text ? undefined : 'It is empty.'),
  })
  if (isCancel(answer)) throw new UsageError('Nothing was changed.')
  return answer
}
