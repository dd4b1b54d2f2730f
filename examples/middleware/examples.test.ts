import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { runCommand, until } from '../../test/kit/gate.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
const config = ['--config', `${here}portcullis.yaml`]
let key: { readonly key: string; readonly id: string }
let child: ChildProcess | undefined

beforeAll(async () => {
  const { stdout } = await runCommand(['key', 'create', 'reader', '--scope', 'notes', '--json', ...config])
  key = JSON.parse(stdout)
})

afterEach(() => {
  child?.kill('SIGKILL')
  child = undefined
})

afterAll(async () => {
  await runCommand(['key', 'revoke', key.id, ...config])
})

describe.each(['node', 'express', 'fastify', 'hono', 'fetch'])('examples/middleware/%s.ts', (name) => {
  test('is protected by its document, and ends by itself when it is told to', async () => {
    const env = { ...process.env, PORT: '0' }
    child = spawn(process.execPath, [`${here}${name}.ts`], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let complaints = ''
    child.stdout!.on('data', (chunk) => (output += chunk))
    child.stderr!.on('data', (chunk) => (complaints += chunk))
    const url = await until(
      () => {
        if (child!.exitCode !== null) throw new Error(complaints)
        return /http:\S+/.exec(output)?.[0]
      },
      'the example to listen',
      20_000,
    )
    const add = (body: unknown, headers = {}) =>
      fetch(`${url}/notes`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      })
    expect((await fetch(`${url}/health`)).status).toBe(200)
    expect((await fetch(`${url}/secret`)).status).toBe(404)
    expect((await add({ text: 'hello' })).status).toBe(401)
    expect((await add({ text: '' }, { 'x-api-key': key.key })).status).toBe(400)
    const added = await add({ text: 'hello' }, { 'x-api-key': key.key, connection: 'close' })
    expect(added.status).toBe(201)
    expect(await added.json()).toEqual({ text: 'hello', by: expect.stringMatching(/./) })

    const exited = new Promise((resolve) => child!.once('exit', resolve))
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
    expect(complaints).toBe('')
  })
})
