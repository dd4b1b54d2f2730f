import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { complaintsOf, loadFiles, operationOf, warningsOf } from '../../test/fixtures/openapi-files.ts'
import { loadDocument, policyPlace, unlistedOperations } from './document.ts'
import { lintDocument } from './lint.ts'
import type { ApiDocument } from './operation.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../../test/fixtures/openapi/${name}`, import.meta.url))

/** A document of 3.1 with these paths. */
const api = (paths: object, rest: object = {}) => ({
  'api.json': JSON.stringify({ openapi: '3.1.0', info: { title: 'T', version: '1' }, paths, ...rest }),
})
const get = (more: object = {}) => ({ get: { responses: {}, ...more } })
const key = { components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'k' } } } }

describe('one library, written in every version', () => {
  const versions = ['2.0', '3.0', '3.1', '3.2']

  test.each(versions)('%s: the same operations, rights and rules', async (version) => {
    const document = await loadDocument({ file: fixture(`library-${version}.yaml`), api: 'library' })
    expect(document).toMatchObject({ title: 'Library', version: '1.0', warnings: [] })
    expect(document.openapi.startsWith(version)).toBe(true)
    const base = version === '2.0' ? '/v2' : '/v3'
    expect(document.basePath).toBe(base)
    expect(document.operations.slice(0, 2).map(({ id, method, path, tags }) => ({ id, method, path, tags }))).toEqual([
      { id: 'listBooks', method: 'GET', path: `${base}/books`, tags: ['books'] },
      { id: 'addBook', method: 'POST', path: `${base}/books`, tags: ['books'] },
    ])
    expect(operationOf(document, 'listBooks').security).toEqual([])
    expect(operationOf(document, 'getBook').security).toHaveLength(version === '3.2' ? 2 : 1)
    expect(operationOf(document, 'listBooks').parameters[0]).toMatchObject({ style: 'pipeDelimited', explode: false })
    expect(operationOf(document, 'getBook').parameters[0]).toMatchObject({ name: 'isbn', in: 'path', required: true })
    const { requestBody } = operationOf(document, 'addBook')
    expect(requestBody).toMatchObject({ required: true, content: [{ type: 'application/json' }] })
    const validate = document.validator(requestBody!.content[0]!.schema!, 'request')
    const book = { isbn: '9780140328721', title: 'Fantastic Mr Fox' }
    const values = [
      book,
      { ...book, subtitle: null, price: 0.1, sequel: book },
      { ...book, price: 0 },
      { ...book, title: null },
      { ...book, sequel: { ...book, isbn: 'x' } },
    ]
    expect(values.map((value) => validate(value).length === 0)).toEqual([true, true, false, false, false])
  })

  test('2.0 and 3.x describe the same upload', async () => {
    for (const version of ['2.0', '3.0', '3.1']) {
      const document = await loadDocument({ file: fixture(`library-${version}.yaml`), api: 'library' })
      expect(operationOf(document, 'putCover').requestBody).toMatchObject({
        required: true,
        content: [{ type: 'multipart/form-data', schema: { schema: { type: 'object', required: ['image'] } } }],
      })
    }
  })

  test('what is new in 3.2: QUERY, further methods, the whole query string, cookie style, streamed items', async () => {
    const document = await loadDocument({ file: fixture('library-3.2.yaml'), api: 'library' })
    expect(operationOf(document, 'searchBooks')).toMatchObject({
      method: 'QUERY',
      allow: ['GET', 'POST', 'PURGE', 'QUERY'],
    })
    expect(operationOf(document, 'purgeBooks').method).toBe('PURGE')
    expect(operationOf(document, 'getBook').parameters[1]).toMatchObject({
      in: 'querystring',
      schema: undefined,
      content: { type: 'application/x-www-form-urlencoded' },
    })
    expect(operationOf(document, 'addBook').parameters[0]).toMatchObject({
      in: 'cookie',
      style: 'cookie',
      explode: true,
    })
    expect(operationOf(document, 'listBooks').responses['200']!.content).toMatchObject([
      { type: 'application/json', schema: { schema: { type: 'array' } } },
      { type: 'application/jsonl', schema: undefined, itemSchema: { schema: { $ref: '#/components/schemas/Book' } } },
    ])
  })

  test('words of 3.2 in an older document are said to be ignored', async () => {
    const document = await loadFiles(api({ '/a': { query: { responses: {} }, additionalOperations: {}, ...get() } }))
    expect(document.operations.map(({ method }) => method)).toEqual(['GET'])
    expect(warningsOf(document)).toEqual([
      expect.stringMatching(/^P2006 .* "query" is no method: ignored/),
      expect.stringMatching(/^P2006 .* additionalOperations is new in OpenAPI 3.2: ignored/),
    ])
  })

  test.each(versions)('%s fits the schema that is published for it', async (version) => {
    expect(await lintDocument({ file: fixture(`library-${version}.yaml`) })).toEqual([])
  })
})

describe('what is no document of a known version', () => {
  test.each([
    ['openapi: 4.0.0', /^P2005 api.yaml:1:10 openapi "4.0.0" is not supported; 2.0, 3.0, 3.1 and 3.2 are/],
    ['openapi: 3.3.0', /^P2005 api.yaml:1:10 openapi "3.3.0"/],
    ['swagger: "1.2"', /^P2005 api.yaml:1:10 swagger "1.2"/],
    ['title: x', /^P2005 api.yaml:1:1 not an OpenAPI document: it says neither openapi nor swagger/],
    ['- openapi: 3.1.0', /^P2005 api.yaml:1:1 not an OpenAPI document: it should be a map/],
    ['', /^P2005 api.yaml:1:1 /],
  ])('%j', async (text, message) => {
    const found = await complaintsOf({ 'api.yaml': text })
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
  })

  test('a document that is missing is named', async () => {
    await expect(loadDocument({ file: '/nowhere/api.yaml', api: 'x' })).rejects.toMatchObject({
      code: 'P2001',
      message: expect.stringMatching(/^The OpenAPI document cannot be read: there is no /),
    })
  })

  test('a document without paths serves nothing and says so', async () => {
    const document = await loadFiles({ 'api.yaml': 'openapi: 3.1.0\ninfo: {title: T, version: 1}\nwebhooks: {}' })
    expect(document.operations).toEqual([])
    expect(warningsOf(document)).toEqual(['P2005 api.yaml:1:1 the document has no paths: every request is refused'])
  })
})

describe('operations', () => {
  test('an id is the operationId, else method and path; all are different', async () => {
    const document = await loadFiles(
      api({
        '/a': { ...get({ operationId: 'same' }), post: { responses: {} } },
        '/b': get({ operationId: 'same' }),
        '/c': get({ operationId: 'GET /b' }),
      }),
    )
    expect(document.operations.map(({ id }) => id)).toEqual(['same', 'POST /a', 'GET /b', 'GET /c'])
    expect(warningsOf(document)).toEqual([
      expect.stringMatching(/^P2012 .* the operationId "same" stands twice/),
      expect.stringMatching(/^P2012 .* the operationId "GET \/b" stands twice/),
    ])
  })

  test('every operation of a path knows the methods of the path', async () => {
    const document = await loadFiles(
      api({ '/a/{x}': { ...get(), delete: { responses: {} } }, '/a/{y}': { put: { responses: {} } } }),
    )
    expect(document.operations.map(({ allow }) => allow)).toEqual(Array(3).fill(['DELETE', 'GET', 'PUT']))
  })

  test('says where it stands, also after the parsed form was let go', async () => {
    const document = await loadFiles({
      'api.yaml': 'openapi: 3.1.0\ninfo: {title: T, version: 1}\npaths:\n  /a:\n    get:\n      responses: {}\n',
    })
    expect(document.operations[0]!.place).toEqual({ file: '/virtual/api/api.yaml', line: 5, column: 5, length: 3 })
  })

  test('a method written in capitals is told, not served', async () => {
    const document = await loadFiles(api({ '/a': { GET: { responses: {} } } }))
    expect(document.operations).toEqual([])
    expect(document.warnings[0]).toMatchObject({ message: '"GET" is no method: ignored', hint: 'did you mean "get"?' })
  })

  test.each<[string, object, string]>([
    ['default of the place', { in: 'query' }, 'form true'],
    ['default of the place', { in: 'header' }, 'simple false'],
    ['default of the place', { in: 'cookie' }, 'form true'],
    ['default of the place', { in: 'path', name: 'id' }, 'simple false'],
    ['stated', { in: 'query', style: 'deepObject' }, 'deepObject false'],
    ['stated', { in: 'query', style: 'form', explode: false }, 'form false'],
    ['stated', { in: 'path', name: 'id', style: 'matrix', explode: true }, 'matrix true'],
    ['not for this place', { in: 'header', style: 'form' }, 'simple false'],
  ])('style and explode: %s %j', async (_, parameter, expected) => {
    const document = await loadFiles(api({ '/{id}': get({ parameters: [{ name: 'q', schema: {}, ...parameter }] }) }))
    const { style, explode } = document.operations[0]!.parameters[0]!
    expect(`${style} ${explode}`).toBe(expected)
  })

  test('header parameters that the document has other words for are left out', async () => {
    const parameters = ['Accept', 'content-type', 'Authorization', 'X-Own'].map((name) => ({
      name,
      in: 'header',
      schema: {},
    }))
    const document = await loadFiles(api({ '/a': get({ parameters }) }))
    expect(document.operations[0]!.parameters.map(({ name }) => name)).toEqual(['X-Own'])
  })

  test('answers by status, range and default', async () => {
    const document = await loadFiles(
      api({ '/a': get({ responses: { 200: {}, '4xx': {}, default: {}, 'x-note': {}, 600: {}, ok: {} } }) }),
    )
    expect(Object.keys(document.operations[0]!.responses)).toEqual(['200', '4XX', 'default'])
    expect(warningsOf(document)).toEqual([
      expect.stringMatching(/^P2016 .* "600" is no status/),
      expect.stringMatching(/^P2016 .* "ok" is no status/),
    ])
  })
})

describe('paths', () => {
  const paths = async (written: string[], rest: object = {}) => {
    const document = await loadFiles(api(Object.fromEntries(written.map((path) => [path, get()])), rest))
    return [document.operations.map(({ path }) => path), warningsOf(document).map((text) => text.split(' ')[0])]
  }

  test.each<[string, string[], string[], string[]]>([
    ['as it is', ['/a/b.c/~x'], ['/a/b.c/~x'], []],
    ['a space', ['/a b'], ['/a%20b'], []],
    ['letters beyond ASCII', ['/straße'], ['/stra%C3%9Fe'], []],
    ['needless encoding', ['/%61%2d%2E'], ['/a-.'], []],
    ['encoding in lower case', ['/a%3ab'], ['/a%3Ab'], []],
    ['no slash at the start', ['a'], ['/a'], ['P2015']],
    ['a fragment, alone', ['/a#x'], ['/a'], ['P2015']],
    ['fragments that stand for one path', ['/#x', '/#y'], [], ['P2015', 'P2015']],
    ['a fragment beside the plain path', ['/a', '/a#x'], ['/a'], ['P2015']],
    ['two parameters without a border', ['/{a}{b}'], [], ['P2011', 'P2011', 'P2015']],
    ['a brace without a partner', ['/{a', '/b'], ['/b'], ['P2015']],
  ])('%s', async (_, written, served, warned) => {
    expect(await paths(written)).toEqual([served, warned])
  })

  test('a query within a path is asked for as parameters', async () => {
    const document = await loadFiles(
      api({
        '/search?kind=new&q={q}&all': get({
          parameters: [{ name: 'q', in: 'path', schema: { type: 'string', maxLength: 3 } }],
        }),
      }),
    )
    const [search] = document.operations
    expect(search!.path).toBe('/search')
    expect(search!.parameters.map(({ name, in: where, required }) => [name, where, required])).toEqual([
      ['kind', 'query', true],
      ['q', 'query', true],
      ['all', 'query', true],
    ])
    const kind = document.validator(search!.parameters[0]!.schema!, 'request')
    expect([kind('new').length, kind('old').length]).toEqual([0, 1])
    const q = document.validator(search!.parameters[1]!.schema!, 'request')
    expect([q('abc').length, q('abcd').length]).toEqual([0, 1])
  })

  test('templates that fit the same requests are an error where they ask for different rights', async () => {
    const open = { ...get({ security: [] }) }
    const closed = { ...get({ security: [{ key: [] }] }) }
    const found = await complaintsOf(api({ '/a/{x}': open, '/a/{y}': closed }, key))
    expect(found).toEqual([
      expect.stringMatching(/^P2010 api.json:1:\d+ GET \/a\/\{y\} cannot be told from \/a\/\{x\} .* different rights/),
    ])
    const policies = { '/a/{x}': get(), '/a/{y}': get({ 'x-portcullis': { limits: { rate: '1/s' } } }) }
    expect(await complaintsOf(api(policies))).toHaveLength(1)
  })

  test('where they ask for the same rights the first is served and the second told', async () => {
    const document = await loadFiles(
      api({ '/a/{x}': get({ operationId: 'one' }), '/a/{y}': get({ operationId: 'two' }) }),
    )
    expect(document.operations.map(({ id }) => id)).toEqual(['one'])
    expect(warningsOf(document).some((text) => text.includes('every such request is taken for the former'))).toBe(true)
  })

  test('a path parameter that is not declared accepts any one segment; one that is not in the path is ignored', async () => {
    const document = await loadFiles(
      api({ '/a/{x}': get({ parameters: [{ name: 'y', in: 'path', required: true, schema: { type: 'integer' } }] }) }),
    )
    expect(document.operations[0]!.parameters).toMatchObject([
      { name: 'x', in: 'path', required: true, schema: undefined },
    ])
    expect(warningsOf(document)).toEqual([
      expect.stringMatching(/^P2011 .* "y" does not stand in \/a\/\{x\}: ignored/),
      expect.stringMatching(/^P2011 .* "x" is not declared/),
    ])
  })
})

describe('where an API is mounted', () => {
  test.each<[unknown[], string, number]>([
    [[], '', 0],
    [[{ url: 'https://api.example.com' }], '', 0],
    [[{ url: 'https://api.example.com/v1/' }], '/v1', 0],
    [[{ url: '/v1' }], '/v1', 0],
    [[{ url: './v1' }], '/v1', 0],
    [[{ url: '.' }], '', 0],
    [[{ url: 'https://api.example.com/v1?x=1#y' }], '/v1', 0],
    [[{ url: 'https://{host}/{v}', variables: { host: { default: 'a' }, v: { default: 'v2' } } }], '/v2', 0],
    [[{ url: 'https://{host}/v1' }], '/v1', 0],
    [[{ url: 'api.example.com/v1' }], '/v1', 1],
    [[{ url: 'https://api.example.com/{v}/x' }], '/x', 1],
    [[{ url: '/v1' }, { url: '/v2' }], '/v1', 1],
    [[{ url: 'https://a.example.com/v1' }, { url: 'https://b.example.com/v1' }], '/v1', 0],
    [[{}], '', 1],
  ])('%j', async (servers, basePath, warnings) => {
    const document = await loadFiles(api({ '/a': get() }, { servers }))
    expect([document.basePath, document.operations[0]!.path]).toEqual([basePath, `${basePath}/a`])
    expect(document.warnings).toHaveLength(warnings)
  })

  test('the configuration has the last word', async () => {
    const document = await loadFiles(api({ '/a': get() }, { servers: [{ url: '/v1' }] }), { basePath: '/shop/' })
    expect([document.basePath, document.operations[0]!.path]).toEqual(['/shop', '/shop/a'])
  })

  test('operations with servers of their own lie below those', async () => {
    const document = await loadFiles(
      api({ '/a': get(), '/b': { ...get(), servers: [{ url: '/files' }] } }, { servers: [{ url: '/v1' }] }),
    )
    expect([document.basePath, ...document.operations.map(({ path }) => path)]).toEqual(['', '/v1/a', '/files/b'])
  })
})

describe('what is asked of callers', () => {
  const securityOf = async (operation: object, rest: object = {}) => {
    const document = await loadFiles(api({ '/a': get(operation) }, { ...key, ...rest }))
    return document.operations[0]!.security?.map((requirement) => Object.fromEntries(requirement))
  }

  test.each<[string, object, object, unknown]>([
    ['nobody says anything', {}, {}, undefined],
    ['the document says', {}, { security: [{ key: ['a'] }] }, [{ key: ['a'] }]],
    ['the operation says', { security: [{ key: ['b'] }] }, { security: [{ key: ['a'] }] }, [{ key: ['b'] }]],
    ['the operation opens', { security: [] }, { security: [{ key: [] }] }, []],
    ['credentials are optional', { security: [{}, { key: [] }] }, {}, [{}, { key: [] }]],
  ])('%s', async (_, operation, rest, expected) => {
    expect(await securityOf(operation, rest)).toEqual(expected)
  })

  test.each<[string, object, object, RegExp]>([
    ['an unknown scheme', { security: [{ keys: [] }] }, key, /^P2013 .* unknown security scheme "keys"/],
    ['null, which is not the empty list', { security: null }, key, /^P2013 .* security must be a list/],
    ['a map', { security: { key: [] } }, key, /^P2013 .* security must be a list/],
    ['a name alone', { security: ['key'] }, key, /^P2013 .* a requirement must be a map/],
    ['scopes that are no list', { security: [{ key: 'read' }] }, key, /^P2013 .* scopes of "key" must be a list/],
    [
      'a scheme without a name',
      { security: [{ key: [] }] },
      { components: { securitySchemes: { key: { type: 'apiKey', in: 'header' } } } },
      /^P2013 .* "key" cannot be used: it does not say the name of the key/,
    ],
    [
      'a scheme of an unknown type',
      { security: [{ key: [] }] },
      { components: { securitySchemes: { key: { type: 'magic' } } } },
      /^P2013 .* its type is "magic"/,
    ],
  ])('%s is an error, because it decides who gets in', async (_, operation, rest, message) => {
    const found = await complaintsOf(api({ '/a': get(operation) }, rest))
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
  })

  test('a broken scheme that nobody asks for is a warning', async () => {
    const document = await loadFiles(
      api({ '/a': get() }, { components: { securitySchemes: { odd: { type: 'magic' } } } }),
    )
    expect(document.securitySchemes.size).toBe(0)
    expect(warningsOf(document)).toEqual([expect.stringMatching(/^P2014 .* "odd" cannot be used/)])
  })
})

describe('x-portcullis', () => {
  const text = `openapi: 3.1.0
info: {title: T, version: 1}
x-portcullis: {limits: {rate: 1/s, burst: 2}, cors: {origins: [a, b]}}
paths:
  /a:
    x-portcullis: {limits: {rate: 2/s}, cors: {origins: [c]}}
    get:
      operationId: a
      x-portcullis: {limits: {burst: 9}, waf: off}
      responses: {}
    put: {operationId: b, responses: {}}
  /c: {get: {operationId: c, responses: {}}}
`
  let document: ApiDocument

  test('document, path and operation are merged, the particular over the general', async () => {
    document = await loadFiles({ 'api.yaml': text })
    expect(operationOf(document, 'a').policy).toEqual({
      limits: { rate: '2/s', burst: 9 },
      cors: { origins: ['c'] },
      waf: 'off',
    })
    expect(operationOf(document, 'b').policy).toEqual({ limits: { rate: '2/s', burst: 2 }, cors: { origins: ['c'] } })
    expect(operationOf(document, 'c').policy).toEqual({
      limits: { rate: '1/s', burst: 2 },
      cors: { origins: ['a', 'b'] },
    })
  })

  test.each([
    ['a', ['limits', 'rate'], 6, 29],
    ['a', ['limits', 'burst'], 9, 31],
    ['a', ['cors', 'origins'], 6, 48],
    ['c', ['limits', 'burst'], 3, 36],
  ])('tells where %s says %j', (id, keys, line, column) => {
    expect(policyPlace(operationOf(document, id), keys)).toMatchObject({ line, column })
  })

  test('a policy that is no map is an error', async () => {
    expect(await complaintsOf(api({ '/a': { ...get(), 'x-portcullis': true } }))).toEqual([
      expect.stringMatching(/^P2006 .* x-portcullis must be a map/),
    ])
  })

  test('what is not listed is under the policy of the document', () => {
    const { path, method } = unlistedOperations(document)
    expect(path).toMatchObject({ kind: 'unlisted-path', api: 'shop', method: '*', path: '*', allow: [], document })
    expect(path.policy).toEqual({ limits: { rate: '1/s', burst: 2 }, cors: { origins: ['a', 'b'] } })
    expect(method(['GET', 'PUT'], '/a')).toMatchObject({
      kind: 'unlisted-method',
      path: '/a',
      allow: ['GET', 'PUT'],
      security: undefined,
    })
    expect(method([], '/b').id).not.toBe(method([], '/a').id)
  })
})

describe('comparing a document with the published schema', () => {
  test('tells the deepest places of what does not fit', async () => {
    const text = `openapi: 3.0.3
info: {title: x}
paths:
  /a:
    get:
      sumary: q
      responses:
        '200': {description: ok, content: {application/json: {schema: {type: string, minLength: -1}}}}
    post: {}
`
    const found = await lintDocument({ file: '/virtual/api.yaml', read: () => Promise.resolve(text) })
    expect(found.map(({ code, message, place }) => `${code} ${place?.line}:${place?.column} ${message}`)).toEqual([
      "P2031 2:1 does not fit the schema of OpenAPI 3.0: must have required property 'version'",
      'P2031 6:7 does not fit the schema of OpenAPI 3.0: the key "sumary" is unknown here',
      'P2031 8:86 does not fit the schema of OpenAPI 3.0: must be >= 0',
      "P2031 9:5 does not fit the schema of OpenAPI 3.0: must have required property 'responses'",
    ])
  })
})

describe('large documents', () => {
  const large = () => {
    const paths: Record<string, object> = {}
    const schemas: Record<string, object> = {}
    for (let i = 0; i < 250; i++) {
      const ref = { $ref: `#/components/schemas/Thing${i}` }
      schemas[`Thing${i}`] = {
        type: 'object',
        required: ['id'],
        properties: { id: { type: 'string' }, next: { $ref: `#/components/schemas/Thing${(i + 1) % 250}` } },
      }
      const responses = { 200: { description: 'OK', content: { 'application/json': { schema: ref } } } }
      const body = { requestBody: { content: { 'application/json': { schema: ref } } }, responses }
      paths[`/things${i}`] = { get: { responses }, post: body }
      paths[`/things${i}/{id}`] = {
        parameters: [{ name: 'id', in: 'path', schema: { type: 'string' } }],
        get: { responses },
        put: body,
      }
    }
    return api(paths, { components: { schemas } })
  }

  test('1,000 operations with schemas that refer to each other in a circle are loaded', async () => {
    const files = large()
    const started = performance.now()
    const document = await loadFiles(files)
    const json = performance.now() - started
    expect(document.operations).toHaveLength(1_000)
    expect(document.warnings).toEqual([])
    const { stringify } = await import('yaml')
    const yaml = { 'api.yaml': stringify(JSON.parse(files['api.json'])) }
    const startedYaml = performance.now()
    expect((await loadFiles(yaml)).operations).toHaveLength(1_000)
    console.log(
      `1,000 operations: ${json.toFixed(0)} ms as JSON, ${(performance.now() - startedYaml).toFixed(0)} ms as YAML`,
    )
  })
})
