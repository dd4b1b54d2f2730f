import type { Cases } from './cases.ts'

export const sql: Cases = {
  4731000: {
    finds: ["1' or sleep(5)#", "x' union select password from users--", '1; drop table orders', "1' having 1=1--"],
    passes: [
      "logical notion of 'and'",
      'src/*',
      'tag1="value1" and tag2="value2"',
      'const a = require("openai");\nconst b = new Configuration({ key: 1 });',
    ],
  },
  4731001: {
    finds: [
      '1 union select null,null',
      '1 UNION/**/ALL/**/SELECT user,password from users',
      '-1 union(select 1,2)',
      "x' union distinct select @@version",
    ],
    passes: [
      'the union selects its delegates',
      'union was a great select',
      'European Union: select a country',
      'credit union select members only',
    ],
  },
  4731002: {
    finds: ['1 or 1=1', "' or 'a'='a", '5 and 3409=3410', '") or ("x")=("x', '7 || 1==1', "' or 'x' like 'x"],
    passes: [
      'total > 5 and status = 3',
      "name eq 'x' or name eq 'y'",
      '3 in 4 adults and 1 in 5 children',
      'size = 10 or colour = 7',
      "project = 'A' AND assignee = 'B'",
    ],
  },
  4731003: {
    finds: ["' or true--", "admin' or 1=1", "x') and (select 1)", '" or username is null', "1' and user()"],
    passes: [
      "O'Brien or Smith",
      '"And it is done," she said',
      "'70s or '80s?",
      "rock 'n' roll and jazz",
      '5" or 6" screens',
    ],
  },
  4731004: {
    finds: ["admin'--", "admin' #", 'root"/*', "x');--", "admin' -- -"],
    passes: ["dogs'", 'the "end"', "it's #1", 'see "notes"', "James' -- the first"],
  },
  4731005: {
    finds: [
      '1; drop table users',
      "1'; exec master..xp_cmdshell 'dir'",
      "x'; insert into admins values(1)",
      '1; update users set role=1',
      "'; shutdown",
      "a', 'b'), ('c', 'd'); --",
    ],
    passes: [
      'Sort them; drop the rest at the table',
      'Ann; select the blue one',
      'first; update us, then set off',
      'a <a@example.com>; select <b@example.org>',
      'boil; delete from the list what is missing',
    ],
  },
  4731006: {
    finds: [
      "1' and sleep(5)--",
      '1;select pg_sleep(10)',
      "1'; waitfor delay '0:0:5'--",
      "1 or benchmark(5000000,md5('a'))",
      "dbms_pipe.receive_message('a',10)",
    ],
    passes: [
      'I need sleep (8 hours)',
      'await sleep(1000)',
      'time.sleep(5)',
      'sleep well',
      'please wait for delay notices',
    ],
  },
  4731007: {
    finds: [
      '1 and 1 in (select table_name from information_schema.tables)',
      'x from sysobjects',
      "1' and exists(select * from pg_shadow)",
      'join sqlite_master',
      'from mysql.user',
    ],
    passes: [
      'news from all users',
      'from the master table',
      'mail from dual-boot owners',
      'join the user tables at noon',
      'the information schema of the library',
    ],
  },
  4731008: {
    finds: [
      '1 and extractvalue(1,concat(0x7e,version()))',
      "1' and updatexml(1,1,1)",
      "load_file('/x')",
      '1 into outfile 1',
      '@@version',
      "exec xp_cmdshell 'dir'",
    ],
    passes: [
      '"row_count": 5',
      'a polygon (5 sides)',
      'group concatenation',
      'version @2',
      { body: '{"list_limits":{"row_count":10,"char_index":2}}' },
    ],
  },
  4731009: {
    finds: [
      '1 and (select count(*) from users)>0',
      "'||(select user)||'",
      '1=(select 1)',
      '1 or (select(0)from(select(sleep(15)))v)',
      'if((select user()),1,0)',
    ],
    passes: [
      '/var/lib/select-849.json',
      '(select one of the below)',
      'role/select/select-*',
      '"select" and "union" are words',
      'Please (select from the list)',
    ],
  },
  4731010: {
    finds: [
      '1 and ascii(substr(user(),1,1))>64',
      "' or if(1=1,1,0)",
      '1 and case when (1=1) then 1 else 0 end',
      "x' and mid(version(),1,1)='5",
      '1 or length(database())=5',
    ],
    passes: [
      "length(Name) eq 5 and contains(City,'x')",
      'exists(f:a) or exists(f:b)',
      "startswith(name,'select') and year(date) eq 2024",
      'in case it rains, when do we then end?',
      'left (or right) and count on it',
    ],
  },
  4731011: {
    finds: ["1' order by 10--", '1 order by 5', "x' group by 1,2--", '1 having 1=1', "' order by 3#"],
    passes: ['order by phone', 'sorted in order by 5 people', 'please order by 5 pm', 'group by hand', 'having 2 cats'],
  },
  4731012: {
    finds: ['1/**/union/**/select/**/1', 'or/*x*/1=1', '/*!50000union*/ select', '1 and/**/1', 'se/**/lect'],
    passes: ['/order/*', '/*! jQuery v3.7 */', 'src/all/*.js', '*/order/', 'read and/or write'],
  },
  4731013: {
    finds: [
      'char(88)+char(89)',
      'chr(65)||chr(66)',
      'concat(0x7171717171,1)',
      'select unhex(0x61646d696e)',
      "'a'||'b'||'c'",
      'char(97,100,109)',
    ],
    passes: ['char(20)', 'varchar(255)', '0x7f3a9c', 'colour 0xffeedd', "'a' + b + 'c'"],
  },
}
