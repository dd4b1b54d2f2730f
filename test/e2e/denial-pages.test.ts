import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGate, type TestGate } from '../kit/gate.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

describe('E2: the type of a problem leads to a page that helps', () => {
  let upstream: TestUpstream
  let gate: TestGate

  beforeAll(async () => {
    upstream = await startUpstream()
    gate = await startGate({ upstream: upstream.url })
  })
  afterAll(async () => {
    await gate.stop()
    await upstream.stop()
  })

  test('it resolves against the request, without a credential', async () => {
    const refused = await gate.fetch('/orders')
    const { type, code } = (await refused.json()) as { type: string; code: string }
    const page = await gate.fetch(new URL(type, `${gate.url}/orders`).pathname)
    expect(page.status).toBe(200)
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await page.text()).toContain(`<h1>${code}</h1>`)
    expect(upstream.hits).toEqual([])
  })

  test('the list of all pages is served, and nothing else below it', async () => {
    const list = await gate.fetch('/.well-known/portcullis/denials')
    expect(await list.text()).toContain('/.well-known/portcullis/denials/validate.body')
    expect((await gate.fetch('/.well-known/portcullis/denials/no.such')).status).toBe(404)
    expect((await gate.fetch('/.well-known/portcullis/other')).status).toBe(404)
    expect((await gate.fetch('/.well-known/portcullis/denials', { method: 'POST', body: 'x' })).status).toBe(405)
    expect(upstream.hits).toEqual([])
  })

  test('it is served at every host that an API answers to', async () => {
    await gate.reload({ api: { host: ['shop.test'] } })
    const page = await gate.fetch('/.well-known/portcullis/denials/unlisted.path', { headers: { host: 'shop.test' } })
    expect(page.status).toBe(200)
  })
})
