import { parseDocument } from 'yaml'
import { evenly, linesOf, type Mirror, openMirror } from './mirror.ts'
import { hashOf, type Place, percentDecode, place, rawRequest, requestOf, type SentRequest } from './place.ts'

/** What an attack is after. The first ten are those that issue 3 names for our own rules. */
export type AttackClass =
  | 'sql'
  | 'nosql'
  | 'command'
  | 'ldap'
  | 'template'
  | 'path'
  | 'ssrf'
  | 'xxe'
  | 'xss'
  | 'code'
  | 'crlf'
  | 'include'
  | 'mixed'
  | 'other'

export interface Attack {
  readonly corpus: string
  readonly class: AttackClass
  readonly payload: string
  readonly place: string
  readonly request: SentRequest
}

/** Payloads of one class in one repository. */
export interface PayloadSource {
  readonly set: 'development' | 'held-out'
  readonly repository: string
  readonly class: AttackClass
  payloads(mirror: Mirror): readonly string[]
}

/*
 * Lists are written for fuzzing: among attacks they hold bare words, single quotes, column numbers. A line counts as an attack when it holds
 * what its class cannot do without, in any of the usual encodings. These tests were written before the rules and know nothing of them.
 */
const sqlWord =
  /\b(?:select|union|or|and|having|order\s+by|group\s+by|exec|execute|waitfor|sleep|benchmark|drop|insert|update|delete|declare|where|like|limit|cast|convert|grant|shutdown|into|from|between|rlike|xor)\b/i
const essentials: Readonly<Record<AttackClass, (payload: string) => boolean>> = {
  // A quote, comment or parenthesis, or a comparison, together with a word of the language; or a quote that a comment follows.
  sql: (text) =>
    (sqlWord.test(text) && /['"`()=<>;]|--|\/\*|#|\|\||&&|@@/.test(text)) || /['"`)]\s*(?:--|#|\/\*|;|\|\|)/.test(text),
  nosql: (text) => /\$[a-z]{2,}|\|\||&&|\breturn\b|\bthis\b|\bdb\./i.test(text),
  // A character that the shell acts on, and something to run.
  command: (text) => /[;|&`$<>(){}\n\\]/.test(text) && /[A-Za-z]{2,}/.test(text),
  ldap: (text) => /[()]/.test(text) && /[*=|&]/.test(text) && /[A-Za-z]{2,}|\)\(|\*\)/.test(text),
  template: (text) => /\{\{|\$\{|<%|#\{|\*\{|@\(|\{%|\[\[|#set|\{php|\$\w+\.|<#|\{[^}\s]+\}/.test(text),
  // A step up that some decoder would read as one, a wrapper's scheme, or a file that is no business of a client.
  path: (text) =>
    /\.\.[\\/]|\/etc\/|\/proc\/|(?:boot|win)\.ini|[a-z]:[\\/]windows|^[a-z.]{3,14}:\/\/|\0/i.test(fullyDecoded(text)),
  ssrf: (text) => /:\/\/|^\/\/|\d+\.\d+|\[|^[a-z]+:/i.test(text),
  xxe: (text) => /<!(?:DOCTYPE|ENTITY)|<xi:include|<xsl:|<\?xml-stylesheet/i.test(text),
  xss: (text) =>
    /<[a-z!?/]|javascript:|vbscript:|data:text|\bon[a-z]{3,}\s*=|(?:alert|prompt|confirm|eval|fetch|import)\s*[(`]|document\.|%3c|&lt;|&#|\\x3c|\\u003c|expression\(/i.test(
      text,
    ),
  code: () => true,
  crlf: (text) => /%0[ad]|\r|\n|%e5%98%8[ad]|%u000[ad]|\\r\\n/i.test(text),
  include: (text) => /<!--#|<esi:/i.test(text),
  mixed: () => true,
  other: () => true,
}

/** Percent-encoding undone up to three times, %uXXXX too, and dots and slashes in more bytes than UTF-8 allows. */
function fullyDecoded(text: string): string {
  let now = text
  for (let round = 0; round < 3; round++)
    now = now
      .replace(/%u00([0-9a-f]{2})/gi, '%$1')
      .replace(/%u(?:2215|ff0f)/gi, '/')
      .replace(/%u(?:2216|ff3c)/gi, '\\')
      .replace(/%uff0e/gi, '.')
      .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return now
    .replace(/\xc0\xae|\xe0\x80\xae|\xf0\x80\x80\xae|\xf8\x80\x80\x80\xae|\xfc\x80\x80\x80\x80\xae/g, '.')
    .replace(/\xc0\xaf|\xe0\x80\xaf|\xf0\x80\x80\xaf|\xf8\x80\x80\x80\xaf|\xfc\x80\x80\x80\x80\xaf/g, '/')
    .replace(/\xc1\x9c/g, '\\')
}

/** Whether a line of a list is an attack at all. */
export function counts(payload: string, kind: AttackClass): boolean {
  const text = percentDecode(payload)
  return (
    payload.length >= 4 &&
    payload.length <= 8192 &&
    /[^\w .,-]/.test(text) &&
    /\w/.test(text) &&
    essentials[kind](payload)
  )
}

const lists =
  (wanted: RegExp, change: (line: string) => string = (line) => line) =>
  (mirror: Mirror) =>
    mirror.readAll(wanted).flatMap((file) => linesOf(file).map(change))

/** Lines between fences of Markdown files. */
const fenced = (wanted: RegExp) => (mirror: Mirror) =>
  mirror
    .readAll(wanted)
    .flatMap((file) => [...file.matchAll(/```[a-z]*\r?\n([\s\S]*?)```/g)].flatMap((block) => linesOf(block[1] ?? '')))

const patt = 'swisskyrepo/PayloadsAllTheThings'
const fuzzdb = 'fuzzdb-project/fuzzdb'
const foospidy = 'foospidy/payloads'
const intruder = '1N3/IntruderPayloads'
const words = 'carlospolop/Auto_Wordlists'
const zaproxy = 'zaproxy/zap-extensions'
const bounty = 'EdOverflow/bugbounty-cheatsheet'
const templates = 'projectdiscovery/fuzzing-templates'
const firewall = 'AikidoSec/firewall-node'

const fileNamed = (line: string) => line.replaceAll('{FILE}', 'etc/passwd')

const unescapeHtml = (line: string) =>
  line
    .replace(/&quot;/g, '"')
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&amp;/g, '&')

export const payloadSources: readonly PayloadSource[] = [
  { set: 'development', repository: patt, class: 'sql', payloads: lists(/^SQL Injection\/Intruder\//) },
  { set: 'development', repository: patt, class: 'nosql', payloads: lists(/^NoSQL Injection\/Intruder\//) },
  {
    set: 'development',
    repository: patt,
    class: 'command',
    payloads: lists(/^Command Injection\/Intruder\//, unescapeHtml),
  },
  { set: 'development', repository: patt, class: 'ldap', payloads: lists(/^LDAP Injection\/Intruder\/LDAP_FUZZ/) },
  {
    set: 'development',
    repository: patt,
    class: 'template',
    payloads: lists(/^Server Side Template Injection\/Intruder\//),
  },
  {
    set: 'development',
    repository: patt,
    class: 'path',
    payloads: lists(/^(?:Directory Traversal|File Inclusion)\/Intruders?\//, fileNamed),
  },
  {
    set: 'development',
    repository: patt,
    class: 'xss',
    payloads: lists(/^XSS Injection\/Intruders\/(?!jsonp|.*event_handlers)/),
  },
  { set: 'development', repository: patt, class: 'xxe', payloads: lists(/^XXE Injection\/Intruders\//) },
  {
    set: 'development',
    repository: patt,
    class: 'include',
    payloads: lists(/^Server Side Include Injection\/Files\//),
  },
  { set: 'development', repository: fuzzdb, class: 'sql', payloads: lists(/^attack\/sql-injection\/.*\.txt$/) },
  { set: 'development', repository: fuzzdb, class: 'nosql', payloads: lists(/^attack\/no-sql-injection\/.*\.txt$/) },
  {
    set: 'development',
    repository: fuzzdb,
    class: 'command',
    payloads: lists(
      /^attack\/os-cmd-execution\/(?:OSCommandInject|command-execution|command-injection|source-disc).*\.txt$/,
      (line) => unescapeHtml(line).replaceAll('{cmd}', 'uname -a'),
    ),
  },
  { set: 'development', repository: fuzzdb, class: 'ldap', payloads: lists(/^attack\/ldap\/.*\.txt$/) },
  {
    set: 'development',
    repository: fuzzdb,
    class: 'path',
    payloads: lists(/^attack\/(?:path-traversal|lfi)\/(?!common-).*\.txt$/, fileNamed),
  },
  {
    set: 'development',
    repository: fuzzdb,
    class: 'xss',
    payloads: lists(/^attack\/xss\/(?:XSSPolyglot|xss-.*)\.txt$/),
  },
  { set: 'development', repository: fuzzdb, class: 'xxe', payloads: lists(/^attack\/xml\/.*\.txt$/) },
  {
    set: 'development',
    repository: fuzzdb,
    class: 'include',
    payloads: lists(/^attack\/server-side-include\/.*\.txt$/),
  },
  {
    set: 'development',
    repository: fuzzdb,
    class: 'crlf',
    payloads: lists(/^attack\/http-protocol\/crlf-injection\.txt$/),
  },
  {
    set: 'development',
    repository: 'payloadbox/sql-injection-payload-list',
    class: 'sql',
    payloads: lists(/^Intruder\/(?!detect\/NoSQL).*\.txt$/),
  },
  {
    set: 'development',
    repository: 'payloadbox/xss-payload-list',
    class: 'xss',
    payloads: lists(/^Intruder\/.*\.txt$/),
  },
  {
    set: 'development',
    repository: 'payloadbox/command-injection-payload-list',
    class: 'command',
    payloads: (mirror) => fenced(/^README\.md$/)(mirror).map(unescapeHtml),
  },
  {
    set: 'development',
    repository: 'payloadbox/ssti-payloads',
    class: 'template',
    payloads: lists(/^Intruder\/ssti-payloads\.txt$/),
  },
  {
    set: 'development',
    repository: 'cr0hn/nosqlinjection_wordlists',
    class: 'nosql',
    payloads: lists(/^mongodb_nosqli\.txt$/),
  },
  {
    set: 'development',
    repository: 'cujanovic/SSRF-Testing',
    class: 'ssrf',
    payloads: (mirror) => lists(/^cloud-metadata\.txt$/)(mirror).filter((line) => !line.startsWith('#')),
  },
  { set: 'development', repository: foospidy, class: 'code', payloads: lists(/^other\/codeinjection\//) },
  {
    set: 'development',
    repository: foospidy,
    class: 'sql',
    payloads: (mirror) =>
      lists(/^other\/sqli\//)(mirror).map(
        (line) => /^\S+: select \* from users where id=['"]?(.*)$/.exec(line)?.[1] ?? line,
      ),
  },
  {
    set: 'development',
    repository: foospidy,
    class: 'xss',
    payloads: lists(/^other\/xss\//, (line) => /^&[\w.]+=(.*)$/.exec(line)?.[1] ?? line),
  },
  {
    set: 'development',
    repository: foospidy,
    class: 'command',
    payloads: lists(/^other\/commandinjection\//, unescapeHtml),
  },

  { set: 'held-out', repository: 'PortSwigger/xss-cheatsheet-data', class: 'xss', payloads: portSwigger },
  { set: 'held-out', repository: 'sqlmapproject/sqlmap', class: 'sql', payloads: sqlmap },
  { set: 'held-out', repository: 'wapiti-scanner/wapiti', class: 'command', payloads: wapiti('exec') },
  { set: 'held-out', repository: 'wapiti-scanner/wapiti', class: 'path', payloads: wapiti('fileHandling') },
  { set: 'held-out', repository: 'wapiti-scanner/wapiti', class: 'sql', payloads: wapiti('blindSQL') },
  { set: 'held-out', repository: 'wapiti-scanner/wapiti', class: 'xss', payloads: wapiti('xss') },
  { set: 'held-out', repository: 'wapiti-scanner/wapiti', class: 'xxe', payloads: wapiti('xxe') },
  {
    set: 'held-out',
    repository: 'wapiti-scanner/wapiti',
    class: 'ldap',
    payloads: (mirror) => iniValues(mirror, 'wapitiCore/data/attacks/ldap.ini'),
  },
  { set: 'held-out', repository: intruder, class: 'sql', payloads: lists(/^FuzzLists\/(?:sqli-|auth_bypass)/) },
  { set: 'held-out', repository: intruder, class: 'command', payloads: lists(/^FuzzLists\/command_exec/) },
  { set: 'held-out', repository: intruder, class: 'path', payloads: lists(/^FuzzLists\/(?:lfi|traversal)/, fileNamed) },
  {
    set: 'held-out',
    repository: intruder,
    class: 'xss',
    payloads: lists(/^FuzzLists\/xss_(?:payloads|remote|funny|find)/),
  },
  { set: 'held-out', repository: 'emadshanab/LFI-Payload-List', class: 'path', payloads: lists(/\.txt$/, fileNamed) },
  { set: 'held-out', repository: 'omurugur/SQL_Injection_Payload', class: 'sql', payloads: lists(/\.txt$/) },
  { set: 'development', repository: words, class: 'sql', payloads: lists(/^wordlists\/sqli\.txt$/) },
  {
    set: 'development',
    repository: words,
    class: 'command',
    payloads: lists(/^wordlists\/command_injection\.txt$/, unescapeHtml),
  },
  { set: 'development', repository: words, class: 'crlf', payloads: lists(/^wordlists\/crlf\.txt$/) },
  {
    set: 'development',
    repository: words,
    class: 'path',
    payloads: lists(/^wordlists\/file_inclusion_.*\.txt$/, fileNamed),
  },
  { set: 'development', repository: words, class: 'include', payloads: lists(/^wordlists\/ssi_esi\.txt$/) },
  { set: 'development', repository: words, class: 'template', payloads: lists(/^wordlists\/ssti\.txt$/) },
  { set: 'development', repository: words, class: 'xss', payloads: lists(/^wordlists\/xss\.txt$/) },
  { set: 'development', repository: words, class: 'xxe', payloads: lists(/^wordlists\/xxe\.txt$/) },
  { set: 'development', repository: zaproxy, class: 'sql', payloads: zap('SqlInjection\\w*') },
  { set: 'development', repository: zaproxy, class: 'nosql', payloads: zap('MongoDbInjection\\w*') },
  { set: 'development', repository: zaproxy, class: 'command', payloads: zap('CommandInjection\\w*|ShellShock') },
  { set: 'development', repository: zaproxy, class: 'ldap', payloads: zap('(?:Ldap|Xpath)Injection') },
  { set: 'development', repository: zaproxy, class: 'template', payloads: zap('Ssti\\w*|ExpressionLanguageInjection') },
  {
    set: 'development',
    repository: zaproxy,
    class: 'path',
    payloads: zap('PathTraversal|SourceCodeDisclosureFileInclusion'),
  },
  { set: 'development', repository: zaproxy, class: 'ssrf', payloads: zap('CloudMetadata|Ssrf') },
  {
    set: 'development',
    repository: zaproxy,
    class: 'xxe',
    payloads: zap('Xxe|XsltInjection|ExponentialEntityExpansion'),
  },
  {
    set: 'development',
    repository: zaproxy,
    class: 'xss',
    payloads: zap('CrossSiteScripting|PersistentXss|OutOfBandXss'),
  },
  { set: 'development', repository: zaproxy, class: 'crlf', payloads: zap('CrlfInjection') },
  { set: 'development', repository: zaproxy, class: 'include', payloads: zap('ServerSideInclude') },
  {
    set: 'development',
    repository: zaproxy,
    class: 'code',
    payloads: (mirror) =>
      zap('CodeInjection|Log4Shell|Spring4Shell|Text4Shell')(mirror).filter(
        (text) => /[$;(]/.test(text) && /\$\{|\(.*\)|class\./.test(text),
      ),
  },
  {
    set: 'development',
    repository: firewall,
    class: 'sql',
    payloads: (mirror) => [
      ...lists(/sql-injection\/payloads\/.*\.txt$/)(mirror),
      ...aikido(/detectSQLInjection[\w.]*\.test\.ts$/, 'isSqlInjection')(mirror),
    ],
  },
  {
    set: 'development',
    repository: firewall,
    class: 'command',
    payloads: aikido(/detectShellInjection\.test\.ts$/, 'isShellInjection'),
  },
  { set: 'held-out', repository: bounty, class: 'sql', payloads: fenced(/^cheatsheets\/sqli\.md$/) },
  { set: 'held-out', repository: bounty, class: 'command', payloads: fenced(/^cheatsheets\/rce\.md$/) },
  { set: 'held-out', repository: bounty, class: 'crlf', payloads: fenced(/^cheatsheets\/crlf\.md$/) },
  { set: 'held-out', repository: bounty, class: 'path', payloads: fenced(/^cheatsheets\/lfi\.md$/) },
  { set: 'held-out', repository: bounty, class: 'ssrf', payloads: fenced(/^cheatsheets\/ssrf\.md$/) },
  { set: 'held-out', repository: bounty, class: 'template', payloads: fenced(/^cheatsheets\/template-injection\.md$/) },
  { set: 'held-out', repository: bounty, class: 'xss', payloads: fenced(/^cheatsheets\/xss\.md$/) },
  { set: 'held-out', repository: bounty, class: 'xxe', payloads: fenced(/^cheatsheets\/(?:xxe|xslt)\.md$/) },
  { set: 'held-out', repository: templates, class: 'sql', payloads: nuclei('sqli') },
  { set: 'held-out', repository: templates, class: 'command', payloads: nuclei('cmdi') },
  { set: 'held-out', repository: templates, class: 'crlf', payloads: nuclei('crlf') },
  { set: 'held-out', repository: templates, class: 'path', payloads: nuclei('lfi') },
  { set: 'held-out', repository: templates, class: 'ssrf', payloads: nuclei('ssrf') },
  { set: 'held-out', repository: templates, class: 'xss', payloads: nuclei('xss') },
  { set: 'held-out', repository: templates, class: 'xxe', payloads: nuclei('xxe') },
  {
    set: 'held-out',
    repository: 'xmendez/wfuzz',
    class: 'sql',
    payloads: lists(/^wordlist\/(?:Injections\/SQL|vulns\/sql_inj)\.txt$/),
  },
  {
    set: 'held-out',
    repository: 'xmendez/wfuzz',
    class: 'path',
    payloads: lists(/^wordlist\/(?:Injections\/Traversal|vulns\/dirTraversal.*)\.txt$/),
  },
  { set: 'held-out', repository: 'xmendez/wfuzz', class: 'xss', payloads: lists(/^wordlist\/Injections\/XSS\.txt$/) },
  { set: 'held-out', repository: 'xmendez/wfuzz', class: 'xxe', payloads: lists(/^wordlist\/Injections\/XML\.txt$/) },
  { set: 'held-out', repository: 'fullhunt/log4j-scan', class: 'code', payloads: log4jScan },
  {
    set: 'held-out',
    repository: 'Puliczek/CVE-2021-44228-PoC-log4j-bypass-words',
    class: 'code',
    payloads: (mirror) => found(mirror, 'README.md', /\$\{\S+\}(?=[\s`"']|$)/gm),
  },
  { set: 'held-out', repository: 'BlackFan/client-side-prototype-pollution', class: 'code', payloads: pollution },
  {
    set: 'held-out',
    repository: 'assetnote/blind-ssrf-chains',
    class: 'ssrf',
    payloads: (mirror) =>
      found(
        mirror,
        'README.md',
        /\b(?:gopher|dict|ldap|file|ftp|tftp):\/\/[^\s`"')]+|http:\/\/(?:localhost|127\.|169\.254)[^\s`"')]*/g,
      ),
  },
  {
    set: 'held-out',
    repository: 'Charlie-belmer/nosqli',
    class: 'nosql',
    payloads: (mirror) => found(mirror, 'data/injectionData.go', /"(?:[^"\\\n]|\\.)*"|`[^`]*`/g).map(unquote),
  },
]

/** Texts between double quotes in files of Java; of those joined by `+` the whole, with 5 for what a variable fills in. */
function literals(mirror: Mirror, wanted: RegExp): readonly string[] {
  const literal = '"(?:[^"\\\\\\n]|\\\\.)*"'
  const part = `(?:${literal}|[A-Za-z_][\\w.]*(?:\\([^()"]*\\))?|\\d+)`
  const joined = new RegExp(`(?:${part}\\s*\\+\\s*)*${literal}(?:\\s*\\+\\s*${part})*`, 'g')
  // Patterns that look for evidence, names of messages and log lines are no payloads.
  const other = /(?:Pattern\.compile|getString|getMessage|LOGGER\.\w+|matches|contains|@\w+)\s*\([^;{]*?[;{]/g
  return mirror
    .readAll(wanted)
    .flatMap((file) => [
      ...file
        .replace(/^\s*(?:\/\/|\/?\*|import |package ).*$/gm, '')
        .replace(other, ';')
        .matchAll(joined),
    ])
    .map(([expression]) =>
      [...expression.matchAll(new RegExp(part, 'g'))]
        .map(([token]) => (token.startsWith('"') ? javaText(token.slice(1, -1)) : /^\d+$/.test(token) ? token : '5'))
        .join(''),
    )
}

const javaText = (text: string) =>
  text
    .replace(/\\u([0-9a-fA-F]{4})/g, (_, hex: string) =>
      Buffer.from(String.fromCharCode(Number.parseInt(hex, 16))).toString('latin1'),
    )
    .replace(/\\(.)/g, (_, letter: string) => ({ n: '\n', r: '\r', t: '\t', 0: '\0' })[letter] ?? letter)
    .replace(/<<<<[A-Z_]+>>>>|\{0\}|%s|%d/g, '1')

/** What ZAP's active scan rules send, as far as it stands in one literal. */
function zap(names: string) {
  return (mirror: Mirror) =>
    literals(mirror, new RegExp(`^addOns/ascanrules(?:Beta|Alpha)?/src/main/java/.*/(?:${names})ScanRule\\.java$`))
}

/** Second arguments of `name(query, input)` in the tests of Aikido's firewall: inputs that it must find. */
function aikido(path: RegExp, name: string) {
  return (mirror: Mirror) =>
    mirror
      .readAll(path)
      .flatMap((file) => [
        ...file.matchAll(
          new RegExp(
            `\\b${name}\\(\\s*(?:"(?:[^"\\\\\\n]|\\\\.)*"|\`[^\`]*\`),\\s*("(?:[^"\\\\\\n]|\\\\.)*"|\`[^\`$]*\`)`,
            'g',
          ),
        ),
      ])
      .map(([, literal = '']) => unquote(literal))
}

/** What templates of nuclei put into parameters: lists below `payloads` and `fuzz`, without what another variable fills in. */
function nuclei(folder: string) {
  return (mirror: Mirror) =>
    mirror.readAll(new RegExp(`^${folder}/.*\\.yaml$`)).flatMap((file) => {
      const found: string[] = []
      const walk = (value: unknown, taken: boolean): void => {
        if (typeof value === 'string' && taken) found.push(value.replace(/\{\{interactsh-url\}\}/g, 'attacker.example'))
        else if (typeof value === 'object' && value !== null)
          for (const [key, member] of Object.entries(value)) walk(member, taken || key === 'payloads' || key === 'fuzz')
      }
      walk(parseDocument(Buffer.from(file, 'latin1').toString(), { logLevel: 'silent' }).toJS(), false)
      return found.filter((text) => !text.includes('{{')).map((text) => Buffer.from(text).toString('latin1'))
    })
}

/** Whole requests that Chaitin's tool holds a firewall against; their classes are not told. */
function blazeAttacks(mirror: Mirror): readonly Attack[] {
  return mirror.readAll(/^testcases\/.*\.black$/).flatMap((file) => {
    const request = rawRequest(file)
    return request === undefined
      ? []
      : [{ corpus: mirror.name, class: 'mixed' as const, payload: file, place: 'as recorded', request }]
  })
}

/** Every match of a pattern in one file. */
function found(mirror: Mirror, path: string, pattern: RegExp): readonly string[] {
  return [...mirror.read(path).matchAll(pattern)].map(([match]) => match)
}

const unquote = (literal: string) =>
  literal.startsWith('`') ? literal.slice(1, -1) : literal.slice(1, -1).replace(/\\(["\\])/g, '$1')

/** The scanner's payloads, its place-holders filled in. */
function log4jScan(mirror: Mirror): readonly string[] {
  return found(mirror, 'log4j-scan.py', /(["'])\$\{.*?\1(?=[,\s\]])/g).map((literal) =>
    literal
      .slice(1, -1)
      .replace(/\{\{callback_host\}\}/g, 'attacker.example')
      .replace(/\{\{random\}\}/g, 'q7x'),
  )
}

/** Queries that reach Object.prototype. */
function pollution(mirror: Mirror): readonly string[] {
  return found(mirror, 'README.md', /[?&#][^\s`|"'<]*(?:__proto__|constructor)[^\s`|"'<]*/g).map((query) =>
    query.slice(1),
  )
}

/** Places that suit a class; each payload takes the first two and one of the others. */
function placesFor(kind: AttackClass, payload: string): readonly Place[] {
  const other = (places: readonly Place[]) => places[hashOf(payload) % places.length]!
  if (kind === 'xxe') return ['xml', 'json']
  // Lists of these are written for URLs.
  if (kind === 'crlf') return ['query', 'path']
  if (kind === 'nosql' && /^\s*\{[\s\S]*\}\s*$/.test(payload) && isJson(payload)) return ['raw']
  // Pollution stands in the names of the query.
  if (kind === 'code' && /__proto__|constructor/.test(payload) && payload.includes('=')) return ['names']
  if (kind === 'nosql' && /^\[\$\w+\]/.test(payload)) return ['names']
  if (kind === 'ssrf') return ['json', 'query', other(['form', 'array'])]
  if (kind === 'path') return ['json', 'query', other(['path', 'form'])]
  return ['json', 'query', other(['form', 'path', 'header', 'cookie', 'array'])]
}

const isJson = (text: string) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const payloadsMax = 700

/** All attacks whose sources are at hand; held-out ones without those that the development set has too. */
export function loadAttacks(): {
  readonly attacks: Record<'development' | 'held-out', Attack[]>
  readonly absent: string[]
} {
  const attacks = { development: [] as Attack[], 'held-out': [] as Attack[] }
  const absent = new Set<string>()
  const known = new Set<string>()
  const mirrors = new Map<string, Mirror | undefined>()
  const mirrorOf = (name: string) => {
    if (!mirrors.has(name)) mirrors.set(name, openMirror(name))
    return mirrors.get(name)
  }
  const ordered = [...payloadSources].sort((a, b) => a.set.localeCompare(b.set))
  for (const source of ordered) {
    const mirror = mirrorOf(source.repository)
    if (mirror === undefined) {
      absent.add(source.repository)
      continue
    }
    const fresh: string[] = []
    for (const payload of source.payloads(mirror)) {
      const key = percentDecode(payload).toLowerCase().replace(/\s+/g, ' ').trim()
      if (known.has(key) || !counts(payload, source.class)) continue
      known.add(key)
      fresh.push(payload)
    }
    // One long list must not outweigh all others.
    for (const payload of evenly(fresh, payloadsMax))
      for (const at of placesFor(source.class, payload))
        attacks[source.set].push({
          corpus: source.repository,
          class: source.class,
          payload,
          place: at,
          request: place(payload, at),
        })
  }
  for (const [repository, set, load] of [
    ['wallarm/gotestwaf', 'held-out', gotestwaf],
    ['nemesida-waf/waf-bypass', 'development', wafBypass],
    ['chaitin/blazehttp', 'held-out', blazeAttacks],
  ] as const) {
    const mirror = mirrorOf(repository)
    if (mirror === undefined) absent.add(repository)
    else attacks[set].push(...load(mirror))
  }
  return { attacks, absent: [...absent] }
}

/** Every `code` and `vector` of the cheat-sheet's JSON files. */
function portSwigger(mirror: Mirror): readonly string[] {
  const found: string[] = []
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) walk(item)
    else if (typeof value === 'object' && value !== null)
      for (const [key, item] of Object.entries(value))
        if ((key === 'code' || key === 'vector') && typeof item === 'string')
          found.push(Buffer.from(item).toString('latin1'))
        else walk(item)
  }
  // Not: what does not work any more, what needs an upload, and what is a property's name without a value.
  for (const file of mirror.readAll(
    /^json\/(?!impossible|file_uploads|content-types|response-content|prototype|dangling).*\.json$/,
  ))
    walk(JSON.parse(Buffer.from(file, 'latin1').toString()))
  return found
}

/** sqlmap's tests with its place-holders filled in, behind the five boundaries it tries first. */
function sqlmap(mirror: Mirror): readonly string[] {
  const fill = (text: string) =>
    text
      .replace(/\[RANDNUM(\d*)\]/g, (_, digit: string) => String(4127 + 31 * Number(digit || 0)))
      .replace(/\[RANDSTR(\d*)\]/g, (_, digit: string) => `kXqz${digit}`)
      .replace(/\[(?:DELIMITER_START|DELIMITER_STOP)\]/g, "'qzvbq'")
      .replace(/\[(?:AT|SPACE|DOLLAR|HASH)_REPLACE\]/g, 'q')
      .replace(/\[SLEEPTIME\]/g, '5')
      .replace(/\[(?:SLEEPTIME_MS|DELAYED)\]/g, '5000')
      .replace(/\[INFERENCE\]/g, 'ORD(MID((SELECT user()),1,1))>64')
      .replace(/\[QUERY\]/g, 'SELECT user()')
      .replace(/\[ORIGVALUE\]/g, '1')
      .replace(/\[ORIGINAL\]/g, '1')
      .replace(/\[GENERIC_SQL_COMMENT\]/g, '-- kXqz')
      .replace(/\[CHAR\]/g, 'NULL')
      .replace(/\[[A-Z_]+\d*\]/g, '1')
  const unescaped = (text: string) =>
    text
      .replace(/&lt;/g, '<')
      .replace(/&gt;/g, '>')
      .replace(/&quot;/g, '"')
      .replace(/&apos;/g, "'")
      .replace(/&amp;/g, '&')
  const found: string[] = []
  for (const path of mirror.files(/^data\/xml\/payloads\/.*\.xml$/)) {
    for (const [, test = ''] of mirror.read(path).matchAll(/<test>([\s\S]*?)<\/test>/g)) {
      const payload = unescaped(/<payload>([\s\S]*?)<\/payload>/.exec(test)?.[1] ?? '')
      const comment = unescaped(/<comment>([\s\S]*?)<\/comment>/.exec(test)?.[1] ?? '')
      const columns = /<columns>/.test(test)
      const core = columns ? 'UNION ALL SELECT NULL,NULL,CONCAT(0x71,user(),0x71),NULL' : payload
      if (core === '') continue
      const where = /<where>(\d)/.exec(test)?.[1] ?? '1'
      const stacked = core.startsWith(';')
      for (const [prefix, suffix] of [
        ['', ''],
        ["'", comment === '' && !columns ? " AND 'kXqz'='kXqz" : ''],
        ["')", comment === '' && !columns ? " AND ('kXqz'='kXqz" : ''],
        ['"', comment === '' && !columns ? ' AND "kXqz"="kXqz' : ''],
        [')', comment === '' && !columns ? ' AND (4127=4127' : ''],
      ] as const) {
        const end = comment === '' ? (columns ? '-- -' : '') : comment
        found.push(where === '3' ? fill(core) : fill(`1${prefix}${stacked ? '' : ' '}${core}${end}${suffix}`))
        if (where === '3') break
      }
    }
  }
  return found
}

/** `payload = …` of Wapiti's attack files, place-holders filled in. */
function wapiti(name: string) {
  return (mirror: Mirror) => iniValues(mirror, `wapitiCore/data/attacks/${name}Payloads.ini`)
}

function iniValues(mirror: Mirror, path: string): readonly string[] {
  const found: string[] = []
  for (const [, block = ''] of mirror.read(path).matchAll(/^payload\s*=\s*(.*(?:\n[ \t]+.*)*)/gm))
    for (const line of block.split(/\n[ \t]+/))
      found.push(
        line
          .replace(/\[VALUE\]|\[DEFAULT\]/g, '1')
          .replace(/\[TAB\]/g, '\t')
          .replace(/\[LF\]/g, '\n')
          .replace(/\[CR\]/g, '\r')
          .replace(/\[NULL\]/g, '\0')
          .replace(/\[TIME\]/g, '5')
          .replace(/\[(?:FILE_NAME|DIRNAME|PATH_ID|PARAM_AS_HEX)\]/g, 'index')
          .replace(/\[(?:EXTERNAL_ENDPOINT|INTERNAL_ENDPOINT)\]|__XSS__DOMAIN__/g, 'https://attacker.example')
          .replace(/\{\w+\}/g, '1'),
      )
  return found.filter((line) => line !== 'None')
}

const gotestwafClass: Readonly<Record<string, AttackClass>> = {
  'sql-injection': 'sql',
  'community-sqli': 'sql',
  'community-8kb-sqli': 'sql',
  'community-16kb-sqli': 'sql',
  'nosql-injection': 'nosql',
  rce: 'command',
  'rce-urlparam': 'command',
  'rce-urlpath': 'command',
  'shell-injection': 'command',
  'community-rce': 'command',
  'community-8kb-rce': 'command',
  'community-16kb-rce': 'command',
  'ldap-injection': 'ldap',
  'sst-injection': 'template',
  'path-traversal': 'path',
  'community-lfi': 'path',
  'xml-injection': 'xxe',
  'community-xxe': 'xxe',
  'xss-scripting': 'xss',
  'community-xss': 'xss',
  'community-8kb-xss': 'xss',
  'community-16kb-xss': 'xss',
  crlf: 'crlf',
  'ss-include': 'include',
  'mail-injection': 'other',
}

/** GoTestWAF's test cases with its own places. Base64 is left out: it is an attack only where an application decodes it. */
function gotestwaf(mirror: Mirror): readonly Attack[] {
  const corpus = 'wallarm/gotestwaf'
  const placeOf: Readonly<Record<string, Place>> = {
    URLPath: 'path',
    URLParam: 'query',
    JSONRequest: 'json',
    JSONBody: 'json',
    Header: 'header',
    HTMLForm: 'form',
    XMLBody: 'xml',
    RequestBody: 'xml',
    SOAPBody: 'xml',
  }
  const found: Attack[] = []
  for (const path of mirror.files(/^testcases\/(?:owasp|community)\/.*\.yml$/)) {
    const name = path.replace(/^.*\//, '').replace(/\.yml$/, '')
    const kind = gotestwafClass[name]
    if (kind === undefined) continue
    // Some files hold escapes that YAML does not know; the rest of the value is read all the same.
    const test = parseDocument(Buffer.from(mirror.read(path), 'latin1').toString(), { logLevel: 'silent' }).toJS() as {
      payload?: unknown[]
      encoder?: string[]
      placeholder?: (string | Record<string, unknown>)[]
    }
    const encoders = new Set(test.encoder ?? ['Plain'])
    if (!encoders.has('URL') && !encoders.has('Plain')) continue
    for (const payload of test.payload ?? []) {
      if (typeof payload !== 'string') continue
      const bytes = Buffer.from(payload).toString('latin1')
      for (const holder of test.placeholder ?? []) {
        const at = placeOf[typeof holder === 'string' ? holder : (Object.keys(holder)[0] ?? '')]
        if (at === undefined) continue
        const request = at === 'xml' && !/^\s*</.test(bytes) ? undefined : place(bytes, at)
        if (request !== undefined) found.push({ corpus, class: kind, payload: bytes, place: at, request })
      }
    }
  }
  return found
}

const wafBypassClass: Readonly<Record<string, AttackClass>> = {
  SQLi: 'sql',
  NoSQLi: 'nosql',
  RCE: 'command',
  LDAP: 'ldap',
  SSTI: 'template',
  LFI: 'path',
  SSRF: 'ssrf',
  XSS: 'xss',
  XXE: 'xxe',
  API: 'sql',
  SSI: 'include',
  RFI: 'other',
  CM: 'other',
  OR: 'other',
  UWA: 'other',
  GraphQL: 'other',
  Misc: 'other',
}

/** Nemesida's waf-bypass with its own zones, each in a request of its own. */
function wafBypass(mirror: Mirror): readonly Attack[] {
  const corpus = 'nemesida-waf/waf-bypass'
  const found: Attack[] = []
  const wanted = /^utils\/payload\/(?!FP\/|MFD\/)\w+\/\d+\.json$/
  const files = mirror.readAll(wanted)
  for (const [index, path] of mirror.files(wanted).entries()) {
    const folder = path.split('/')[2] ?? ''
    const kind = wafBypassClass[folder]
    if (kind === undefined) continue
    for (const { zone, payload, request, blocked } of wafBypassRequests(files[index] ?? '{}'))
      if (blocked) found.push({ corpus, class: kind, payload, place: zone, request })
  }
  return found
}

/** One file of waf-bypass as requests: each zone alone. */
export function wafBypassRequests(
  text: string,
): readonly { zone: string; payload: string; request: SentRequest; blocked: boolean }[] {
  const file = JSON.parse(Buffer.from(text, 'latin1').toString()) as { payload?: Record<string, unknown>[] }
  const made: { zone: string; payload: string; request: SentRequest; blocked: boolean }[] = []
  for (const entry of file.payload ?? []) {
    const blocked = entry.BLOCKED !== false
    for (const [zone, value] of Object.entries(entry)) {
      if (typeof value !== 'string' || value === '') continue
      const payload = Buffer.from(value.replaceAll('%RND%', '7f3a')).toString('latin1')
      const request = wafBypassRequest(zone, payload)
      if (request !== undefined) made.push({ zone: zone.toLowerCase(), payload, request, blocked })
    }
  }
  return made
}

function wafBypassRequest(zone: string, payload: string): SentRequest | undefined {
  const uriSafe = payload.replace(
    /[\s"<>\\^`{|}\x7f-\xff]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
  const line = payload.replace(/[\r\n\0]+/g, ' ').trim()
  switch (zone) {
    case 'URL':
      return requestOf('GET', uriSafe.startsWith('/') ? uriSafe : `/${uriSafe}`)
    case 'ARGS':
      return requestOf('GET', `/v1/search?${uriSafe.replace(/#/g, '%23')}`)
    case 'BODY':
      return isJson(Buffer.from(payload, 'latin1').toString())
        ? requestOf('POST', '/v1/search', [], payload)
        : /^\s*<\?xml|^\s*<!/.test(payload)
          ? requestOf('POST', '/v1/search', [], payload, 'application/xml')
          : requestOf('POST', '/v1/search', [], payload, 'application/x-www-form-urlencoded')
    case 'COOKIE':
      return requestOf('GET', '/v1/search', ['Cookie', `note=${line}`])
    case 'USER-AGENT':
      return requestOf('GET', '/v1/search', ['User-Agent', line])
    case 'REFERER':
      return requestOf('GET', '/v1/search', ['Referer', line])
    case 'HEADER':
      return requestOf('GET', '/v1/search', ['X-Client-Note', line])
    default:
      return undefined
  }
}
