import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeRunDir } from './services.ts'

/** Makes the folder that the test services of this run share; at the end removes it and repeats what was skipped. */
export default function setup(): () => void {
  const dir = makeRunDir()
  process.env.PORTCULLIS_TEST_DIR = dir
  return () => {
    if (!existsSync(dir)) return
    for (const name of readdirSync(dir)) {
      if (name.startsWith('skipped-')) console.warn(readFileSync(join(dir, name), 'utf8'))
    }
    rmSync(dir, { recursive: true, force: true })
  }
}
