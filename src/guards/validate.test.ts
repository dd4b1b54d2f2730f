import { describe, expect, test } from 'vitest'
import { makeExchange, makeHost, makeOperation, makeParameter } from '../../test/kit/guard.ts'
import type { Denial } from '../gate/verdict.ts'
import type { MediaType, Operation, ResponseSpec, Schema } from '../openapi/operation.ts'
import { createValidators } from '../openapi/validators.ts'
import { validate } from './validate.ts'

const uri = 'file:///api/openapi.json'
const user = {
  type: 'object',
  required: ['name'],
  properties: { name: { type: 'string' }, secret: { type: 'string', writeOnly: true } },
}

function media(type: string, schema?: unknown): MediaType {
  return {
    type,
    schema: schema === undefined ? undefined : { uri: `${uri}#/x`, schema: schema as Schema },
    itemSchema: undefined,
    encoding: {},
  }
}

const answers = (...content: MediaType[]): ResponseSpec => ({ description: '', headers: {}, content })

async function compile(operation: Partial<Operation>, options: object = {}) {
  const made = makeOperation(operation)
  Object.assign(made.document, { validator: createValidators(new Map([[uri, {}]]), { openapi: '3.1.0' }) })
  const chosen = validate.options.parse(options)
  const steps = (await validate.setup(chosen, makeHost(), undefined as never))(made)
  return { steps, operation: made, mode: validate.mode!(chosen) }
}

const body = (required: boolean, ...content: MediaType[]) => ({ requestBody: { required, content } })

describe('what is asked of the gate', () => {
  test.each<[string, Partial<Operation>, object, string[]]>([
    ['an unlisted operation: nothing', { kind: 'unlisted-path' }, {}, []],
    ['both directions off: nothing', body(true, media('application/json')), { request: 'off', response: 'off' }, []],
    ['a GET: that there is no body', {}, {}, ['requestBody', 'requestBytesMax', 'requestHead']],
    [
      'a JSON body: to read it, within 1 MB',
      body(false, media('application/json')),
      {},
      ['requestBody', 'requestBytesMax', 'requestHead'],
    ],
    ['only octets: nothing of the body', body(true, media('application/octet-stream')), {}, ['requestHead']],
    [
      'observed: no limit of its own',
      body(false, media('application/json')),
      { request: 'observe' },
      ['requestBody', 'requestHead'],
    ],
    [
      'JSON answers: to hold them',
      { responses: { 200: answers(media('application/json')) } },
      { request: 'off' },
      ['responseBody', 'responseBytesMax', 'responseHead'],
    ],
    [
      'answers of octets: only their head',
      { responses: { 200: answers(media('application/octet-stream')) } },
      { request: 'off' },
      ['responseHead'],
    ],
    ['no listed answers: nothing', { responses: {} }, { request: 'off' }, []],
  ])('%s', async (_, operation, options, expected) => {
    const { steps } = await compile(operation, options)
    expect(Object.keys(steps ?? {}).sort()).toEqual(expected)
  })

  test.each<[object, string, string]>([
    [{}, 'enforce', 'observe'],
    [{ response: 'off', overshared: 'report' }, 'enforce', 'off'],
    [{ overshared: 'strip' }, 'enforce', 'enforce'],
    [{ response: 'off', overshared: 'block' }, 'enforce', 'enforce'],
  ])('%j stands at %s and %s', async (options, request, response) => {
    expect((await compile({}, options)).mode).toEqual({ request, response })
  })

  test('unknown options are refused', () => {
    expect(() => validate.options.parse({ requests: 'off' })).toThrow(/requests/)
    expect(() => validate.options.parse({ overshared: 'hide' })).toThrow(/overshared/)
  })
})

describe('V2: the head of a request', () => {
  test.each<[string, Partial<Operation>, Record<string, string>, string | undefined, { readonly http2: true }?]>([
    ['a body that is announced where none is listed', {}, { 'content-length': '3' }, 'validate.body-unexpected'],
    ['a body in pieces where none is listed', {}, { 'transfer-encoding': 'chunked' }, 'validate.body-unexpected'],
    ['no body where none is listed', {}, { 'content-length': '0' }, undefined],
    ['no body where one is needed', body(true, media('application/json')), {}, 'validate.body-missing'],
    ['perhaps a body, in HTTP/2', body(true, media('application/json')), {}, undefined, { http2: true }],
    ['no body where one may be', body(false, media('application/json')), {}, undefined],
    [
      'a body without a media type',
      body(false, media('application/json')),
      { 'content-length': '3' },
      'validate.media-type',
    ],
    ['a body of any media type where none is said', body(true), { 'content-length': '3' }, undefined],
  ])('%s', async (_, partial, headers, code, over) => {
    const { steps, operation } = await compile(partial)
    const exchange = makeExchange({ operation, headers })
    Object.assign(exchange, over)
    expect((steps?.requestHead?.(exchange) as Denial | undefined)?.code).toBe(code)
  })

  test('parameters are told before the body', async () => {
    const { steps, operation } = await compile({
      ...body(true, media('application/json')),
      parameters: [makeParameter('a', 'query')],
    })
    const exchange = makeExchange({
      operation,
      query: 'b=1',
      headers: { 'content-type': 'text/plain', 'content-length': '1' },
    })
    expect(steps?.requestHead?.(exchange)).toMatchObject({
      code: 'validate.parameter',
      errors: [{ pointer: 'b', in: 'query' }],
    })
  })

  test('O1: the operator gets the errors as evidence, ten at most, and never the value that was sent', async () => {
    const { steps, operation } = await compile({ parameters: [makeParameter('a', 'query')] })
    const names = Array.from({ length: 12 }, (_, index) => `n${index}=sesame`)
    const verdict = steps?.requestHead?.(makeExchange({ operation, query: names.join('&') })) as Denial
    const { errors } = verdict.evidence as { errors: { pointer: string }[] }
    expect(errors).toHaveLength(10)
    expect(errors[0]).toMatchObject({ pointer: 'n0', in: 'query' })
    expect(JSON.stringify(verdict)).not.toContain('sesame')
  })
})

describe('V4: the body of a request', () => {
  test.each<[string, Partial<Operation>, string, string | undefined]>([
    ['that HTTP/2 did not announce, where none is listed', {}, 'x', 'validate.body-unexpected'],
    ['that is empty, where one is needed', body(true, media('application/json', user)), '', 'validate.body-missing'],
    ['that does not fit', body(true, media('application/json', user)), '{}', 'validate.body'],
    ['that fits', body(true, media('application/json', user)), '{"name":"a"}', undefined],
  ])('%s', async (_, partial, text, code) => {
    const { steps, operation } = await compile(partial)
    const exchange = makeExchange({ operation, headers: { 'content-type': 'application/json' }, body: text })
    expect((steps?.requestBody?.(exchange) as Denial | undefined)?.code).toBe(code)
  })

  test('unknown properties pass where that is said', async () => {
    const { steps, operation } = await compile(body(true, media('application/json', user)), {
      unknownProperties: 'allow',
    })
    const exchange = makeExchange({
      operation,
      headers: { 'content-type': 'application/json' },
      body: '{"name":"a","x":1}',
    })
    expect(steps?.requestBody?.(exchange)).toBeUndefined()
  })

  test("a pointer made of the caller's names is cut", async () => {
    const { steps, operation } = await compile(body(true, media('application/json', user)))
    const text = JSON.stringify({ name: 'a', [`x${'y'.repeat(10_000)}`]: 1 })
    const exchange = makeExchange({ operation, headers: { 'content-type': 'application/json' }, body: text })
    const refusal = steps?.requestBody?.(exchange) as Denial
    expect(refusal.errors?.[0]?.pointer.length).toBeLessThan(310)
  })
})

describe('V9: answers', () => {
  const responses = {
    200: answers(media('application/json', user)),
    '4XX': answers(),
    default: answers(media('text/plain')),
  }
  const respond = async (options: object, status: number, type: string, text: string) => {
    const { steps, operation } = await compile({ responses }, options)
    const exchange = makeExchange({ operation, response: { status, headers: ['Content-Type', type, 'ETag', '"1"'] } })
    exchange.response!.body = Buffer.from(text)
    const verdict = steps?.responseHead?.(exchange) ?? steps?.responseBody?.(exchange)
    return {
      code: (verdict as Denial | undefined)?.code,
      body: exchange.response!.body.toString(),
      observed: exchange.observed.map(({ code }) => code),
    }
  }

  test.each<[number, string, string, string | undefined]>([
    [200, 'application/json', '{"name":"a"}', undefined],
    [200, 'application/json; charset=utf-8', '{"name":"a"}', undefined],
    [200, 'application/json', '{"name":"a","secret":"s"}', 'validate.overshared'],
    [200, 'application/json', '{"name":"a","hash":"s"}', 'validate.overshared'],
    [200, 'application/json', '{"name":1,"hash":"s"}', 'validate.response-body'],
    [200, 'application/json', '{', 'validate.response-body'],
    [200, 'text/html', '', 'validate.response-media-type'],
    [404, 'text/html', 'no', undefined],
    [500, 'text/plain', 'oops', undefined],
    [500, 'text/html', 'oops', 'validate.response-media-type'],
  ])('%i %s %s', async (status, type, text, code) => {
    expect((await respond({ response: 'enforce' }, status, type, text)).code).toBe(code)
  })

  test('a status that is not listed is told only where there is no default', async () => {
    const { steps, operation } = await compile({ responses: { 200: answers() } })
    const exchange = makeExchange({ operation, response: { status: 500 } })
    expect(steps?.responseHead?.(exchange)).toMatchObject({
      code: 'validate.response-status',
      evidence: { status: 500 },
    })
  })

  test('stripping notes what it took', async () => {
    expect(
      await respond({ overshared: 'strip', response: 'enforce' }, 200, 'application/json', '{"name":"a","secret":"s"}'),
    ).toEqual({
      code: undefined,
      body: '{"name":"a"}',
      observed: ['validate.overshared'],
    })
    expect(
      await respond({ overshared: 'strip', response: 'enforce' }, 200, 'application/json', '{"name":1,"hash":"s"}'),
    ).toMatchObject({
      code: 'validate.response-body',
    })
    expect(
      await respond({ overshared: 'strip', response: 'off' }, 200, 'application/json', '{"name":1,"hash":"s"}'),
    ).toEqual({
      code: undefined,
      body: '{"name":1}',
      observed: ['validate.overshared'],
    })
  })
})
