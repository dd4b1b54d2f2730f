import { describe, expect, test } from 'vitest'
import { processorFor, processors } from './request-body.ts'
import { bodyLimits } from './values.ts'

describe('a Content-Type asks for a processor', () => {
  test.each([
    ['application/x-www-form-urlencoded', 'URLENCODED'],
    ['application/x-www-form-urlencoded; charset=utf-8', 'URLENCODED'],
    ['multipart/form-data; boundary=x', 'MULTIPART'],
    ['Multipart/Form-Data', 'MULTIPART'],
    ['application/json', 'JSON'],
    ['APPLICATION/JSON;charset=utf-8', 'JSON'],
    ['application/vnd.api+json', 'JSON'],
    ['application/problem+json; x=y', 'JSON'],
    ['application/json-patch+json', 'JSON'],
    ['text/xml', 'XML'],
    ['application/xml; charset=utf-8', 'XML'],
    ['application/soap+xml', 'XML'],
    ['image/svg+xml', 'XML'],
    ['application/vnd.x+jsonx', undefined],
    ['text/plain; x=application/json', undefined],
    ['multipart/mixed', undefined],
    ['', undefined],
  ])('%j: %s', (contentType, expected) => {
    expect(processorFor(contentType)).toBe(expected)
    expect(expected === undefined || processors.has(expected)).toBe(true)
  })
})

describe('a processor', () => {
  const run = (name: string, text: string, contentType: string) =>
    processors.get(name)!(text, { contentType, limits: bodyLimits })
  const names = (name: string, text: string, contentType = '') =>
    run(name, text, contentType).arguments.map((argument) => `${argument.name}=${argument.value}`)

  test('makes arguments of each kind of body', () => {
    expect(names('URLENCODED', 'a=%31')).toEqual(['a=1'])
    expect(names('JSON', '{"a":1}')).toEqual(['json.a=1'])
    const multipart = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
    expect(names('MULTIPART', multipart, 'multipart/form-data; boundary=x')).toEqual(['a=1'])
  })

  test('of XML gives texts and attributes and no arguments', () => {
    const { xml, arguments: none } = run('XML', '<a b="1">2</a>', 'text/xml')
    expect(xml).toEqual({ texts: ['2'], whole: undefined, attributes: ['1'], doctype: undefined })
    expect(none).toEqual([])
  })

  test.each([
    ['JSON', '{"a":1}', 'application/json; charset=utf-7'],
    ['XML', '<a/>', 'text/xml; charset="ibm037"'],
  ])('of %s heeds the charset that the Content-Type names', (name, text, contentType) => {
    expect(run(name, text, contentType).error).toMatch(/cannot be read/)
  })

  test('of JSON heeds the shape', () => {
    const shape = { properties: new Map([['a', { check: () => true }]]) }
    const read = processors.get('JSON')!('{"a":1,"b":2}', { contentType: '', limits: bodyLimits, shape })
    expect(read.arguments.map(({ name }) => name)).toEqual(['json.b'])
    expect(read.proved.map(({ name }) => name)).toEqual(['json.a'])
  })

  test('gives results of one form, whatever the body', () => {
    const forms = [...processors.keys()].map((name) => Object.keys(run(name, 'x', 'multipart/form-data; boundary=x')))
    for (const form of forms) expect(form).toEqual(forms[0])
  })
})
