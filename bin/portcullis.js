#!/usr/bin/env node
// Plain JavaScript that also an old Node can read, because its one task is to say that Node is too old.
import { existsSync } from 'node:fs'
import module from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

var needed = [22, 18]
var found = process.versions.node.split('.').map(Number)

if (found[0] < needed[0] || (found[0] === needed[0] && found[1] < needed[1])) {
  process.stderr.write(
    'Portcullis needs Node.js ' +
      needed.join('.') +
      ' or later; this is ' +
      process.version +
      ' (' +
      process.execPath +
      ').\n' +
      'In a checkout `npm run -s portcullis -- <command>` brings its own; elsewhere see https://nodejs.org/en/download.\n',
  )
  process.exit(2)
}

// By itself V8 lets 128 MB of young garbage pile up; a quarter of that costs no time and saves 70 MB (docs/performance.md).
// It takes the flag only when it starts, so the process starts itself anew, in place: same pid, same streams. Whoever
// gives the flag, here or in NODE_OPTIONS, is not overruled.
var serves = process.argv[2] === 'start' || process.argv[2] === 'dev'
var flags = `${process.execArgv.join(' ')} ${process.env.NODE_OPTIONS || ''}`
if (serves && process.execve && !process.send && flags.indexOf('--max-semi-space-size') === -1) {
  process.execve(
    process.execPath,
    [process.execPath, '--max-semi-space-size=16', ...process.execArgv, ...process.argv.slice(1)],
    process.env,
  )
}

// Compiled code is kept from one start to the next, which halves a start. In a folder of this user, never in the shared
// temporary one: whoever writes there first would choose what runs here. Set in the environment, so that workers and
// threads find it too. NODE_DISABLE_COMPILE_CACHE=1 turns it off; a folder that cannot be written costs only the time.
try {
  if (!process.env.NODE_COMPILE_CACHE) {
    process.env.NODE_COMPILE_CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'portcullis')
  }
  module.enableCompileCache()
} catch {
  // A user without a home, as in some containers.
}

// A checkout runs its sources as they are; the published package holds only dist.
var source = new URL('../src/cli/main.ts', import.meta.url)
var built = new URL('../dist/cli/main.js', import.meta.url)

import((existsSync(source) ? source : built).href)
  .then((program) => program.main(process.argv.slice(2)))
  .then(
    (code) => {
      process.exitCode = code
      // A command that is done must not wait for a connection that somebody forgot.
      setTimeout(() => process.exit(code), 2000).unref()
    },
    (error) => {
      process.stderr.write(`${error?.stack ? error.stack : String(error)}\n`)
      process.exitCode = 2
    },
  )
