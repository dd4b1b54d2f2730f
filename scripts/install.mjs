// Installs what package-lock.json names, once: the `pre` scripts of package.json call it. Runs on any Node that npm runs on.
// It is never joined to the next command with `&&`: a shell remembers where it found `node` before, and would go on with
// the system's although the one of this project has just arrived.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

process.chdir(new URL('..', import.meta.url).pathname)
const stamp = 'node_modules/.portcullis-installed'
const lock = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex')

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  process.stderr.write('Installing what package-lock.json names (once; about a minute) ...\n')
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    // Standard output belongs to the command that follows, which may be writing JSON.
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (npm.status !== 0) {
    process.stderr.write('npm ci failed; its own message stands above. Mend that and run the command again.\n')
    process.exit(npm.status ?? 1)
  }
  writeFileSync(stamp, lock)
}
