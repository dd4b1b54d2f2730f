import { expect, test } from 'vitest'
import { compose, createNativeJudge, valuesCount } from './native.fixture.ts'
import { isXss } from './xss.ts'

const judgeNatively = createNativeJudge()

test.each([
  '<script>alert(1)</script>',
  '<ScRiPt src=//x>',
  '<s\0cript>',
  '<svg/onload=alert(1)>',
  '<xss onclick=x>',
  '<xsl:template>',
  '<a href="javascript:alert(1)">)',
  '<a href="&#106;avascript:x">',
  '<a href="&#x6A;&#0097vascript:x">',
  '<a href=" \x01\xa0java\nscript:x">',
  '<img src=x onerror=alert(1)>',
  '<b onauxclick=x>',
  '<b onbeforetoggle=x>',
  '<b style=x>',
  '<a xmlns:x=y>',
  '<set attributeName=href>',
  '<!DOCTYPE html>',
  '<!--[if IE]>',
  '<?xml ?>',
  '<?import x?>',
  '<!ENTITY x>',
  '<!-- ` -->',
  '<% ` %>',
  // From within an attribute of each kind, and from within a tag.
  'onclick=alert(1)',
  'x onfocus = alert(1)',
  '" onclick=alert(1)',
  "' onclick=alert(1)",
  '` onclick=alert(1)',
  '"><script>',
  "'/onclick=x",
  '></x><iframe>',
  `${'lorem ipsum '.repeat(10_000)}<script>`,
])('%j is script', (value) => {
  expect(isXss(value)).toBe(true)
})

test.each([
  ...[
    '',
    'hello',
    'this is not an XSS',
    'a < b',
    'a<b',
    'a=b',
    'a=b&c=d',
    'x <= y',
    'YWJj==',
    '<b>bold</b>',
    '<p class=x>text</p>',
  ],
  ...[
    '1 < 2 and 3 > 2',
    'ongoing=yes',
    'the onset = now',
    '<3',
    'if (a<b) return c',
    '<a href="https://example.com/">x</a>',
  ],
  ...[
    'https://example.com/?onward=1',
    '<img src=x.png alt="on time">',
    '</script>',
    'from here to=there',
    '<!-- note -->',
  ],
])('%j is none', (value) => {
  expect(isXss(value)).toBe(false)
})

const pieces = [
  ...[
    '<',
    '>',
    '/',
    '=',
    '"',
    "'",
    '`',
    '!',
    '--',
    '-',
    '?',
    '%',
    '%>',
    '-->',
    '--!>',
    '<!--',
    '<![CDATA[',
    ']]>',
    '<!DOCTYPE',
    '<?',
  ],
  ...[
    '</',
    ' ',
    '\t',
    '\n',
    '\0',
    '\x7f',
    '&',
    '#',
    '&#106;',
    '&#x6a;',
    '&#x14A;',
    '&#0',
    '&#x',
    'java',
    'javascript:',
    'data:',
  ],
  ...[
    'vbscript:',
    'view-source:',
    'JAVA',
    'j\nava',
    'script',
    'svg',
    'xsl',
    'xml',
    'iframe',
    'a',
    'img',
    'b',
    'on',
    'onclick',
    'onload=',
  ],
  ...[
    'onerror',
    'href=',
    'src=',
    'style=',
    'url(',
    'xmlns',
    'xlink:href=',
    'attributeName=',
    'by',
    'to=',
    'x',
    'import',
    'entity',
    '[if',
  ],
  ...[
    'base',
    'meta',
    'action',
    'formaction=',
    'handler',
    's\0cript',
    'hr\0ef',
    'onfoo',
    'onsomething=',
    'onvrdisplayconnect',
    '1',
  ],
]

test('what the carrier finds in any value is found', () => {
  let found = 0
  for (const values of compose(pieces, '', valuesCount)) {
    judgeNatively(values).forEach(({ xss }, i) => {
      if (!xss) return
      found++
      if (!isXss(values[i]!)) throw new Error(JSON.stringify(values[i]))
    })
  }
  expect(found).toBeGreaterThan(valuesCount / 20)
}, 3_600_000)

test('time grows with the value, whatever it is', () => {
  const hard = [
    '<',
    '</',
    '</>',
    '<!--',
    '-\0',
    '<!',
    '<%',
    '<a ',
    '<a b=',
    "='",
    '/',
    ' =',
    'a=',
    '&#',
    '<a href=&#32;',
    '<![CDATA[',
    '\0',
  ]
  for (const piece of hard) {
    const timeOf = (count: number) => {
      const value = `x=${piece.repeat(count)}`
      const start = process.cpuUsage()
      isXss(value)
      const { user, system } = process.cpuUsage(start)
      return user + system
    }
    timeOf(1_000)
    expect(timeOf(100_000), piece).toBeLessThan(timeOf(10_000) * 40 + 100_000)
  }
})
