import { expect, test } from 'vitest'
import { makeExchange, makeHost, makeOperation } from '../../test/kit/guard.ts'
import { waf } from './waf.ts'

async function refusalOf(contentType: string | undefined, body: string) {
  const options = waf.options.parse({})
  const steps = (await waf.setup(options, makeHost(), waf.root!.parse({})))(makeOperation())!
  const exchange = makeExchange({
    method: 'POST',
    body,
    headers: {
      host: 'api.example',
      'user-agent': 'test',
      accept: '*/*',
      ...(contentType !== undefined && { 'content-type': contentType }),
      'content-length': String(body.length),
    },
  })
  const verdict = steps.requestHead!(exchange)
  return verdict ?? (steps.readsRequestBody!(exchange) ? steps.requestBody!(exchange) : undefined)
}

const json = JSON.stringify({ a: "1' OR '1'='1' UNION SELECT password FROM users-- " })

test.each([
  undefined,
  '',
  '*/*',
  'text/plain',
  'text/plain;charset=UTF-8',
  'application/x-json',
  'application/x-ndjson',
  'application/json5',
])('JSON called %j is searched all the same: many readers take it for JSON', async (contentType) => {
  expect(await refusalOf(contentType, json)).toMatchObject({ status: 403, code: 'waf.blocked' })
  expect(await refusalOf(contentType, '{"a":"<\\u0073cript>alert(1)</script>"}')).toMatchObject({ status: 403 })
  expect(
    await refusalOf(contentType, JSON.stringify({ a: 'Hello, world: 100 % of it & more', b: [1] })),
  ).toBeUndefined()
})

test('plain text of no harm passes, percent signs and all', async () => {
  expect(await refusalOf('text/plain', 'Dear all,\n50% off & more = less; see you (soon).\n')).toBeUndefined()
})

test.each([
  ['Content-Transfer-Encoding: quoted-printable', '=3Cscript=3Ealert(1)=3C/script=3E'],
  ['Content-Transfer-Encoding: base64', 'PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=='],
  ['Content-Type: text/plain; charset=ibm500', 'x'],
])('a part with %s is refused: Go and Python undo it, rules do not', async (line, value) => {
  const body = `--b\r\nContent-Disposition: form-data; name="a"\r\n${line}\r\n\r\n${value}\r\n--b--\r\n`
  expect(await refusalOf('multipart/form-data; boundary=b', body)).toMatchObject({ status: 403, code: 'waf.blocked' })
})
