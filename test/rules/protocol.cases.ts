import type { Cases } from './cases.ts'

export const protocol: Cases = {
  4730003: {
    finds: [
      { body: '{"a":' },
      { body: '{"a":1}}' },
      { xml: '<a><b></a>' },
      { xml: '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///x">]><a>&x;</a>' },
    ],
    passes: [{ body: '{"a":1}' }, { body: '[]' }, { xml: '<a><b/></a>' }, { form: 'a=1' }],
  },
  4730100: {
    finds: [{ headers: { Proxy: 'http://x.example' } }, { headers: { proxy: 'x' } }, { headers: { PROXY: '' } }],
    passes: [
      { headers: { 'Proxy-Authorization': 'Basic x' } },
      { headers: { 'X-Proxy': 'x' } },
      { headers: { Via: 'proxy' } },
    ],
  },
  4730101: {
    finds: [
      { headers: { 'X-HTTP-Method-Override': 'TRACE' } },
      { headers: { 'X-HTTP-Method': 'connect' } },
      { headers: { 'X-Method-Override': 'DEBUG' } },
    ],
    passes: [
      { headers: { 'X-HTTP-Method-Override': 'PATCH' } },
      { headers: { 'X-HTTP-Method': 'DELETE' } },
      { headers: { 'X-Trace': 'TRACE' } },
    ],
  },
  4730102: {
    finds: [
      { headers: { Range: 'bytes=0-1,1-2,2-3,3-4,4-5,5-6,6-7' } },
      { headers: { Range: `bytes=${'0-,'.repeat(20)}1-` } },
      { headers: { 'Request-Range': 'bytes=1-2,1-2,1-2,1-2,1-2,1-2,1-2' } },
    ],
    passes: [
      { headers: { Range: 'bytes=0-499' } },
      { headers: { Range: 'bytes=0-1,5-6,9-10' } },
      { headers: { Range: 'bytes=-500' } },
    ],
  },
  4730103: {
    finds: [
      { headers: { 'Content-Type': 'application/x-www-form-urlencoded; charset=ibm037' } },
      { headers: { 'Content-Type': 'text/plain; charset="utf-7"' } },
      { headers: { 'Content-Type': 'text/plain;charset=cp875' } },
    ],
    passes: [
      { headers: { 'Content-Type': 'application/json; charset=utf-8' } },
      { headers: { 'Content-Type': 'text/plain; charset=iso-8859-1' } },
      { headers: { 'Content-Type': 'text/plain' } },
    ],
  },
  4730104: {
    finds: [
      { headers: { 'Content-Type': 'application/x-java-serialized-object' } },
      { headers: { 'Content-Type': 'application/x-httpd-php' } },
      { headers: { 'Content-Type': 'application/x-java-rmi' } },
    ],
    passes: [
      { headers: { 'Content-Type': 'application/json' } },
      { headers: { 'Content-Type': 'application/java-archive' } },
      { headers: { 'Content-Type': 'application/octet-stream' } },
    ],
  },
  4730105: {
    finds: [{ uri: '/a?b=c%00d' }, { uri: '/a%00.php' }, { headers: { Cookie: 'a=b%00c' } }, { uri: '/a?b%00=1' }],
    passes: [{ uri: '/a?b=c%20d' }, { json: '100%00' }, { uri: '/a0.php' }],
  },
  4730108: {
    finds: [
      { part: 'Content-Transfer-Encoding: base64' },
      { part: 'content-transfer-encoding:quoted-printable' },
      { part: 'Content-Transfer-Encoding: x-uuencode' },
    ],
    passes: [
      { part: 'Content-Transfer-Encoding: binary' },
      { part: 'Content-Transfer-Encoding: 8bit' },
      { part: 'Content-Type: text/plain' },
    ],
  },
  4730109: {
    finds: [
      { part: 'Content-Type: text/plain; charset=utf-7' },
      { part: 'Content-Type: text/plain;charset="ibm500"' },
      { part: 'content-type: application/json; charset=cp037' },
    ],
    passes: [
      { part: 'Content-Type: text/plain; charset=utf-8' },
      { part: 'Content-Type: text/plain; charset=iso-8859-1' },
      { part: 'Content-Type: application/json' },
    ],
  },
  4730200: {
    finds: [
      { headers: { 'User-Agent': 'sqlmap/1.8' } },
      { headers: { 'User-Agent': 'Mozilla/5.0 (compatible; Nuclei)' } },
      { headers: { 'User-Agent': 'Nikto/2.5' } },
      { headers: { 'User-Agent': 'gobuster/3.6' } },
    ],
    passes: [
      { headers: { 'User-Agent': 'okhttp/4.12' } },
      { headers: { 'User-Agent': 'Zapier' } },
      { headers: { 'User-Agent': 'curl/8.5' } },
      { headers: { 'User-Agent': 'python-requests/2.32' } },
    ],
  },
  4730201: {
    finds: [
      { headers: { 'User-Agent': 'Mozilla/5.0 (compatible; Nmap Scripting Engine)' } },
      { headers: { 'User-Agent': 'Fuzz Faster U Fool v2' } },
      { headers: { 'User-Agent': 'Mozilla/5.0 SF/2.10' } },
    ],
    passes: [
      { headers: { 'User-Agent': 'PostmanRuntime/7.4' } },
      { headers: { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64)' } },
      { headers: { 'User-Agent': 'Go-http-client/2.0' } },
    ],
  },
  4730202: {
    finds: [
      'http://abc.oast.fun/',
      'x.burpcollaborator.net',
      'https://a.interact.sh',
      { headers: { Referer: 'http://q.dnslog.cn/' } },
    ],
    passes: ['toast.fun', 'https://interact.shop.example', 'oast of London', 'http://oast.example'],
  },
  4730203: {
    finds: [
      { uri: '/.git/config' },
      { uri: '/.env' },
      { uri: '/wp-login.php' },
      { uri: '/backup.zip' },
      { uri: '/actuator/heapdump' },
      { uri: '/a/web.config' },
    ],
    passes: [
      { uri: '/environment' },
      { uri: '/git/config' },
      { uri: '/actuator/health' },
      { uri: '/backups/5' },
      { uri: '/.well-known/security.txt' },
      { uri: '/files/report.pdf' },
    ],
  },
}
