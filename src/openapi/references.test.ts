import { describe, expect, test } from 'vitest'
import { complaintsOf, loadFiles, operationOf, warningsOf } from '../../test/fixtures/openapi-files.ts'

const head = 'openapi: 3.1.0\ninfo: {title: T, version: "1"}\n'
const ok = "responses: {'200': {description: OK}}"

/** A document with one operation whose answer has the given schema. */
const answering = (schema: string, rest = '') => `${head}paths:
  /a:
    get:
      operationId: a
      responses:
        '200':
          description: OK
          content: {application/json: {schema: ${schema}}}
${rest}`

describe('references between files', () => {
  test('parameters, bodies, responses and schemas come from files beside the document', async () => {
    const document = await loadFiles({
      'openapi.yaml': `${head}paths:
  /orders:
    parameters: [{$ref: './parts/parameters.yaml#/Page'}]
    post:
      operationId: order
      requestBody: {$ref: 'parts/bodies.json#/Order'}
      responses: {'201': {$ref: 'parts/bodies.json#/Created'}}
`,
      'parts/parameters.yaml': 'Page: {name: page, in: query, schema: {$ref: "../schemas/page.yaml"}}',
      'parts/bodies.json': JSON.stringify({
        Order: {
          required: true,
          content: { 'application/json': { schema: { $ref: '../schemas/order.yaml#/Order' } } },
        },
        Created: { description: 'Made', headers: { Location: { schema: { type: 'string' } } } },
      }),
      'schemas/page.yaml': '{type: integer, minimum: 1}',
      'schemas/order.yaml':
        'Order: {type: object, required: [id], properties: {id: {$ref: "#/Id"}}}\nId: {type: string}',
    })
    const order = operationOf(document, 'order')
    expect(order.parameters).toMatchObject([{ name: 'page', in: 'query' }])
    expect(order.responses['201']).toMatchObject({ description: 'Made', headers: { location: { in: 'header' } } })
    expect(document.files.map((file) => file.replace('/virtual/api/', '')).sort()).toEqual([
      'openapi.yaml',
      'parts/bodies.json',
      'parts/parameters.yaml',
      'schemas/order.yaml',
      'schemas/page.yaml',
    ])
    // The proof that they lead somewhere: values are judged by the schemas of the other files.
    const page = document.validator(order.parameters[0]!.schema!, 'request')
    expect([page(1), page(0)].map((errors) => errors.length)).toEqual([0, 1])
    const body = document.validator(order.requestBody!.content[0]!.schema!, 'request')
    expect([body({ id: 'x' }), body({ id: 1 }), body({})].map((errors) => errors.length)).toEqual([0, 1, 1])
  })

  test('a path item may stand in another file, and refers from there', async () => {
    const document = await loadFiles({
      'openapi.yaml': `${head}paths: {'/users/{id}': {$ref: 'paths/user.yaml', summary: User}}`,
      'paths/user.yaml': `get:
  operationId: user
  parameters: [{$ref: '../common.yaml#/id'}]
  ${ok}`,
      'common.yaml': 'id: {name: id, in: path, required: true, schema: {type: string, maxLength: 3}}',
    })
    const user = operationOf(document, 'user')
    expect(user.parameters[0]).toMatchObject({ name: 'id', in: 'path' })
    expect(user.place).toMatchObject({ file: '/virtual/api/paths/user.yaml', line: 1, column: 1 })
  })

  test('a relative path may lead out of the folder of the document', async () => {
    const files = {
      'spec/v1/openapi.yaml': answering('{$ref: "../../shared/a.yaml#/A"}'),
      'shared/a.yaml': 'A: {type: string}',
    }
    expect(await complaintsOf(files)).toEqual([])
  })

  test('files that refer to each other in a circle are read once each', async () => {
    const reads: string[] = []
    const files: Record<string, string> = {
      'openapi.yaml': answering('{$ref: "a.yaml"}'),
      'a.yaml': 'properties: {b: {$ref: "b.yaml"}}',
      'b.yaml':
        'properties: {a: {$ref: "a.yaml"}, root: {$ref: "openapi.yaml#/paths/~1a/get/responses/200/content/application~1json/schema"}}',
    }
    const document = await loadFiles(
      new Proxy(files, {
        get: (target, name) => {
          if (typeof name === 'string' && name in target) reads.push(name)
          return target[name as string]
        },
      }),
    )
    expect(reads.sort()).toEqual(['a.yaml', 'b.yaml', 'openapi.yaml'])
    const validate = document.validator(operationOf(document, 'a').responses['200']!.content[0]!.schema!, 'response')
    expect(validate({ b: { a: { b: { root: {} } } } })).toEqual([])
  })

  test('a reference in an example is no reference', async () => {
    const schema = '{type: object, example: {$ref: "./nowhere.yaml"}, default: {$ref: "#/nowhere"}}'
    expect(await complaintsOf({ 'openapi.yaml': answering(schema) })).toEqual([])
  })
})

describe('references within a file', () => {
  test('a schema may contain itself, and is never expanded', async () => {
    const document = await loadFiles({
      'openapi.yaml': answering(
        '{$ref: "#/components/schemas/Node"}',
        'components: {schemas: {Node: {type: object, required: [name], properties: {name: {type: string}, next: {$ref: "#/components/schemas/Node"}}}}}',
      ),
    })
    const schema = operationOf(document, 'a').responses['200']!.content[0]!.schema!
    expect(schema.schema).toEqual({ $ref: '#/components/schemas/Node' })
    const validate = document.validator(schema, 'response')
    expect(validate({ name: 'a', next: { name: 'b', next: { name: 'c' } } })).toEqual([])
    expect(validate({ name: 'a', next: { name: 'b', next: {} } })).not.toEqual([])
  })

  test.each([
    ['#/components/schemas/a~1b', 'a/b'],
    ['#/components/schemas/a~0b', 'a~b'],
    ['#/components/schemas/a%20b', 'a b'],
    ['#/components/schemas/a b', 'a b'],
    ['#/components/schemas/%7Ba%7D', '{a}'],
    ['#/components/schemas/{a}', '{a}'],
    ['#/components/schemas/Pet%C3%A9', 'Peté'],
    ['#/components/schemas/constructor', 'constructor'],
  ])('%s names the schema %j', async (reference, name) => {
    const document = await loadFiles({
      'openapi.json': JSON.stringify({
        openapi: '3.1.0',
        info: { title: 'T', version: '1' },
        paths: {
          '/a': {
            get: {
              operationId: 'a',
              responses: { 200: { description: '', content: { 'application/json': { schema: { $ref: reference } } } } },
            },
          },
        },
        components: { schemas: { [name]: { const: 'right' } } },
      }),
    })
    const validate = document.validator(operationOf(document, 'a').responses['200']!.content[0]!.schema!, 'response')
    expect([validate('right').length, validate('wrong').length]).toEqual([0, 1])
  })

  test('a member that every object has is nowhere', async () => {
    const found = await complaintsOf({
      'openapi.yaml': answering('{$ref: "#/components/constructor"}', 'components: {}'),
    })
    expect(found).toEqual(['P2007 openapi.yaml:10:55 the reference leads nowhere: #/components/constructor'])
  })

  test('$id and $anchor name schemas within the document', async () => {
    const document = await loadFiles({
      'openapi.yaml': answering(
        '{$ref: "https://example.com/schemas/tree#leaf"}',
        `components:
  schemas:
    Tree:
      $id: https://example.com/schemas/tree
      $defs: {Leaf: {$anchor: leaf, type: integer}}
      properties: {leaf: {$ref: '#leaf'}, other: {$ref: '#/$defs/Leaf'}}
`,
      ),
    })
    expect(warningsOf(document)).toEqual([])
  })

  test('$self gives the document its own address (3.2)', async () => {
    const document = await loadFiles({
      'openapi.yaml': answering(
        '{$ref: "https://api.example.com/openapi#/components/schemas/A"}',
        'components: {schemas: {A: {const: 1}}}\n$self: https://api.example.com/openapi',
      ).replace('3.1.0', '3.2.0'),
    })
    const validate = document.validator(operationOf(document, 'a').responses['200']!.content[0]!.schema!, 'response')
    expect([validate(1).length, validate(2).length]).toEqual([0, 1])
  })

  test('references that only refer to each other are refused', async () => {
    const found = await complaintsOf({
      'openapi.yaml': `${head}paths:
  /a:
    get:
      parameters: [{$ref: '#/components/parameters/A'}]
      ${ok}
components: {parameters: {A: {$ref: '#/components/parameters/B'}, B: {$ref: '#/components/parameters/A'}}}
`,
    })
    expect(found).toEqual(['P2007 openapi.yaml:6:27 the reference leads back to itself'])
  })
})

describe('references that are not followed', () => {
  test.each([
    ['https://example.com/schemas.yaml#/A', /^P2008 openapi.yaml:10:55 the reference is a URL, and no URL is opened/],
    ['http://169.254.169.254/latest/meta-data', /^P2008 .* no URL is opened/],
    ['ftp://example.com/a.yaml', /^P2008 .* no URL is opened/],
    ['data:application/json,{}', /^P2008 .* no URL is opened/],
    ['file:///etc/passwd', /^P2008 .* an absolute path outside the document's folder/],
    ['/etc/passwd', /^P2008 .* an absolute path outside the document's folder/],
    ['//example.com/a.yaml', /^P2008 .* names no file on this machine/],
    ['missing.yaml#/A', /^P2001 openapi.yaml:10:55 cannot read missing.yaml: ENOENT/],
    ['broken.yaml#/A', /^P2002 openapi.yaml:10:55 cannot read broken.yaml: not valid YAML/],
    ['#/components/schemas/Missing', /^P2007 openapi.yaml:10:55 the reference leads nowhere/],
    ['#/nowhere/at/all', /^P2007 /],
    ['other.yaml#/Missing', /^P2007 /],
  ])('%s', async (reference, message) => {
    const found = await complaintsOf({
      'openapi.yaml': answering(`{$ref: "${reference}"}`, 'components: {schemas: {Known: {}}}'),
      'broken.yaml': 'a: [1',
      'other.yaml': 'Known: {}',
    })
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
  })

  test('an absolute path within the folder of the document is followed', async () => {
    const files = { 'openapi.yaml': answering('{$ref: "/virtual/api/a.yaml#/A"}'), 'a.yaml': 'A: {type: string}' }
    expect(await complaintsOf(files)).toEqual([])
  })

  test('a broken reference that no operation reaches is a warning', async () => {
    const document = await loadFiles({
      'openapi.yaml': answering('{type: string}', 'components: {schemas: {Unused: {$ref: "#/nowhere"}}}'),
    })
    expect(warningsOf(document)).toEqual(['P2007 openapi.yaml:11:39 the reference leads nowhere: #/nowhere'])
  })
})
