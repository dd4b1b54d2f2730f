import type { Cases } from './cases.ts'

export const path: Cases = {
  4731500: {
    finds: ['../../x', '..\\..\\x', '....//....//x', '/x/../../y', '%2e%2e%2f%2e%2e%2fx'],
    passes: [{ json: '../x.png' }, 'wait ... what', 'a../b', '/.../...', 'v1..v2', './a/./b'],
  },
  4731501: {
    finds: [
      { query: '../x' },
      { query: 'a/../b' },
      { query: '..\\x' },
      { headers: { Cookie: 'file=../x' } },
      { uri: '/v1/files?name=..%2fsecret' },
    ],
    passes: [
      { query: 'a..b' },
      { query: 'so...' },
      { query: '1../2' },
      { json: '../images/a.png' },
      { uri: '/v1/a..b/c' },
    ],
  },
  4731502: {
    finds: [
      '/var/www/../etc/x',
      '../../etc/x',
      'images/../../x',
      '..;/admin',
      'file:///../etc/x',
      '../wp-config.php',
      '/a/../b.php',
    ],
    passes: [{ json: '../src/index' }, 'a..b/c', { json: '../README' }, 'and so on ... /etc', './src/a.ts'],
  },
  4731503: {
    finds: [
      { json: '%252e%252e%252fx' },
      { json: '..%c0%afx' },
      { query: '\xc0\xae\xc0\xae' },
      { json: '%uff0e%uff0e' },
    ],
    passes: ['50%25', '100% of %2', { json: 'https://x.example/a%20b%2Fc' }, 'Àé', '%c3%a9'],
  },
  4731504: {
    finds: [
      '/etc/passwd',
      'file=/etc/shadow',
      '/proc/self/environ',
      'c:\\windows\\win.ini',
      'WEB-INF/web.xml',
      '.ssh/id_rsa',
      '/var/log/apache2/access.log',
      'boot.ini',
    ],
    passes: ['/etc/nginx/conf.d', 'my password', '/var/lib/data', 'c:\\users\\ann', 'shadow of etc', 'process/self'],
  },
  4731505: {
    finds: ['/etc/hosts', '/etc/issue', '/proc/version', '/etc/mysql/my.cnf', '/etc/group', 'file:///etc/hosts'],
    passes: ['edit /etc/hosts on your machine', '/etc/app/config.yaml', 'etc/hosts', '/data/etc/group', '/etc/'],
  },
  4731506: {
    finds: [
      'php://filter/convert.base64-encode/resource=x',
      'phar://x.phar',
      'expect://id',
      'data:text/html,<x',
      'zip://x#y',
      'php://input',
    ],
    passes: ['data:image/png;base64,AAAA', 'https://php.example', 'zip: 12345', 'I expect: nothing', 'glob: *.ts'],
  },
}
