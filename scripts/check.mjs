// Every check that is not a test: format, lint, types, unused code, licences, known vulnerabilities. All run; all failures are told.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

/** Licences that may be linked into an Apache-2.0 product. */
const licences = 'MIT;ISC;Apache-2.0;BSD-2-Clause;BSD-3-Clause;0BSD;BlueOak-1.0.0;CC0-1.0;Unlicense;Python-2.0;MIT-0'

const checks = [
  ['format and lint', 'biome', ['ci', '--error-on-warnings', '.']],
  ['promises', 'oxlint', ['--type-aware', '--deny-warnings']],
  ['types', 'tsc', ['--noEmit']],
  ['unused code', 'knip', []],
  [
    'licences',
    'license-checker-rseidelsohn',
    ['--production', '--summary', '--excludePrivatePackages', '--onlyAllow', licences],
  ],
]

let failures = 0
for (const [name, command, args] of checks) {
  const started = Date.now()
  const { status, stdout, stderr } = spawnSync(`node_modules/.bin/${command}`, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    shell: process.platform === 'win32',
  })
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  process.stdout.write(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)\n`)
  if (status !== 0) {
    failures++
    process.stdout.write(`${stdout}${stderr}\n`)
  }
}
failures += audit()
process.exit(failures === 0 ? 0 : 1)

/** Known vulnerabilities in what a user installs. A registry that does not answer is told, not failed: it says nothing about the code. */
function audit() {
  const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  let report
  try {
    report = JSON.parse(stdout)
  } catch {
    report = {}
  }
  const found = report.metadata?.vulnerabilities
  if (found === undefined) {
    process.stdout.write('skip vulnerabilities: the registry gave no advisories\n')
    return 0
  }
  const bad = found.moderate + found.high + found.critical
  process.stdout.write(`${bad === 0 ? 'ok  ' : 'FAIL'} vulnerabilities (${bad} of moderate or higher severity)\n`)
  if (bad > 0) process.stdout.write(`${stdout}\n`)
  return bad === 0 ? 0 : 1
}
