import type { Cases } from './cases.ts'

export const level2: Cases = {
  4732510: {
    finds: ["1' or sleep(5)#", "x' or 1=1--", '1 union select 1'],
    passes: ['hello world', 'order by phone', "O'Brien"],
  },
  4732511: {
    finds: ['select a from b', 'delete from users', 'drop table x', 'insert into a values (1)'],
    passes: ['please select from the list', 'we drop tables off', 'insert coin'],
  },
  4732520: {
    finds: ['http://localhost:3000/', 'http://127.0.0.1/', 'https://10.0.0.5/x', 'http://db.internal/x'],
    passes: ['https://example.com/', 'https://api.example.com/x', 'localhost'],
  },
  4732521: {
    finds: ['http://192.0.2.10/x', 'https://8.8.8.8', 'ftp://203.0.113.4/'],
    passes: ['https://example.com/1.2.3.4', '192.0.2.10', 'https://v1.example.com'],
  },
  4732522: {
    finds: ['sftp://x.example/a', 'redis://x.example', 'mongodb+srv://x.example', 'jdbc:mysql://x'],
    passes: ['https://x.example', 'mailto:a@x.example', 'redis: a cache'],
  },
  4732523: {
    finds: [{ query: '//evil.example' }, { query: '/\\evil.example' }, { query: 'https:evil.example' }],
    passes: [{ query: '/home' }, { query: 'https://example.com/a' }, { query: 'a//b' }],
  },
  4732530: {
    finds: ['../x', 'a/../b', '..\\x'],
    passes: ['a..b', 'wait...', './x'],
  },
  4732531: {
    finds: ['/etc/app.conf', '/proc/1', 'c:\\windows\\x', '\\\\server\\share'],
    passes: ['/home/ann', '/var/data', 'c:\\users'],
  },
  4732540: {
    finds: ['<p>x</p>', '<!-- x -->', '<b>'],
    passes: ['1 < 2', 'a > b', '<3'],
  },
  4732541: {
    finds: ['{{ name }}', '${x}', '{% if x %}', '<% x %>'],
    passes: ['{name}', '$x', '100 %'],
  },
  4732550: {
    finds: ['; ls;', '| foo -x', '$(foo)', '`date`'],
    passes: ['a; b', 'x | y', 'cost: $5'],
  },
  4732560: {
    finds: [
      { body: '{"query":"{ __schema { types { name } } }"}' },
      { uri: '/graphql?query=%7B__type(name:%22A%22)%7Bname%7D%7D' },
      { body: '{"query":"query IntrospectionQuery { a }"}' },
    ],
    passes: [
      { body: '{"query":"{ orders { id __typename } }"}' },
      { body: '{"query":"schema"}' },
      { json: '__schema' },
    ],
  },
  4732561: {
    finds: [
      { body: `{"query":"${'{ a '.repeat(17)}${'}'.repeat(17)}"}` },
      { body: `{"query":"${'{friends'.repeat(20)}${'}'.repeat(20)}"}` },
      { uri: `/graphql?query=${'%7Ba'.repeat(16)}` },
    ],
    passes: [
      { body: '{"query":"{ a { b { c { d } } } }"}' },
      { body: '{"query":"{ a } { b } { c }"}' },
      { uri: '/graphql?query=%7Ba%7D' },
    ],
  },
  4732562: {
    finds: [
      { body: `{"query":"{ ${Array.from({ length: 25 }, (_, i) => `a${i}: user(id: ${i}) { x }`).join(' ')} }"}` },
      {
        body: `{"query":"mutation { ${Array.from({ length: 22 }, (_, i) => `m${i}: login(p: ${i}) { t }`).join(' ')} }"}`,
      },
      { uri: `/graphql?query=${encodeURIComponent(Array.from({ length: 30 }, (_, i) => `q${i}: a { b }`).join(' '))}` },
    ],
    passes: [
      { body: '{"query":"{ a: user(id: 1) { x } b: user(id: 2) { x } }"}' },
      { body: '{"query":"{ user(id: 1) { x } }"}' },
      { uri: '/graphql?query=a' },
    ],
  },
  4732570: {
    finds: [
      { headers: { 'X-Original-URL': '/admin' } },
      { headers: { 'X-Rewrite-URL': '/admin' } },
      { headers: { 'X-Forwarded-Prefix': '/a' } },
    ],
    passes: [
      { headers: { 'X-Forwarded-For': '192.0.2.1' } },
      { headers: { 'X-Forwarded-Proto': 'https' } },
      { headers: { 'X-Request-Id': '5' } },
    ],
  },
  4732571: {
    finds: [{ uri: '/a?b=c%0Ad' }, { uri: '/a?b=%0D' }, { uri: '/a?b=c%0D%0Ad' }],
    passes: [{ uri: '/a?b=c%20d' }, { json: 'a\nb' }, { uri: '/a?b=c' }],
  },
  4732572: {
    finds: [{ query: 'a\x01b' }, { query: 'a\x7fb' }, { json: 'a\x08b' }],
    passes: [{ json: 'a\tb' }, { json: 'a\nb' }, { query: 'ab' }],
  },
}

export const level3: Cases = {
  4732610: {
    finds: [
      { headers: { 'User-Agent': '' } },
      { headers: { 'User-Agent': '', Accept: '*/*' } },
      { headers: { 'User-Agent': '', Via: 'x' } },
    ],
    passes: [{ headers: { 'User-Agent': 'a' } }, { headers: { 'User-Agent': 'curl/8' } }, { query: 'a' }],
  },
  4732611: {
    finds: ["it's; x", "a' = b", '"x" (y)'],
    passes: ['it is', 'a = b', '5 (five)'],
  },
  4732612: {
    finds: ['a < b', 'a | b', '$5', '{x}'],
    passes: ['a b', 'a-b', 'a.b'],
  },
  4732613: {
    finds: ['what?!?!?', '-----', 'a=====b'],
    passes: ['what?', 'a--b', 'a, b: c'],
  },
  4732614: {
    finds: [{ uri: '/a?b%3Cc=1' }, { uri: '/a?b%27=1' }, { uri: '/a?(x)=1' }],
    passes: [{ uri: '/a?b=1' }, { uri: '/a?b[c]=1' }, { body: '{"a":{"b_c":1}}' }],
  },
  4732615: {
    finds: ['1 or 2', 'select (a)', 'x and 5'],
    passes: ['this or that', 'select one', 'a and b'],
  },
}
