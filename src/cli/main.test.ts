import { afterEach, describe, expect, test, vi } from 'vitest'
import { main } from './main.ts'

/** Runs a command line in this process and gives what it would have printed. */
async function run(words: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((piece) => {
      said[name] += String(piece)
      return true
    })
  }
  const code = await main(words)
  process.exitCode = undefined
  vi.restoreAllMocks()
  return { code, ...said }
}
afterEach(() => vi.restoreAllMocks())

describe('main', () => {
  test('without words tells what there is and ends with 2', async () => {
    const { code, stdout, stderr } = await run([])
    expect(code).toBe(2)
    expect(stdout).toBe('')
    for (const command of ['dev', 'start', 'init', 'check', 'explain', 'key', 'user', 'waf', 'doctor', 'schema']) {
      expect(stderr).toMatch(new RegExp(`^  ${command} `, 'm'))
    }
  })

  test.each([
    [['--help'], 'Usage: portcullis [options] [command]'],
    [['help'], 'Usage: portcullis [options] [command]'],
    [['help', 'start'], 'Usage: portcullis start'],
    [['key', '--help'], 'portcullis key create partner --scope orders:read --expires 90d'],
    [['key', 'create', '--help'], '--cidr <range>'],
    [['dev', '--help'], 'portcullis dev ./openapi.yaml --upstream http://localhost:3000'],
  ])('teaches with %j', async (words, taught) => {
    const { code, stdout } = await run(words)
    expect(code).toBe(0)
    expect(stdout).toContain(taught)
  })

  test.each([
    [['chek'], '(Did you mean check?)'],
    [['start', '--confg', 'x'], '(Did you mean --config?)'],
    [['key', 'creat', 'x'], '(Did you mean create?)'],
    [['chek', '--help'], '(Did you mean check?)'],
    [['key', 'create'], "missing required argument 'name'"],
    [['key', 'create'], 'Run `portcullis key create --help`'],
    [['scan', '--as', 'alice'], 'is not in this version'],
    [['keys', 'rotat'], '(Did you mean rotate?)'],
    [['waf', 'instal'], '(Did you mean install?)'],
    [['waf', 'update', 'four'], 'four is no line: 4.25 or 4'],
    [['waf', 'install', '--from', './none.tar.gz'], 'There is no file ./none.tar.gz'],
    [['waf', 'install', '--from', './src'], './src is a folder; --from takes a release as it is published'],
    [
      ['waf', 'install', '--key', './src', '--to', '/dev/null/x'],
      './src is a folder; --key takes a public key in a file',
    ],
    [['waf', 'explain', './src'], './src is a folder; one request in a file is needed'],
    [['waf', 'install', '--signature', './x.asc'], '--signature goes with --from'],
    [['waf', 'install', '--key', './none.asc', '--to', '/dev/null/x'], 'there is no ./none.asc'],
    [['waf', 'test', './src/cli', '--rules', 'own', '--overrides', './none.yaml'], 'There is no file ./none.yaml'],
    [['waf', 'test', './src/cli', '--rules', 'own'], 'There are no tests in ./src/cli'],
    [['waf', 'test', './none', '--rules', 'own'], 'there is no ./none'],
    [['waf', 'test', '.', '--paranoia', '5'], 'Allowed choices are 1, 2, 3, 4'],
    [['revoke'], "missing required argument 'id'"],
    [
      ['init', '--config', '/dev/null/x.yaml', '--openapi', './a.yaml', '--upstream', 'http://localhost:1'],
      'a part of the path is no folder: /dev/null/x.yaml',
    ],
    [['dev', './none.yaml', '--upstream', 'http://localhost:1'], 'There is no file ./none.yaml'],
    [['dev', './package.json'], 'Say where the API runs: portcullis dev ./package.json --upstream'],
    [['dev', './package.json', '--port', '65536', '--upstream', 'http://localhost:1'], 'a port is 0 to 65535'],
    [['key', 'create', 'a', '--expires', 'soon'], '--expires: expected a duration'],
    [['explain', 'P9999'], 'There is no error code P9999'],
    [['check', 'headers'], 'Say where to ask'],
    [['check', 'headers', 'ftp://x'], 'is no URL'],
    [['user', 'add', 'a'], 'use --password-stdin'],
    [['start', '--config', './no-such.yaml'], 'there is no such file'],
  ])('refuses %j with 2, says what is meant, and keeps standard output clean', async (words, said) => {
    const { code, stdout, stderr } = await run(words)
    expect(stderr).toContain(said)
    expect(code).toBe(2)
    expect(stdout).toBe('')
  })

  test.each([
    [['chek', '--json']],
    [['start', '--config', './no-such.yaml', '--json']],
    [['explain', 'P9999', '--json']],
  ])('with --json gives a refusal as one document: %j', async (words) => {
    const { code, stdout } = await run(words)
    expect(code).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({ errors: [{ message: expect.any(String) }] })
  })
})
