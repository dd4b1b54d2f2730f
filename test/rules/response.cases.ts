import type { Cases } from './cases.ts'

const json = (detail: string) => ({ response: JSON.stringify({ error: 'failed', detail }) })

export const response: Cases = {
  4734000: {
    finds: [
      json('You have an error in your SQL syntax; check the manual'),
      json("Unknown column 'a' in 'field list'"),
      json('SQLSTATE[42S02]: Base table not found'),
      json('near "x": syntax error'),
    ],
    passes: [
      json('Your syntax is unusual'),
      json('SQL is a language'),
      json('no such column of the temple'),
      json('table 5 is free'),
    ],
  },
  4734001: {
    finds: [
      json('PG::UndefinedTable: ERROR'),
      json('org.postgresql.util.PSQLException: ERROR'),
      json('ORA-00933: SQL command not properly ended'),
      json('psycopg2.errors.UndefinedTable: Error'),
    ],
    passes: [json('PG rated'), json('aurora-12345'), json('a relation does not exist'), json('oracle of Delphi')],
  },
  4734002: {
    finds: [
      json('Unclosed quotation mark after the character string'),
      json('System.Data.SqlClient.SqlException'),
      json('Incorrect syntax near x'),
      json('SequelizeDatabaseError: x'),
    ],
    passes: [json('quotation marks'), json('Microsoft Office'), json('correct syntax'), json('the sequel')],
  },
  4734003: {
    finds: [
      json('MongoServerError: E11000 duplicate key error'),
      json('CastError: Cast to ObjectId failed'),
      json('pymongo.errors.X'),
      json('WRONGTYPE Operation against a key holding the wrong kind'),
    ],
    passes: [json('mango error'), json('cast to the role'), json('wrong type'), json('a mongoose')],
  },
  4734010: {
    finds: [
      json('at com.example.shop.Order.load(Order.java:42)'),
      json('Caused by: java.sql.SQLException: x'),
      json('java.lang.NullPointerException: x'),
      { response: '<h1>Whitelabel Error Page</h1>' },
    ],
    passes: [
      json('meet at com.example at noon'),
      json('caused by: rain'),
      json('Java is an island'),
      json('com.example.app'),
    ],
  },
  4734011: {
    finds: [
      json('   at Shop.Api.Load(Int32 id) in C:\\src\\Api.cs:line 42'),
      json('System.NullReferenceException: Object reference'),
      { response: "<h1>Server Error in '/' Application.</h1>" },
    ],
    passes: [json('meet at the shop'), json('system exception: none'), json('error in application')],
  },
  4734012: {
    finds: [
      json('Traceback (most recent call last):'),
      json('File "/app/main.py", line 5, in load'),
      json('django.core.exceptions.X'),
    ],
    passes: [json('trace it back'), json('file main.py, line 5'), json('django unchained')],
  },
  4734013: {
    finds: [
      { response: '<b>Fatal error</b>:  Uncaught Error in <b>/var/www/a.php</b>' },
      json('PHP Fatal error: x'),
      { response: '<b>Warning</b>: x in <b>/a.php</b> on line <b>3</b>' },
    ],
    passes: [json('fatal error: please call us'), json('Warning: wet floor'), json('notice: closed on line 3')],
  },
  4734014: {
    finds: [
      json('at Object.load (/app/src/a.js:10:5)'),
      json('at async handler (file:///app/a.mjs:1:2)'),
      json('TypeError: x\n    at y'),
    ],
    passes: [json('meet at 10:5'), json('TypeError is a class'), json('at home (all day)')],
  },
  4734015: {
    finds: [
      json("app/models/a.rb:10:in `load'"),
      json('goroutine 1 [running]:'),
      json('panic: runtime error: index'),
      json("thread 'main' panicked at src/main.rs"),
    ],
    passes: [json('ruby red'), json("don't panic: relax"), json("the thread 'main' topic")],
  },
  4734020: {
    finds: [
      json('-----BEGIN RSA PRIVATE KEY-----'),
      json('-----BEGIN PRIVATE KEY-----'),
      json('-----BEGIN OPENSSH PRIVATE KEY-----'),
    ],
    passes: [json('-----BEGIN CERTIFICATE-----'), json('-----BEGIN PUBLIC KEY-----'), json('a private key')],
  },
  4734021: {
    finds: [
      json(`aws_secret_access_key = ${'aB3/'.repeat(10)}`),
      json(`ghp_${'aB3d'.repeat(9)}`),
      json(`sk_live_${'aB3d'.repeat(6)}`),
      json('xoxb-123456789012-abcdefghijkl'),
    ],
    passes: [json('AKIAIOSFODNN7EXAMPLE'), json('sk_test_abc'), json('ghp_short'), json('aws access')],
  },
  4734022: {
    finds: [
      { response: 'DB_PASSWORD=x' },
      { response: 'A=1\nAPP_KEY=base64:x' },
      { response: "define('DB_PASSWORD', 'x')" },
    ],
    passes: [json('the db password is secret'), { response: 'my DB_PASSWORD field' }, json('app_key')],
  },
  4734030: {
    finds: [
      { response: '<title>Index of /files</title>' },
      { response: '<title>Directory listing for /</title>' },
      { response: '<a href="/">[To Parent Directory]</a>' },
    ],
    passes: [{ response: '<title>Index of terms</title>' }, json('directory listing'), json('the parent directory')],
  },
  4734031: {
    finds: [
      json('root:x:0:0:root:/root:/bin/bash'),
      json('uid=33(www-data) gid=33(www-data)'),
      json('[boot loader]'),
      json('Volume Serial Number is 1'),
    ],
    passes: [json('root: 0'), json('uid=33'), json('boot loaders'), json('serial number is 5')],
  },
  4734032: {
    finds: [
      { response: '<?php echo 1;' },
      { response: '<title>phpinfo()</title>' },
      { response: '<%@ page language="java" %>' },
    ],
    passes: [json('php info'), { response: '<title>Info</title>' }, json('page language')],
  },
  4734033: {
    finds: [
      { response: '<title>r57shell</title>' },
      { response: '<title>b374k 3.2</title>' },
      { response: 'p0wny@shell:~#' },
    ],
    passes: [{ response: '<title>Shell station</title>' }, json('pony shell'), json('wso 2')],
  },
}

export const response2: Cases = {
  4734040: {
    finds: [json('AKIAIOSFODNN7EXAMPLE'), json(`AIza${'aB3d5'.repeat(7)}`), json('10.1.2.3:8080')],
    passes: [json('AKIA'), json('AIza'), json('10.1.2.3')],
  },
}
