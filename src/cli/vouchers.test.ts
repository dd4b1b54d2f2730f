import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type LoadOptions, loadConfig } from '../config/load.ts'
import { guards } from '../guards/index.ts'
import { vouchersOf } from './vouchers.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-vouchers-'))
afterAll(() => rmSync(dir, { recursive: true }))

async function vouchers(auth: unknown, more: object = {}) {
  const api = { openapi: 'openapi.yaml', upstream: 'http://localhost:1', ...(auth === undefined ? {} : { auth }) }
  const value = {
    version: 1,
    stateDir: dir,
    listen: [{ port: 8443, host: '127.0.0.1', tls: 'development' }],
    apis: { shop: api },
    ...more,
  }
  const shapes = guards as unknown as LoadOptions['guards']
  const file = join(dir, 'portcullis.yaml')
  return vouchersOf(await loadConfig({ file, value, env: {}, guards: shapes, withoutUpstreams: true }))
}

const service = { tokenService: { clients: {} } }
const own = { issuers: { home: { issuer: 'https://localhost:8443/oauth', audience: 'shop' } } }

describe('people come in by', () => {
  test.each([
    ['basic, where it is listed and there is no token service', ['basic'], {}, ['basic']],
    ['the token service, where no API lists basic', undefined, service, ['tokenService']],
    ['the token service under the name of its own entry', undefined, { ...service, ...own }, ['home']],
    ['basic, where no API lists the token service', ['apiKey', 'basic'], service, ['basic']],
    ['both, where both are listed', ['basic', 'tokenService'], service, ['basic', 'tokenService']],
    ['both, where schemes are mapped to them', { a: 'basic', b: ['tokenService'] }, service, ['basic', 'tokenService']],
    ['the token service, where nobody is listed who knows people', ['apiKey'], service, ['tokenService']],
    ['basic, where nothing else knows people', ['apiKey'], {}, ['basic']],
  ])('%s', async (_name, auth, more, people) => {
    expect((await vouchers(auth, more)).people).toEqual(people)
  })

  test('a method that no API lists is not accepted', async () => {
    const { isAccepted } = await vouchers(undefined, service)
    expect([isAccepted('tokenService'), isAccepted('apiKey'), isAccepted('basic')]).toEqual([true, true, false])
  })
})
