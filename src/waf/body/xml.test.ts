import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { growth } from './steps.fixture.ts'
import { bodyLimits } from './values.ts'
import { parseXml } from './xml.ts'

describe('texts and attributes', () => {
  test.each<[string, string[], string[]]>([
    ['<a>x</a>', ['x'], []],
    ['<?xml version="1.0"?><a b="1" c=\'2\'><d>x</d></a>', ['x'], ['1', '2']],
    ['<a> x </a>', ['x'], []],
    ['<a>\n  <b>x</b>\n  <b>y</b>\n</a>\n', ['x', 'y'], []],
    ['<a><![CDATA[<script>]]></a>', ['<script>'], []],
    ['<a>1 &lt; 2 &amp;&amp; &quot;&apos;&gt;</a>', ['1 < 2 && "\'>'], []],
    ['<a b="&lt;script&gt;"/>', [], ['<script>']],
    ['<a>&#60;&#x3c;&#x3C;&#8364;&#x1f600;</a>', ['<<<\xe2\x82\xac\xf0\x9f\x98\x80'], []],
    [`<a>&#${'0'.repeat(99)}60;</a>`, ['<'], []],
    ['<a b = "1"\n/>', [], ['1']],
    ['<a b=">"/>', [], ['>']],
    ['<a b=""/>', [], ['']],
    ['<a><!-- c --></a>', [], []],
    ['<a:b a:c="1">x</a:b >', ['x'], ['1']],
    ['<a xsi:schemaLocation="http://x/y z"/>', [], ['http://x/y z']],
    ['<a>caf\xc3\xa9</a>', ['caf\xc3\xa9'], []],
    ['<a/>', [], []],
  ])('%j', (text, texts, attributes) => {
    const read = parseXml(text)
    expect(read.texts).toEqual(texts)
    expect(read.attributes).toEqual(attributes)
    expect(read.error).toBeUndefined()
  })

  test('the whole text is there where runs are more than one, blanks and all, as libxml gives it', () => {
    expect(parseXml('<a> <b>x</b>\n<b>y</b></a>').whole).toBe(' x\ny')
    expect(parseXml('<a> <b>x</b></a>').whole).toBeUndefined()
  })

  test.each([
    ['<a>al<!-- -->ert</a>', 'alert'],
    ['<a>al<?p i?>ert</a>', 'alert'],
    ['<a>al<![CDATA[er]]>t</a>', 'alert'],
    ['<a><![CDATA[al]]><![CDATA[ert]]></a>', 'alert'],
    ['<a>al&#101;rt</a>', 'alert'],
  ])('%j: nothing but a tag ends a run', (text, run) => {
    expect(parseXml(text).texts).toContain(run)
  })

  test('an attack that tags cut up shows in the whole', () => {
    expect(parseXml("<a>1' un<b/>ion se<b>lect</b></a>").whole).toBe("1' union select")
  })

  test('what a processing instruction says is looked at', () => {
    expect(parseXml('<a><?php system("id") ?></a>').texts).toEqual(['php system("id") '])
  })

  test.each([
    ['http://schemas.xmlsoap.org/soap/envelope/', false],
    ['urn:org:ebics:H004', false],
    ['http://www.w3.org/2000/09/xmldsig#', false],
    ['file:///etc/passwd', true],
    ['http://h/../../etc/passwd', true],
    ['javascript:alert(1)', true],
    ["' or 1=1", true],
    ['${jndi:ldap://h}', true],
  ])('the namespace %j is an attribute: %j', (uri, expected) => {
    expect(parseXml(`<a xmlns="${uri}" xmlns:b="${uri}" xmlnsc="${uri}"/>`).attributes).toEqual(
      expected ? [uri, uri, uri] : [uri],
    )
  })
})

describe('entities and document types', () => {
  const attack = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'

  test('are never followed: a declaration of entities is an error, and stands for rules to see', () => {
    const read = parseXml(`${attack}<r>hello&x;</r>`)
    expect(read.texts).toEqual(['hello&x;'])
    expect(read.doctype).toBe(attack)
    expect(read.declares).toBe(true)
    expect(read.error).toMatch(/declares/)
  })

  test('a bomb costs nothing', () => {
    const entities = Array.from({ length: 50 }, (_, i) => `<!ENTITY e${i + 1} "${`&e${i};`.repeat(10)}">`).join('')
    const read = parseXml(`<!DOCTYPE r [<!ENTITY e0 "x">${entities}]><r>&e50;</r>`)
    expect(read.texts).toEqual(['&e50;'])
  })

  test.each([
    ['<!DOCTYPE html><a>x</a>', '<!DOCTYPE html>', false],
    [
      '<!DOCTYPE cXML SYSTEM "http://xml.cxml.org/schemas/cXML.dtd"><a>x</a>',
      '<!DOCTYPE cXML SYSTEM "http://xml.cxml.org/schemas/cXML.dtd">',
      true,
    ],
    ['<!DOCTYPE r PUBLIC "a>b" \'c\'><a>x</a>', '<!DOCTYPE r PUBLIC "a>b" \'c\'>', true],
    ["<!DOCTYPE r [<!ELEMENT r ANY><!-- ]> ' -->]><a>x</a>", "<!DOCTYPE r [<!ELEMENT r ANY><!-- ]> ' -->]>", false],
  ])('%j is no error by itself', (text, doctype, declares) => {
    const read = parseXml(text)
    expect(read).toMatchObject({ doctype, declares, texts: ['x'], error: undefined })
  })

  test.each([
    '<!DOCTYPE r [<!ATTLIST r a CDATA "x">]><r/>',
    '<!DOCTYPE r [%x;]><r/>',
    '<!DOCTYPE r [<!ENTITY % x SYSTEM "y">]><r/>',
  ])('%j makes the upstream read more than stands here', (text) => {
    expect(parseXml(text).error).toMatch(/declares/)
  })
})

describe('texts that are not XML', () => {
  test.each<[string, string[], string[], RegExp]>([
    ['', [], [], /no root/],
    ['x', ['x'], [], /outside the root/],
    ['{"q":"<script>"}', ['{"q":"', '"}'], [], /outside the root/],
    ['<a>x', ['x'], [], /without an end/],
    ['<a>x</b>', ['x'], [], /another element/],
    ['<a>x</a></a>', ['x'], [], /without an element/],
    ['<a/>y<b/>', ['y'], [], /outside the root/],
    ['<a/><b>y</b>', ['y'], [], /second root/],
    ['<a>&x;</a>', ['&x;'], [], /not known/],
    ['<a>a & b</a>', ['a & b'], [], /bare "&"/],
    ['<a>&#0;&#xd800;&#x110000;&#;&#x;&#1a;</a>', ['&#0;&#xd800;&#x110000;&#;&#x;&#1a;'], [], /not known/],
    ['<a>1 < 2</a>', ['1 < 2'], [], /bare "<"/],
    ['<a b=c d>x</a>', ['x'], ['c'], /quote/],
    ['<a b>x</a>', ['x'], [], /expected "="/],
    ['<a b="1"c="2"/>', [], ['1', '2'], /expected a blank/],
    ['<a b="<script>"/>', [], ['<script>'], /"<" in an attribute/],
    ['<a b="alert(1)', [], ['alert(1)'], /attribute without an end/],
    ['<a b="1" <c d="2"/></a>', [], ['1', '2'], /tag without an end/],
    ['<a b="1"', [], ['1'], /tag without an end/],
    ['<a / b="1"/>', [], ['1'], /bare "\/"/],
    ['<a ="1"/>', [], [], /expected an attribute/],
    ['<a>x<!-- y', ['x<!-- y'], [], /comment without an end/],
    ['<a>x<!-- y -- z -->w</a>', [' y -- z ', 'xw'], [], /two dashes/],
    ['<a>x<![CDATA[y', ['xy'], [], /CDATA section without/],
    ['<![CDATA[y]]><a/>', ['y'], [], /CDATA section outside/],
    ['<a>x<?y', ['x<?y'], [], /processing instruction without/],
    ['<a>x</a', ['x</a'], [], /end tag without an end/],
    ['<a><!x></a>', ['<!x>'], [], /markup that is not known/],
    ['<!DOCTYPE a [', [], [], /document type declaration without/],
    ['<a/><!DOCTYPE a>', [], [], /wrong place/],
    [' <?xml version="1.0"?><a/>', [], [], /not at the start/],
    ['<a>\0x</a>', ['\0x'], [], /control character/],
    ['<a>\xff</a>', ['\xff'], [], /not UTF-8/],
  ])('%j keeps what was read', (text, texts, attributes, error) => {
    const read = parseXml(text)
    expect(read.texts).toEqual(texts)
    expect(read.attributes).toEqual(attributes)
    expect(read.error).toMatch(error)
  })
})

describe('limits', () => {
  test('at the depth limit all is read, one deeper the rest is text', () => {
    const limits = { ...bodyLimits, xmlDepthMax: 2 }
    expect(parseXml('<a><b>x</b></a>', limits).error).toBeUndefined()
    const read = parseXml('<a><b><c d="<script>">x</c></b></a>', limits)
    expect(read.texts).toEqual(['<c d="<script>">x</c></b></a>'])
    expect(read.error).toBe('nested deeper than 2')
  })

  test('beyond the limit of values the rest is text', () => {
    const read = parseXml('<a><b>1</b><b>2</b><b>3</b></a>', { ...bodyLimits, xmlValuesMax: 2 })
    expect(read.texts).toEqual(['1', '2', '<b>3</b></a>'])
    expect(read.error).toMatch(/more than 2/)
    const attributes = parseXml('<a b="1" c="2" d="3" e="4"/>', { ...bodyLimits, xmlValuesMax: 2 })
    expect(attributes.attributes).toEqual(['1', '2', 'd="3" e="4"/>'])
  })

  const unbounded = { xmlDepthMax: 1_000_000, xmlValuesMax: 1_000_000 }
  test.each<[string, (count: number) => string]>([
    ['elements in elements', (count) => '<a>'.repeat(count)],
    ['closed elements', (count) => `<r>${'<a>x</a>'.repeat(count)}</r>`],
    ['end tags', (count) => '</a>'.repeat(count)],
    ['open tags', (count) => '<a '.repeat(count)],
    ['bare tag marks', (count) => '<'.repeat(count)],
    ['bare references', (count) => `<a>${'&'.repeat(count)}</a>`],
    ['references', (count) => `<a>${'&lt;'.repeat(count)}</a>`],
    ['references without an end', (count) => `<a>${'&#'.repeat(count)}</a>`],
    ['long references', (count) => `<a>${`&${'x'.repeat(60)}`.repeat(count)}</a>`],
    ['comments', (count) => `<a>${'<!---->'.repeat(count)}</a>`],
    ['open comments', (count) => '<!--'.repeat(count)],
    ['open sections', (count) => '<a><![CDATA['.repeat(count)],
    ['sections', (count) => `<a>${'<![CDATA[]]>'.repeat(count)}</a>`],
    ['instructions', (count) => `<a>${'<?x?>'.repeat(count)}</a>`],
    ['open instructions', (count) => '<?'.repeat(count)],
    ['document types', (count) => '<!DOCTYPE a>'.repeat(count)],
    ['an open document type', (count) => `<!DOCTYPE a [${'<!ENTITY x "y">'.repeat(count)}`],
    ['quotes in a document type', (count) => `<!DOCTYPE a [${`'"`.repeat(count)}`],
    ['attributes', (count) => `<a ${'b="1" '.repeat(count)}/>`],
    ['attributes without values', (count) => `<a ${'b '.repeat(count)}/>`],
    ['attributes without an end', (count) => `<a ${'b="'.repeat(count)}`],
    ['unquoted attributes', (count) => `<a ${'b=c '.repeat(count)}`],
    ['blanks', (count) => `<a ${' '.repeat(count)}`],
    ['a long declaration', (count) => `<?xml ${' '.repeat(count)}`],
  ])('the work for %s grows with the length', (_, make) => {
    expect(growth((text) => void parseXml(text, unbounded), make, 1_000)).toBeLessThan(2.2)
    const { texts, attributes, whole = '' } = parseXml(make(1_000), unbounded)
    const size = [...texts, ...attributes, whole].reduce((sum, value) => sum + value.length, 0)
    expect(size).toBeLessThanOrEqual(2 * make(1_000).length)
  })
})

describe('encodings', () => {
  const text = '<?xml version="1.0" encoding="UTF-16"?><a b="\u20ac">&lt;script></a>'
  test.each([
    ['UTF-16LE with a mark', Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-16LE', Buffer.from(text, 'utf16le')],
    ['UTF-16BE with a mark', Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
    ['UTF-16BE', Buffer.from(text, 'utf16le').swap16()],
  ])('%s is read', (_, bytes) => {
    const read = parseXml(bytes.toString('latin1'))
    expect(read).toMatchObject({ texts: ['<script>'], attributes: ['\xe2\x82\xac'], error: undefined })
  })

  test.each([
    ['utf-8', undefined],
    ['ISO-8859-1', undefined],
    ['windows-1252', undefined],
    ['utf-7', /utf-7 cannot be read/],
    ['IBM037', /ibm037 cannot be read/],
    ['utf-16', /utf-16 cannot be read/],
  ])('a declaration of %s', (encoding, error) => {
    const read = parseXml(`<?xml version="1.0" encoding='${encoding}'?><a>x</a>`)
    expect(read.texts).toEqual(['x'])
    if (error === undefined) expect(read.error).toBeUndefined()
    else expect(read.error).toMatch(error)
  })

  test('what the Content-Type says counts too', () => {
    expect(parseXml('<a>x</a>', bodyLimits, 'ibm037').error).toMatch(/ibm037/)
    expect(parseXml('<a>\xe9</a>', bodyLimits, 'iso-8859-1').error).toBeUndefined()
  })
})

/** A document as a tree: the judge knows what stands in it without reading it. */
type Tree = {
  readonly name: string
  readonly attributes: readonly string[]
  readonly children: readonly (Tree | Data)[]
}
type Data = { readonly kind: 'text' | 'cdata' | 'comment'; readonly data: string }

const data: fc.Arbitrary<Data> = fc.record({
  kind: fc.constantFrom('text', 'cdata', 'comment'),
  data: fc.string({ unit: fc.constantFrom(...'ab <>&"\'-\n;#x\xe9\u20ac'), maxLength: 8 }),
})
const { tree } = fc.letrec<{ tree: Tree; child: Tree | Data }>((tie) => ({
  tree: fc.record({
    name: fc.constantFrom('a', 'b:c', 'd-e.f'),
    attributes: fc.array(fc.string({ unit: fc.constantFrom(...'ab <>&"\'=\u20ac'), maxLength: 8 }), { maxLength: 3 }),
    children: fc.array(tie('child'), { maxLength: 4 }),
  }),
  child: fc.oneof({ depthSize: 'small', withCrossShrink: true }, data, tie('tree')),
}))

test('whatever a document is made of comes back', () => {
  fc.assert(
    fc.property(tree, (document) => {
      const texts: string[] = []
      const attributes: string[] = []
      let run = ''
      let whole = ''
      const end = () => {
        whole += run
        const trimmed = run.replace(/^[ \n]+|[ \n]+$/g, '')
        if (trimmed !== '') texts.push(toBytes(trimmed))
        run = ''
      }
      const write = (node: Tree | Data): string => {
        if ('kind' in node) {
          if (node.kind === 'comment') return `<!--${node.data.replaceAll('-', '')}-->`
          run += node.data
          return node.kind === 'text' ? escaped(node.data) : `<![CDATA[${node.data.replaceAll(']]>', '')}]]>`
        }
        end()
        attributes.push(...node.attributes.map(toBytes))
        const open = `<${node.name}${node.attributes.map((value, i) => ` x${i}="${escaped(value)}"`).join('')}`
        if (node.children.length === 0) return `${open}/>`
        const inner = node.children.map(write).join('')
        end()
        return `${open}>${inner}</${node.name}>`
      }
      const text = write(document)
      const read = parseXml(toBytes(text))
      expect(read.error).toBeUndefined()
      expect(read.texts).toEqual(texts)
      expect(read.attributes).toEqual(attributes)
      if (texts.length > 1) expect(read.whole).toBe(toBytes(whole))
    }),
    { numRuns: 1_000 },
  )
})

test('no bytes make it throw', () => {
  const piece = fc.constantFrom(
    ...[
      '<a>',
      '</a>',
      '<a',
      '/>',
      '>',
      '<',
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      '<?',
      '?>',
      '<!DOCTYPE a [',
      ']>',
      '<!ENTITY x "y">',
    ],
    ...['&lt;', '&x;', '&#60;', '&', '"', "'", '=', ' b="', 'x', ' ', '\n', '\0', '\xff', '\xfe', 'xmlns="'],
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const text = pieces.join('')
      const { texts, attributes, error } = parseXml(text, { xmlDepthMax: 4, xmlValuesMax: 10 })
      // What no reader of XML takes is told.
      if (!text.includes('<a')) expect(error).toBeDefined()
      expect(texts.length + attributes.length).toBeLessThanOrEqual(12)
    }),
    { numRuns: 3_000 },
  )
})

function escaped(text: string): string {
  return text.replace(/[<>&"]/g, (c) => ({ '<': '&lt;', '>': '&#62;', '&': '&amp;', '"': '&quot;' })[c]!)
}

function toBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}
