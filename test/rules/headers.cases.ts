import type { Cases } from './cases.ts'

export const headers: Cases = {
  4732000: {
    finds: [
      { uri: '/a?b=c%0d%0aSet-Cookie:x=1' },
      { uri: '/a?b=c%0aLocation:%20http://x.example' },
      { uri: '/a%0d%0aContent-Length:0' },
      { uri: '/a?b=%E5%98%8A%E5%98%8DSet-Cookie:x' },
    ],
    passes: [
      { uri: '/a?b=c%20location:%20here' },
      { uri: '/a?b=set-cookie' },
      { json: 'a\nlocation: Berlin' },
      { uri: '/a?text=one%0Atwo' },
    ],
  },
  4732001: {
    finds: [{ uri: '/a%0ab' }, { uri: '/a?b%0d=1' }, { headers: { Cookie: 'a=b%0ac' } }],
    passes: [{ uri: '/a?text=one%0Atwo' }, { json: 'a\nb' }, { uri: '/a%20b' }],
  },
  4732002: {
    finds: [
      { json: 'a\r\nSet-Cookie: x=1' },
      { json: 'a\r\nHTTP/1.1 200 OK' },
      { form: 'a=b%0d%0aLocation:%20http://x.example' },
      { json: 'x\r\nTransfer-Encoding: chunked' },
    ],
    passes: [
      { json: 'Location: Berlin\nDate: May' },
      { json: 'Hello\nContent: yes' },
      { json: 'set\ncookie: sweet' },
      { json: 'We get\nand post letters' },
    ],
  },
  4732003: {
    finds: [{ uri: '/a?b=c%0aBcc:a@x.example' }, { uri: '/a?b=c%0d%0aRCPT%20TO:x' }, { uri: '/a?b=c%0aSubject:x' }],
    passes: [{ json: 'From: Ann\nTo: Bob\nSubject: Hi' }, { uri: '/a?b=subject:x' }, { uri: '/a?b=from:ann' }],
  },
  4732004: {
    finds: [
      { json: 'a\r\nRCPT TO:<x@x.example>' },
      { json: 'x\r\nV100 CAPABILITY' },
      { json: 'a\r\nBcc: x@x.example' },
    ],
    passes: [{ json: 'Hi,\nmail from: Ann' }, { json: 'Bcc: nobody\nSubject: x' }, { json: 'a\nA100 is a road' }],
  },
  4732005: {
    finds: [{ uri: '/a?b=c%0aX-Test:1' }, { uri: '/a?b=%0d%0aabc' }, { uri: '/a?b=a%0a%0a%0a%0ab' }],
    passes: [{ uri: '/a?text=one%0Atwo%20three' }, { json: 'a\nX-Test: 1' }, { uri: '/a?b=X-Test:1' }],
  },
}
