import type { Cases } from './cases.ts'

export const ssrf: Cases = {
  4731600: {
    finds: [
      'http://169.254.169.254/latest/meta-data/',
      'http://metadata.google.internal/x',
      'http://100.100.100.200/x',
      'http://[::ffff:169.254.169.254]/',
      'http://x.example/computeMetadata/v1/',
    ],
    passes: [
      '169.254.0.0/16',
      'metadata about google',
      'https://example.com/metadata',
      '1.169.254.169',
      'https://example.com/latest/metadata',
    ],
  },
  4731601: {
    finds: [
      'http://2130706433/',
      'http://0x7f000001/',
      'http://0177.0.0.1/',
      'http://127.1/',
      'http://[::1]/',
      'http://127.0.0.1.nip.io/',
      'http://0/',
    ],
    passes: [
      'http://localhost:3000/callback',
      'http://127.0.0.1:8080/cb',
      'https://1.example.com/',
      'https://127.example.com/',
      'http://192.0.2.10/x',
    ],
  },
  4731602: {
    finds: [
      'gopher://x.example/_x',
      'dict://x.example:11211/',
      'file:///x',
      'url=file:///x',
      'tftp://x.example/y',
      'netdoc:///x',
      'ldap://x.example/a',
    ],
    passes: [
      'https://x.example',
      'file: attached',
      'see the file:',
      'mailto:a@x.example',
      'ftp://x.example/a',
      'telnet and tcp',
    ],
  },
  4731603: {
    finds: [
      'http://localhost:6379/',
      'http://127.0.0.1:22',
      'http://10.0.0.5:2375/containers',
      'http://192.168.1.1/admin',
      'http://localhost/server-status',
    ],
    passes: [
      'http://localhost:3000/',
      'http://localhost:8080/callback',
      'https://example.com:6379/',
      'http://10.0.0.5/hook',
      'localhost:22',
    ],
  },
  4731604: {
    finds: [
      'http://a.example\\@b.example/',
      'http://a.example#@b.example/',
      'http://a@b@c.example/',
      '/\\evil.example',
      'http://x.example:80@127.0.0.1/',
    ],
    passes: [
      'https://ann:pw@x.example/',
      'https://x.example/@ann',
      'https://x.example/#@a',
      '\\d+',
      'https://x.example/?mail=a@b.example',
    ],
  },
}
