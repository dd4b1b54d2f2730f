import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cpuMs } from '../../test/kit/cpu.ts'
import { makeOperation } from '../../test/kit/guard.ts'
import { compileBodies } from './bodies.ts'
import type { Encoding, MediaType, Schema } from './operation.ts'
import { createValidators } from './validators.ts'

const uri = 'file:///api/openapi.json'

interface Written {
  readonly schema?: unknown
  readonly itemSchema?: unknown
  readonly encoding?: Record<string, Partial<Encoding>>
}

function contract(content: Record<string, Written>) {
  const { document } = makeOperation()
  Object.assign(document, { validator: createValidators(new Map([[uri, {}]]), { openapi: '3.2.0' }) })
  const ref = (schema: unknown) =>
    schema === undefined ? undefined : { uri: `${uri}#/nowhere`, schema: schema as Schema }
  const media = Object.entries(content).map(
    ([type, { schema, itemSchema, encoding = {} }]): MediaType => ({
      type,
      schema: ref(schema),
      itemSchema: ref(itemSchema),
      encoding: encoding as Record<string, Encoding>,
    }),
  )
  return compileBodies(media, document, 'request')
}

/** `ok`, why it is not of its type, or the places that do not fit. */
function judge(content: Record<string, Written>, contentType: string | undefined, body: string | Buffer): unknown {
  const selected = contract(content).select(contentType)
  if (typeof selected === 'string') return selected
  if (selected.check === undefined) return 'unchecked'
  const { malformed, errors } = selected.check(Buffer.from(body as string))
  if (malformed !== undefined) return malformed
  return errors.length === 0 ? 'ok' : errors.map(({ pointer, keyword }) => `${pointer} ${keyword}`).join(', ')
}

const png = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')
const jpeg = Buffer.from('ffd8ffe000104a464946', 'hex')
const order = { type: 'object', required: ['id'], properties: { id: { type: 'integer' } } }

describe('V2: which media types an operation takes', () => {
  test.each<[string[], string | undefined, string]>([
    [['application/json'], 'application/json', 'application/json'],
    [['application/json'], 'Application/JSON; charset=UTF-8', 'application/json'],
    [['application/json'], 'application/json; charset="utf-8"; q=1', 'application/json'],
    [['application/json'], 'application/json;charset=latin1', 'charset'],
    [['application/json'], 'application/json; charset=utf-16', 'charset'],
    [['application/json'], 'application/vnd.api+json', 'unlisted'],
    [['application/json'], 'text/plain', 'unlisted'],
    [['application/json'], undefined, 'unlisted'],
    [['application/json'], 'json', 'unlisted'],
    [['application/json'], 'application/json, text/plain', 'unlisted'],
    [['application/json'], 'application/json; charset=utf-8; charset=utf-7', 'unlisted'],
    [['application/*'], 'application/json', 'application/*'],
    [['application/*', '*/*'], 'text/plain', '*/*'],
    [['*/*', 'application/*', 'application/json'], 'application/json', 'application/json'],
    [['application/*+json'], 'application/vnd.api+json', 'application/*+json'],
    [['application/json; version=2', 'application/json'], 'application/json; version=2', 'application/json; version=2'],
    [['application/json; version=2'], 'application/json; version=1', 'unlisted'],
    [['image/*'], 'image/png', 'image/*'],
  ])('%j takes %s as %s', (types, contentType, expected) => {
    const selected = contract(Object.fromEntries(types.map((type) => [type, {}]))).select(contentType)
    expect(typeof selected === 'string' ? selected : selected.type).toBe(expected)
  })

  test('the list for a 415 is what the document has', () => {
    expect(contract({ 'application/json': {}, 'image/*': {} }).accept).toBe('application/json, image/*')
  })

  test.each<[string[], boolean]>([
    [['application/octet-stream'], false],
    [['application/octet-stream', '*/*'], false],
    [['video/*'], false],
    [['image/*'], true],
    [['application/pdf'], true],
    [['application/octet-stream', 'application/json'], true],
  ])('%j is looked into: %s', (types, expected) => {
    expect(contract(Object.fromEntries(types.map((type) => [type, {}]))).looksInside).toBe(expected)
  })
})

describe('V2: a body that is not of its media type', () => {
  test.each<[string, string, string | Buffer, unknown]>([
    ['PNG as JSON', 'application/json', png, 'expected UTF-8 (at byte 0)'],
    ['text as JSON', 'application/json', 'hello', 'expected JSON (at byte 0)'],
    ['JSON with a key twice', 'application/json', '{"a":1,"a":2}', 'a key stands twice in one object (at byte 7)'],
    ['JSON', 'application/json', '{"a":1}', 'ok'],
    ['HTML as PNG', 'image/png', '<!doctype html><script>', 'expected image/png'],
    ['JPEG as PNG', 'image/png', jpeg, 'expected image/png'],
    ['PNG', 'image/png', png, 'ok'],
    ['half a PNG signature', 'image/png', png.subarray(0, 7), 'expected image/png'],
    ['ZIP as PDF', 'application/pdf', 'PK\x03\x04', 'expected application/pdf'],
    ['PDF', 'application/pdf', '%PDF-1.7', 'ok'],
    [
      'a program as a spreadsheet',
      'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
      'MZ',
      'expected application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
    ],
    ['bytes without a form', 'application/octet-stream', png, 'unchecked'],
    ['PNG as text', 'text/plain', png, 'expected text in UTF-8'],
    ['PDF as text', 'text/plain', '%PDF-1.7', 'expected text/plain'],
    ['NUL in text', 'text/plain', 'a\0b', 'expected text in UTF-8'],
    ['text', 'text/plain', 'hëllo <html>', 'ok'],
    ['XML', 'application/xml', '<?xml version="1.0" encoding="UTF-8"?><!-- a --><a/>', 'ok'],
    [
      'XML with a document type',
      'application/xml',
      '<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "c">]><a/>',
      'expected XML without a document type declaration',
    ],
    ['XML in another encoding', 'text/xml', '<?xml version="1.0" encoding="utf-16"?><a/>', 'expected XML in UTF-8'],
    ['JSON as XML', 'application/soap+xml', '{}', 'expected XML'],
    ['an open comment as XML', 'application/xml', '<!-- ', 'expected XML'],
  ])('%s', (_, type, body, expected) => {
    expect(judge({ [type]: {} }, type, body)).toBe(expected)
  })
})

describe('V4: bodies against their schemas', () => {
  const form = 'application/x-www-form-urlencoded'
  const lines = 'application/x-ndjson'
  const fields = {
    type: 'object',
    required: ['n'],
    properties: {
      n: { type: 'integer' },
      tags: { type: 'array', items: { type: 'string' } },
      on: { type: 'boolean' },
      o: { type: 'object', properties: { a: { type: 'integer' } } },
    },
  }
  test.each<[string, string, Written, string, unknown]>([
    ['JSON', 'application/json', { schema: order }, '{"id":"x"}', '/id type'],
    ['JSON by its suffix', 'application/vnd.shop+json', { schema: order }, '{}', '/id required'],
    ['a form', form, { schema: fields }, 'n=1&tags=a&tags=b&on=true', 'ok'],
    ['a form that does not fit', form, { schema: fields }, 'n=x&on=1', '/n type, /on type'],
    ['a form with an unknown field', form, { schema: fields }, 'n=1&isAdmin=1', '/isAdmin unknownProperty'],
    ['a form with a field twice', form, { schema: fields }, 'n=1&n=2', 'expected it once'],
    ['a form with an object in JSON', form, { schema: fields }, `n=1&o=${encodeURIComponent('{"a":1}')}`, 'ok'],
    [
      'a form with an object that does not fit',
      form,
      { schema: fields },
      `n=1&o=${encodeURIComponent('{"a":"x"}')}`,
      '/o/a type',
    ],
    [
      'a form with a list in one field',
      form,
      { schema: fields, encoding: { tags: { style: 'form', explode: false } } },
      'n=1&tags=a,b',
      'ok',
    ],
    ['a form in broken UTF-8', form, { schema: fields }, 'n=%ff', 'expected percent-encoded UTF-8'],
    [
      'a form with a trap',
      form,
      { schema: { type: 'object' } },
      '__proto__=1',
      'expected no field of the name "__proto__"',
    ],
    ['lines', lines, { itemSchema: order }, '{"id":1}\n{"id":2}\n', 'ok'],
    ['lines, one of which does not fit', lines, { itemSchema: order }, '{"id":1}\n\n{"id":"x"}', '/1/id type'],
    ['lines, one of which is no JSON', lines, { schema: order }, '{"id":1}\n{', 'line 2: expected JSON (at byte 1)'],
    [
      'lines as a list, before 3.2',
      lines,
      { schema: { type: 'array', maxItems: 1, items: order } },
      '{"id":1}\n{"id":2}',
      ' maxItems',
    ],
    ['a sequence', 'application/json-seq', { itemSchema: order }, '\x1e{"id":1}\n\x1e{"id":"x"}\n', '/1/id type'],
    ['a text that is a number', 'text/plain', { schema: { type: 'integer', maximum: 5 } }, '7', ' maximum'],
  ])('%s', (_, type, written, body, expected) => {
    expect(judge({ [type]: written }, type, body)).toBe(expected)
  })
})

describe('multipart/form-data', () => {
  const type = 'multipart/form-data; boundary=B'
  const upload = {
    schema: {
      type: 'object',
      required: ['title', 'file'],
      properties: {
        title: { type: 'string', maxLength: 5 },
        size: { type: 'integer' },
        meta: { type: 'object', properties: { a: { type: 'integer' } } },
        file: { type: 'string', format: 'binary' },
        files: { type: 'array', items: { type: 'string', format: 'binary' } },
      },
    },
    encoding: { file: { contentType: 'image/png, image/jpeg' } },
  }
  const part = (head: string, body: string | Buffer) =>
    Buffer.concat([
      Buffer.from(`--B\r\nContent-Disposition: form-data; ${head}\r\n\r\n`),
      Buffer.from(body as string),
      Buffer.from('\r\n'),
    ])
  const body = (...parts: (Buffer | string)[]) => Buffer.concat(parts.map((one) => Buffer.from(one as string)))
  const end = '--B--\r\n'
  const title = part('name="title"', 'abc')
  const file = part('name="file"; filename="a.png"\r\nContent-Type: image/png', png)

  test.each<[string, Buffer, unknown]>([
    ['as the document has it', body(title, file, end), 'ok'],
    ['without the last line end', body(title, file, '--B--'), 'ok'],
    [
      'with a number and an object',
      body(title, file, part('name=size', '5'), part('name="meta"\r\nContent-Type: application/json', '{"a":1}'), end),
      'ok',
    ],
    ['with an object that does not fit', body(title, file, part('name="meta"', '{"a":"x"}'), end), '/meta/a type'],
    [
      'with several files',
      body(title, file, part('name="files"; filename="1"', 'x'), part('name="files"; filename="2"', 'y'), end),
      'ok',
    ],
    ['without a part', body(title, end), '/file required'],
    ['with an unknown part', body(title, file, part('name="x"', '1'), end), '/x unknownProperty'],
    ['with a part twice', body(title, title, file, end), '/title multipart, /title type'],
    ['with a part too long', body(part('name="title"', 'abcdef'), file, end), '/title maxLength'],
    [
      'with a file of another type',
      body(title, part('name="file"; filename="a"\r\nContent-Type: text/html', 'x'), end),
      '/file contentType',
    ],
    [
      'with HTML that says it is PNG',
      body(title, part('name="file"; filename="a"\r\nContent-Type: image/png', '<html>'), end),
      '/file contentType',
    ],
    ['without end', body(title, file), 'expected a boundary after the last part'],
    ['cut off within a part', body(title, file).subarray(0, -12), 'expected a boundary after the last part'],
    ['with something before', body('x\r\n', title, file, end), 'expected the body to begin with its boundary'],
    ['with something after', body(title, file, end, 'x'), 'expected nothing after the last boundary'],
    [
      'with bare line feeds',
      Buffer.from(body(title, file, end).toString('latin1').replaceAll('\r\n', '\n'), 'latin1'),
      'expected a line end after a boundary',
    ],
    [
      'with a bare line feed in a header',
      body(part('name="title"\nX: y', 'abc'), end),
      'expected headers of the form name: value in a part',
    ],
    ['without names', body(part('filename="a"', 'abc'), end), 'expected a name in every part'],
    [
      'without disposition',
      Buffer.from('--B\r\n\r\nabc\r\n--B--'),
      'expected Content-Disposition: form-data with a name in every part',
    ],
    [
      'with two names',
      body(part('name="title"; name="x"', 'abc'), end),
      'expected each Content-Disposition parameter once',
    ],
    [
      'with a header twice',
      body(part('name="a"\r\nContent-Type: text/plain\r\nContent-Type: image/png', 'abc'), end),
      'expected each header of a part once',
    ],
    [
      'with base64 on top',
      body(part('name="a"\r\nContent-Transfer-Encoding: base64', 'YWJj'), end),
      'expected no content transfer encoding in a part (RFC 7578, 4.7)',
    ],
    [
      'with too large headers',
      body(part(`name="${'a'.repeat(9_000)}"`, 'abc'), end),
      'expected the headers of a part within 8192 bytes',
    ],
    [
      'with too many headers',
      body(part(`name="a"${'\r\nX-N: 1'.replaceAll('N', 'N').repeat(20)}`, 'abc'), end),
      'expected at most 16 headers in a part',
    ],
    [
      'with 1,001 parts',
      body(...Array.from({ length: 1_001 }, () => part('name="a"', '')), end),
      'expected at most 1000 parts',
    ],
    ['of nothing', Buffer.from('--B--'), '/title required, /file required'],
  ])('%s', (_, bytes, expected) => {
    expect(judge({ 'multipart/form-data': upload }, type, bytes)).toBe(expected)
  })

  test.each([
    ['multipart/form-data'],
    [`multipart/form-data; boundary=${'b'.repeat(71)}`],
    ['multipart/form-data; boundary="a;b"'],
  ])('%s has no usable boundary', (contentType) => {
    expect(judge({ 'multipart/form-data': {} }, contentType, '--B--')).toBe(
      'expected a boundary of 1 to 70 characters in Content-Type',
    )
  })

  test('reads what FormData writes', async () => {
    const fields = fc.array(fc.tuple(fc.stringMatching(/^[a-z]{1,5}$/), fc.string({ maxLength: 20 })), {
      minLength: 1,
      maxLength: 5,
    })
    await fc.assert(
      fc.asyncProperty(fields, fc.uint8Array({ maxLength: 200 }), async (pairs, bytes) => {
        const form = new FormData()
        for (const [name, value] of pairs) form.append(name, value)
        form.append('file', new Blob([bytes as Uint8Array<ArrayBuffer>]), 'ä "b".bin')
        const request = new Request('http://x', { method: 'POST', body: form })
        const sent = Buffer.from(await request.arrayBuffer())
        const properties = Object.fromEntries(
          pairs.map(([name]) => [name, { type: 'array', items: { type: 'string' } }]),
        )
        const schema = {
          type: 'object',
          properties: { ...properties, file: { type: 'string', minLength: bytes.length, maxLength: bytes.length } },
        }
        if (Object.hasOwn(properties, 'file')) return
        expect(judge({ 'multipart/form-data': { schema } }, request.headers.get('content-type')!, sent)).toBe('ok')
      }),
      { numRuns: 50 },
    )
  })

  test('1 MB without an end is refused in less than 50 ms', () => {
    const hostile = Buffer.concat([title, Buffer.from('\r\n--A'.repeat(200_000))])
    expect(
      cpuMs(() => expect(judge({ 'multipart/form-data': upload }, type, hostile)).toMatch(/^expected/)),
    ).toBeLessThan(50)
  })
})
