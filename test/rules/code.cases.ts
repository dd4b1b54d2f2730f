import type { Cases } from './cases.ts'

export const code: Cases = {
  4731900: {
    finds: ['<?php phpinfo();', '<?= 1 ?>', '<? system("id") ?>', '<?php echo 1 ?>'],
    passes: ['why <? because', 'php tutorial', '<?xml version="1.0"?>', '[phpBB] forum'],
  },
  4731901: {
    finds: [
      'phpinfo()',
      "system('id')",
      '$_GET[x]',
      "shell_exec('x')",
      '${@print(md5(1))}',
      "eval(base64_decode('x'))",
      'file_get_contents("x")',
    ],
    passes: ['the system (new)', 'mail(at)x.example', 'print (A4)', 'include (all)', 'copy (2)', 'eval (end of year)'],
  },
  4731902: {
    finds: ['O:8:"stdClass":1:{s:1:"a";i:1;}', 'C:5:"Hello":3:{abc}', 'a:1:{i:0;O:4:"User":0:{}}'],
    passes: ['O: 8: 1', 'at 10:30: {x}', 'a:1:{i:0;i:1;}', 'CO:2:"x"'],
  },
  4731910: {
    finds: [
      '${jndi:ldap://x.example/a}',
      '${${lower:j}ndi:x}',
      '${${::-j}${::-n}}',
      '${${env:X:-j}ndi:x}',
      { headers: { 'User-Agent': '${jndi:dns://x.example}' } },
      '%24%7bjndi:x}',
    ],
    passes: ['${HOME}', '${env:HOME}/x', 'jndi look-ups', '${a}/${b}', '${VERSION:-1.0}', 'use ldap: yes'],
  },
  4731911: {
    finds: [
      'java.lang.Runtime',
      'x.getRuntime().exec',
      'new ProcessBuilder("id")',
      'javax.script.ScriptEngineManager',
      'org.apache.commons.collections.x',
      'com.sun.rowset.JdbcRowSetImpl',
    ],
    passes: [
      'java.lang.RuntimeException: x',
      'java.util.List',
      'org.apache.maven',
      'runtime of the film',
      'com.example.process',
      'at java.lang.Thread.run(Thread.java:829)',
    ],
  },
  4731912: {
    finds: [
      '#_memberAccess',
      '@java.lang.Runtime@x',
      { uri: '/x?class.module.classLoader.a=1' },
      '#context["x"]',
      'redirect:${x}',
      '(#cmd=1)',
    ],
    passes: ['#session notes', 'a #request from us', 'class loader', 'redirect: yes', '#process', 'first class.'],
  },
  4731913: {
    finds: ['rO0ABXNyAA==', 'aced00057372', { query: '\xac\xed\x00\x05' }, 'x=rO0ABQ=='],
    passes: ['rOOAB', 'aGVsbG8gd29ybGQ=', 'faced0005', 'xrO0ABx', 'H4sIAAAAAAAA'],
  },
  4731914: {
    finds: [
      { body: '{"@type":"com.sun.rowset.JdbcRowSetImpl"}' },
      { body: '{"a":{"@class":"javax.swing.X"}}' },
      { body: '{"@type":"java.net.Inet4Address"}' },
    ],
    passes: [
      { body: '{"@type":"Person","@context":"https://schema.org"}' },
      { body: '{"@class":"row"}' },
      { body: '{"type":"java.util.List"}' },
    ],
  },
  4731915: {
    finds: [
      'System.Diagnostics.Process',
      '!!python/object/apply:os.system',
      '--- !ruby/object:X',
      '_$$ND_FUNC$$_function(){}',
      'AAEAAAD/////AQAAAAAAAAAM',
      'System.Windows.Data.ObjectDataProvider',
    ],
    passes: ['System.String', '!!important', 'ruby object', 'python object', 'the process of diagnostics', 'AAEAAAD'],
  },
  4731920: {
    finds: [
      { body: '{"__proto__":{"a":1}}' },
      { uri: '/x?__proto__[a]=1' },
      { uri: '/x?constructor[prototype][a]=1' },
      { body: '{"constructor":{"prototype":{"a":1}}}' },
    ],
    passes: [
      { body: '{"proto":1,"constructor":"Ferrari"}' },
      { uri: '/x?constructor=mclaren' },
      { body: '{"prototype":{"a":1}}' },
      { uri: '/x?my__proto__x=1' },
    ],
  },
  4731921: {
    finds: [
      '{"__proto__": {"a":1}}',
      'a.__proto__.b=1',
      'x["__proto__"]["y"]',
      '{"constructor": {"prototype": {}}}',
      '__proto__[x]=1',
    ],
    passes: ['the __proto__ property', 'constructor of the prototype', 'Object.assign({}, a)', 'proto = 1'],
  },
  4731922: {
    finds: [
      "require('child_process')",
      'process.mainModule',
      "require('fs').readFileSync('/x')",
      'global.process',
      "constructor.constructor('return 1')",
      'execSync("id")',
    ],
    passes: [
      "require('openai')",
      'process.env.KEY',
      'global processes',
      'we require "fs" skills',
      'execute sync',
      'process of binding',
    ],
  },
  4731930: {
    finds: [
      "__import__('os')",
      "os.system('id')",
      "subprocess.Popen('x')",
      "open('/etc/x')",
      "Kernel.system('x')",
      'pickle.loads(x)',
    ],
    passes: ['the os: system x', 'import os', 'open (24h)', 'os.getenv("X")', 'process.exit', 'kernel 6.1'],
  },
}
