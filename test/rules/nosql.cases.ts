import type { Cases } from './cases.ts'

export const nosql: Cases = {
  4731100: {
    finds: [
      { uri: '/login?user[$ne]=1&password[$ne]=1' },
      { body: '{"user":{"$ne":null},"password":{"$ne":null}}' },
      { body: '{"$where":"1"}' },
      { uri: '/items?price[$gt]=5' },
      { form: 'a[$regex]=.*' },
    ],
    passes: [
      { body: '{"$ref":"#/a","$schema":"x","$type":"y","$id":"z"}' },
      { uri: '/odata/Items?$filter=a%20eq%20b&$select=c&$top=5&$orderby=d' },
      { body: '{"event":"x","$set":{"plan":"pro"}}' },
      { uri: '/items?price[gt]=5&price[lt]=9' },
    ],
  },
  4731101: {
    finds: [
      '{"$gt": ""}',
      '{ $ne: 1 }',
      "', $where: '1 == 1'",
      "x', $or: [ {}, { 'a':'a",
      '{"username": {"$regex": "^a"}}',
    ],
    passes: [
      '{"$ref": "#/definitions/a"}',
      '$50: a bargain',
      'query Q($in: Int) { a(in: $in) }',
      'costs $12, or $15: you choose',
      '{"price": "$9.99"}',
    ],
  },
  4731102: {
    finds: [
      "' && this.password.match(/.*/)//",
      "';return true;var x='",
      "'; while(true){}",
      'db.users.find({})',
      "' || 'a'=='a",
    ],
    passes: [
      'return to sender',
      "'yes'; return it to us",
      '956 <= x && y != 74 || z == 6',
      'this.name is his',
      "we'll return: true story",
    ],
  },
  4731103: {
    finds: [
      'x\r\nFLUSHALL\r\n',
      'a\nCONFIG SET dir /tmp',
      'b\r\nset k 0 60 5\r\nhello',
      'c\r\nslaveof 1.2.3.4 6379',
      'd\r\n*3\r\n$3\r\nSET',
    ],
    passes: [
      'Set the table\nand config the room',
      { json: 'steps:\nset up camp\nadd wood' },
      { json: 'a\nset of 3 cups' },
      'flush all pipes',
      { json: 'To do:\n\nreplace 2 lamps' },
    ],
  },
}
