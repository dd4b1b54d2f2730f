import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { complaintsOf, loadFiles, operationOf, warningsOf } from '../../test/fixtures/openapi-files.ts'
import { Complaints } from './complaints.ts'
import { applyOverlay } from './overlay.ts'
import { parseSource } from './source.ts'

/** The target after the actions, and what was complained about. */
function overlaid(target: object, actions: readonly object[]): { root: unknown; told: string[] } {
  const root = parseSource('file:///api.yaml', 'api.yaml', stringify(target))
  const text = stringify({ overlay: '1.1.0', info: { title: 'O', version: '1' }, actions })
  const complaints = new Complaints()
  applyOverlay(root, parseSource('file:///overlay.yaml', 'overlay.yaml', text), complaints)
  const told = [...complaints.errors, ...complaints.warnings].map(
    ({ code, message, place }) => `${code} ${place?.file}:${place?.line}:${place?.column} ${message}`,
  )
  return { root: root.root, told }
}

describe('actions of an overlay (Overlay 1.1, 4.4.3)', () => {
  test.each<[string, object, object, object]>([
    ['merges a map into maps', { a: { x: 1 } }, { target: '$.a', update: { y: 2 } }, { a: { x: 1, y: 2 } }],
    [
      'merges deep',
      { a: { b: { x: 1 } } },
      { target: '$', update: { a: { b: { y: 2 } } } },
      { a: { b: { x: 1, y: 2 } } },
    ],
    ['replaces plain members', { a: { x: 1 } }, { target: '$.a', update: { x: 2 } }, { a: { x: 2 } }],
    [
      'concatenates lists within maps',
      { a: { l: [1] } },
      { target: '$.a', update: { l: [2, 3] } },
      { a: { l: [1, 2, 3] } },
    ],
    ['appends to a list', { l: [1] }, { target: '$.l', update: { x: 1 } }, { l: [1, { x: 1 }] }],
    ['concatenates with a list', { l: [1] }, { target: '$.l', update: [2, 3] }, { l: [1, 2, 3] }],
    ['replaces a plain value', { a: { x: 1 } }, { target: '$.a.x', update: 'new' }, { a: { x: 'new' } }],
    ['replaces a plain value by nothing', { a: { x: 1 } }, { target: '$.a.x', update: null }, { a: { x: null } }],
    ['removes a member', { a: 1, b: 2 }, { target: '$.a', remove: true }, { b: 2 }],
    ['removes several items', { l: [1, 2, 3, 4] }, { target: '$.l[?@ > 1 && @ < 4]', remove: true }, { l: [1, 4] }],
    ['removes before it updates', { a: { x: 1 } }, { target: '$.a', remove: true, update: { y: 1 } }, {}],
    [
      'does not remove with remove: false',
      { a: {} },
      { target: '$.a', remove: false, update: { y: 1 } },
      { a: { y: 1 } },
    ],
    ['copies a map', { a: { x: 1 }, b: {} }, { target: '$.b', copy: '$.a' }, { a: { x: 1 }, b: { x: 1 } }],
    ['copies into a list', { a: 1, l: [] }, { target: '$.l', copy: '$.a' }, { a: 1, l: [1] }],
    [
      'changes every match',
      { p: { a: { get: {} }, b: { get: {} } } },
      { target: '$.p.*.get', update: { s: 1 } },
      { p: { a: { get: { s: 1 } }, b: { get: { s: 1 } } } },
    ],
    [
      'finds paths by their names',
      { paths: { '/o/{id}': {} } },
      { target: "$.paths['/o/{id}']", update: { x: 1 } },
      { paths: { '/o/{id}': { x: 1 } } },
    ],
    [
      'keeps a key named __proto__ a key',
      { a: {} },
      { target: '$.a', update: parse('{"__proto__": {"x": 1}}') },
      { a: parse('{"__proto__": {"x": 1}}') },
    ],
  ])('%s', (_, target, action, result) => {
    expect(overlaid(target, [action])).toEqual({ root: result, told: [] })
  })

  test('actions are applied in order, each to what the one before left', () => {
    const actions = [
      { target: '$.a', remove: true },
      { target: '$', update: { a: { x: 1 } } },
      { target: '$.a', update: { y: 2 } },
      { target: '$', update: { b: {} } },
      { target: '$.b', copy: '$.a' },
      { target: '$.a.x', update: 9 },
    ]
    expect(overlaid({ a: 'plain' }, actions).root).toEqual({ a: { x: 9, y: 2 }, b: { x: 1, y: 2 } })
  })

  test('what is put in two places can be changed in one', () => {
    const actions = [
      { target: '$.*', update: { m: { x: 1 } } },
      { target: '$.a.m', update: { y: 1 } },
    ]
    expect(overlaid({ a: {}, b: {} }, actions).root).toEqual({ a: { m: { x: 1, y: 1 } }, b: { m: { x: 1 } } })
  })

  test.each<[string, object, object, RegExp]>([
    ['no target', {}, { update: {} }, /^P2020 overlay.yaml:6:5 an action needs a target/],
    ['nothing to do', {}, { target: '$' }, /^P2020 overlay.yaml:6:5 the action changes nothing/],
    ['update and copy', { a: {} }, { target: '$.a', update: {}, copy: '$' }, /^P2020 .* either update or copy/],
    [
      'an unknown key',
      {},
      { target: '$', updates: {}, remove: false, update: {} },
      /^P2020 overlay.yaml:7:5 unknown key "updates"/,
    ],
    ['remove as text', {}, { target: '$', remove: 'yes' }, /^P2020 .* remove must be true or false/],
    [
      'not a JSONPath',
      {},
      { target: '$.paths./a.get', update: {} },
      /^P2021 overlay.yaml:6:13 not a JSONPath \(RFC 9535\)/,
    ],
    ['a path that is not JSONPath by the standard', {}, { target: 'paths.a', update: {} }, /^P2021 /],
    ['a map into a plain value', { a: 1 }, { target: '$.a', update: {} }, /^P2022 overlay.yaml:7:13 .* plain values/],
    ['a plain value into a map', { a: {} }, { target: '$.a', update: 1 }, /^P2022 .* selects maps/],
    [
      'a map over a list',
      { a: { b: [] } },
      { target: '$.a', update: { b: {} } },
      /^P2022 .* \/a\/b is a list and cannot be merged with a map/,
    ],
    ['different kinds at once', { a: {}, b: [] }, { target: '$.*', update: {} }, /^P2022 .* values of different kinds/],
    [
      'the whole document removed',
      { a: 1 },
      { target: '$', remove: true },
      /^P2022 .* whole document cannot be removed/,
    ],
    [
      'a copy of nothing',
      { a: {} },
      { target: '$.a', copy: '$.b' },
      /^P2024 overlay.yaml:7:11 copy must select exactly one value; this selects 0/,
    ],
    ['a copy of several', { a: {}, l: [1, 2] }, { target: '$.a', copy: '$.l.*' }, /^P2024 .* selects 2/],
    ['a copy that is no path', { a: {} }, { target: '$.a', copy: {} }, /^P2020 .* copy must be a JSONPath/],
    [
      'nothing selected',
      { a: {} },
      { target: '$.b', update: {} },
      /^P2023 overlay.yaml:6:13 the target selects nothing: \$\.b/,
    ],
  ])('complains of %s and leaves the document', (_, target, action, message) => {
    const { root, told } = overlaid(target, [action])
    expect(root).toEqual(target)
    expect(told).toHaveLength(1)
    expect(told[0]).toMatch(message)
  })
})

describe('overlays of a document', () => {
  const api = `openapi: 3.1.0
info: {title: T, version: "1"}
security: [{key: []}]
paths:
  /a:
    get: {operationId: a, tags: [x], responses: {}}
  /b:
    get: {operationId: b, responses: {}}
components: {securitySchemes: {key: {type: apiKey, in: header, name: k}}}
`
  const overlay = (actions: string) => `overlay: 1.1.0\ninfo: {title: O, version: "1"}\nactions:\n${actions}`

  test('policies come from an overlay, and the document stays free of them', async () => {
    const document = await loadFiles(
      {
        'api.yaml': api,
        'one.yaml': overlay(`  - target: $
    update: {x-portcullis: {limits: {rate: 100/min, burst: 5}}}
  - target: $.paths['/a'].get
    update: {x-portcullis: {limits: {rate: 1/min}}, tags: [y]}
`),
        'two.yaml': overlay('  - target: $.paths["/b"]\n    remove: true\n'),
      },
      { overlays: ['one.yaml', 'two.yaml'] },
    )
    expect(document.operations.map(({ id }) => id)).toEqual(['a'])
    expect(operationOf(document, 'a')).toMatchObject({
      tags: ['x', 'y'],
      policy: { limits: { rate: '1/min', burst: 5 } },
    })
    expect(document.files.map((file) => file.split('/').at(-1))).toEqual(['api.yaml', 'one.yaml', 'two.yaml'])
  })

  test('a mistake that an overlay brings is told at its place in the overlay', async () => {
    const files = {
      'api.yaml': api,
      'o.yaml': overlay(`  - target: $.paths['/a'].get
    update:
      parameters:
        - {name: q, in: query, schema: {type: strng}}
      security: [{other: []}]
`),
    }
    expect(await complaintsOf(files, { overlays: ['o.yaml'] })).toEqual([
      'P2009 o.yaml:7:47 unknown type "strng"',
      'P2013 o.yaml:8:19 unknown security scheme "other"',
    ])
  })

  test('what stood in the document keeps its place when items before it are removed', async () => {
    const files = {
      'api.yaml': `openapi: 3.1.0
info: {title: T, version: "1"}
paths:
  /a:
    get:
      responses: {}
      parameters:
        - {name: gone, in: query}
        - {name: q, in: query, schema: {type: strng}}
`,
      'o.yaml': overlay("  - target: $.paths['/a'].get.parameters[?@.name == 'gone']\n    remove: true\n"),
    }
    expect(await complaintsOf(files, { overlays: ['o.yaml'] })).toEqual(['P2009 api.yaml:9:47 unknown type "strng"'])
  })

  test('an action that selects nothing is a warning: its rule protects nothing', async () => {
    const document = await loadFiles(
      { 'api.yaml': api, 'o.yaml': overlay("  - target: $.paths['/c'].get\n    update: {x-portcullis: {}}\n") },
      { overlays: ['o.yaml'] },
    )
    expect(warningsOf(document)).toEqual(["P2023 o.yaml:4:13 the target selects nothing: $.paths['/c'].get"])
  })

  test.each([
    ['openapi: 3.1.0', /^P2020 o.yaml:1:1 not an overlay/],
    ['overlay: 2.0.0\nactions: []', /^P2020 o.yaml:1:10 Overlay 2.0.0 is not supported/],
    ['overlay: 1.0.0\nactions: []', /^P2020 o.yaml:2:1 an overlay needs a list of actions/],
    ['overlay: 1.0.0\nactions: [x]', /^P2020 o.yaml:2:11 an action is a map/],
    ['overlay: 1.0.0\naction: []\nactions: [{target: $.info, update: {}}]', /^P2020 o.yaml:2:1 unknown key "action"/],
    ['overlay: [', /^P2002 o.yaml:1:/],
  ])('refuses %j', async (text, message) => {
    const found = await complaintsOf({ 'api.yaml': api, 'o.yaml': text }, { overlays: ['o.yaml'] })
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
  })

  test('an overlay that is missing is named', async () => {
    expect(await complaintsOf({ 'api.yaml': api }, { overlays: ['none.yaml'] })).toEqual([
      expect.stringMatching(/^P2001 The overlay cannot be read: ENOENT/),
    ])
  })
})
