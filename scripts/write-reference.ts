// Writes what is made from the code: run it after a change to options, error codes or commands.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { generated } from './reference.ts'

process.chdir(new URL('..', import.meta.url).pathname)
for (const [file, content] of Object.entries(await generated())) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  process.stderr.write(`${file}\n`)
}
