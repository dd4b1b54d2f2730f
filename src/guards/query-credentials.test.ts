import { describe, expect, test } from 'vitest'
import { codeOf, compileGuard, makeExchange, makeOperation, makeParameter } from '../../test/kit/guard.ts'
import { queryCredentials } from './query-credentials.ts'

const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl'

const declared = makeOperation({
  parameters: [makeParameter('session', 'query'), makeParameter('api_key', 'query'), makeParameter('token', 'header')],
  securitySchemes: [
    { name: 'inUrl', type: 'apiKey', in: 'query', parameterName: 'api_key', httpScheme: undefined },
    { name: 'odd', type: 'apiKey', in: 'query', parameterName: 'licence', httpScheme: undefined },
    { name: 'inHeader', type: 'apiKey', in: 'header', parameterName: 'x-tenant', httpScheme: undefined },
  ],
})

async function verdict(query: string, operation = makeOperation(), options?: unknown) {
  const steps = await compileGuard(queryCredentials, options, operation)
  return steps?.requestHead?.(makeExchange({ query, operation })) as never
}

describe('T8: credentials in the query string', () => {
  test.each([
    'access_token=x',
    'api_key=x',
    'apikey=x',
    'api-key=x',
    'apiKey=x',
    'API.KEY=x',
    'X-Api-Key=x',
    'page=1&password=hunter2',
    'client_secret=x',
    'Authorization=x',
    'sessionId=x',
    'token=',
    'user[password]=x',
    'filter.token=x',
    '%61ccess_token=x',
    'access%5Ftoken=x',
    `q=${jwt}`,
    `q=${jwt}.aXY.dGFn`,
    'q=Bearer+abcdefgh',
    'q=Basic%20dXNlcjpwYXNz',
    'q=pk_0123456789abcdefABCDEF',
    'q=pck_0123456789ab_0123456789abcdefABCDEF',
    'q=pcs_0123456789abcdefABCDEF',
  ])('%s is refused', async (query) => {
    expect(await verdict(query)).toMatchObject({ status: 400, code: 'query.credential' })
  })

  test.each([
    '',
    'page=1&limit=20',
    'tokens=3',
    'keyword=x',
    'code=abc&state=xyz',
    'q=eyJ',
    'q=Bearer',
    'q=pk_short',
    'q=basic+shoes',
    'author=me',
    'signatures=2',
  ])('%j passes', async (query) => {
    expect(await verdict(query)).toBeUndefined()
  })

  test('a name that the document declares for another use passes, unless a security scheme has it', async () => {
    expect(codeOf(await verdict('session=morning', declared))).toBeUndefined()
    expect(codeOf(await verdict('api_key=x', declared))).toBe('query.credential')
    expect(codeOf(await verdict('licence=x', declared))).toBe('query.credential')
    expect(codeOf(await verdict('x-tenant=x', declared))).toBeUndefined()
    expect(codeOf(await verdict('token=x', declared))).toBe('query.credential')
  })

  test('what looks like a credential is refused under a declared name too', async () => {
    expect(codeOf(await verdict(`session=${jwt}`, declared))).toBe('query.credential')
  })

  test('allowed names may hold anything, further names nothing', async () => {
    expect(codeOf(await verdict(`request=${jwt}`, undefined, { allow: ['request'] }))).toBeUndefined()
    expect(codeOf(await verdict('licenseKey=x', undefined, { names: ['license_key'] }))).toBe('query.credential')
  })

  test('neither detail nor evidence repeats what the caller sent', async () => {
    const secret = 'hunter2-canary'
    for (const query of [`password=${secret}`, `q=${jwt}`, `${secret}=1&token=1`]) {
      const refusal = JSON.stringify(await verdict(query))
      expect(refusal).toContain('query.credential')
      expect(refusal).not.toContain(secret)
      expect(refusal).not.toContain(jwt)
    }
  })

  test('holds for paths that the document does not list', async () => {
    const unlisted = makeOperation({ kind: 'unlisted-path', method: '*', id: 'unlisted-path' })
    expect(codeOf(await verdict('access_token=x', unlisted))).toBe('query.credential')
  })

  test('a hostile query is looked at in linear time', async () => {
    const started = performance.now()
    expect(await verdict(`q=eyJ${'a.'.repeat(500_000)}`)).toBeUndefined()
    expect(await verdict(`${'['.repeat(500_000)}=1`)).toBeUndefined()
    expect(performance.now() - started).toBeLessThan(1_000)
  })
})
