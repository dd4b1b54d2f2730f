import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'

/** Something that stands between the load generator and the upstream. */
export interface Contender {
  readonly name: string
  /** Headers that a request needs to pass, or to be refused in the way that is measured. */
  readonly headers: Readonly<Record<string, string>>
  readonly port: number
  readonly pid: number
  /** The status that every reply must have. */
  readonly status: number
  readonly stop: () => void
}

/** The upstream's answers: 200 bytes of JSON, 100 KB of JSON. */
export const smallAnswer = JSON.stringify({ id: 7, item: 'lantern', quantity: 3, note: 'x'.repeat(150) })
export const largeAnswer = JSON.stringify({
  items: Array.from({ length: 512 }, (_, id) => ({ id, item: 'lantern', quantity: 3, note: 'x'.repeat(150) })),
})

/** 1 KB of JSON with 48 values, an order of some length. */
export const orderBody = JSON.stringify({
  customer: 'c-1029384756',
  note: 'Leave it at the gate, please.',
  currency: 'EUR',
  express: false,
  lines: Array.from({ length: 11 }, (_, i) => ({
    sku: `iron-gate-${String(i).padStart(4, '0')}`,
    quantity: i + 1,
    cents: 48_000 + i,
    note: 'painted black, lockable',
  })),
})

const nodeBin = process.execPath
const here = new URL('.', import.meta.url).pathname

/** Starts a process on the measured core, its output in a file beside its configuration. */
function start(command: string, args: readonly string[], dir: string, log: string): ChildProcess {
  const out = openSync(join(dir, log), 'w')
  return spawn('taskset', ['-c', core, command, ...args], {
    stdio: ['ignore', out, out],
    env: { ...process.env, GOMAXPROCS: '1', NO_COLOR: '1' },
    cwd: dir,
  })
}

/** The core on which proxies, upstream and load generator share their time, so that noise hits all alike. */
export const core = process.env.BENCH_CORE ?? '1'

function ender(child: ChildProcess): () => void {
  return () => {
    if (child.exitCode === null) child.kill('SIGTERM')
  }
}

/** nginx as the upstream: constant answers, no disk. */
export async function startUpstream(dir: string, port: number): Promise<Contender> {
  mkdirSync(join(dir, 'www'), { recursive: true })
  writeFileSync(join(dir, 'www/large'), largeAnswer)
  const file = join(dir, 'upstream.conf')
  writeFileSync(
    file,
    nginxConfig(
      dir,
      `
    server {
      listen 127.0.0.1:${port} backlog=4096;
      default_type application/json;
      location = /orders/7 { return 200 '${smallAnswer}'; }
      location = /orders { return 200 '${smallAnswer}'; }
      location = /large { alias ${join(dir, 'www/large')}; }
      location / { return 200 '${smallAnswer}'; }
    }`,
    ),
  )
  const child = start('nginx', ['-c', file, '-p', dir], dir, 'upstream.log')
  return contender('upstream', port, child, {})
}

function nginxConfig(dir: string, body: string, modules = ''): string {
  return `${modules}
  daemon off; user root; worker_processes 1; pid ${join(dir, `nginx-${Math.random()}.pid`)}; error_log stderr crit;
  events { worker_connections 4096; }
  http { access_log off; keepalive_requests 1000000; client_body_temp_path ${dir}/tmp; proxy_temp_path ${dir}/tmp2;
    fastcgi_temp_path ${dir}/tmp3; uwsgi_temp_path ${dir}/tmp4; scgi_temp_path ${dir}/tmp5; open_file_cache max=10;
    ${body} }`
}

/** R: see floor.ts. */
export function startFloor(dir: string, port: number, upstream: string): Promise<Contender> {
  return startPeer('R', 'floor.ts', dir, port, [upstream])
}

/** A file of the bench that serves HTTP on the port it is given. */
export async function startPeer(
  name: string,
  file: string,
  dir: string,
  port: number,
  args: readonly string[] = [],
): Promise<Contender> {
  return contender(name, port, start(nodeBin, [join(here, file), String(port), ...args], dir, `${file}.log`), {})
}

/** Debian's package of the Core Rule Set. */
export const debianRules = ['/etc/modsecurity/crs/crs-setup.conf', '/usr/share/modsecurity-crs/rules/*.conf']

/** nginx as a plain proxy with kept connections, with ModSecurity where rule files are given. */
export async function startNginx(
  dir: string,
  port: number,
  upstream: string,
  ruleFiles?: readonly string[],
): Promise<Contender> {
  const modsecurity = ruleFiles !== undefined
  const name = modsecurity ? 'nginx + ModSecurity' : 'nginx'
  const file = join(dir, `${modsecurity ? 'modsecurity' : 'proxy'}.conf`)
  const rules = modsecurity ? `modsecurity on; modsecurity_rules_file ${writeModsecurity(dir, ruleFiles)};` : ''
  writeFileSync(
    file,
    nginxConfig(
      dir,
      `upstream behind { server ${upstream.replace('http://', '')}; keepalive 256; keepalive_requests 1000000; }
    server { listen 127.0.0.1:${port} backlog=4096; ${rules}
      location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
      modsecurity ? 'load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;' : '',
    ),
  )
  return contender(name, port, start('nginx', ['-c', file, '-p', dir], dir, `${name.replace(/ .*/, '')}.log`), {})
}

function writeModsecurity(dir: string, ruleFiles: readonly string[]): string {
  const file = join(dir, 'modsecurity-rules.conf')
  writeFileSync(
    file,
    `SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecAuditEngine Off
${ruleFiles.map((file) => `Include ${file}`).join('\n')}
`,
  )
  return file
}

/** Caddy as a plain proxy. */
export async function startCaddy(dir: string, port: number, upstream: string): Promise<Contender> {
  const file = join(dir, 'Caddyfile')
  writeFileSync(file, `{\n admin off\n auto_https off\n}\nhttp://127.0.0.1:${port} {\n reverse_proxy ${upstream}\n}\n`)
  return contender(
    'Caddy',
    port,
    start('caddy', ['run', '--config', file, '--adapter', 'caddyfile'], dir, 'caddy.log'),
    {},
  )
}

// Never used up, but counted all the same.
export const plenty = {
  default: { rate: '1000000000/min', key: 'principal' },
  anonymous: { rate: '1000000000/min', key: 'ip' },
}
const off = { mode: 'off' }

/** An API's settings with which the gate does no more than any proxy: routing, request id, activity log, metrics, a limit. */
export const bare = {
  limits: plenty,
  auth: [],
  waf: off,
  validate: { request: 'off', response: 'off' },
  headers: off,
  errors: off,
  trace: off,
  identityHeaders: { send: [] },
  queryCredentials: off,
}

/** What a configuration of the gate is asked to do. */
export interface GateConfiguration {
  readonly name: string
  readonly api: object
  readonly root?: object
  /** In place of the one API that `api` and `document` describe. */
  readonly apis?: object
  readonly headers?: Readonly<Record<string, string>>
  readonly status?: number
  readonly document?: object
}

/** The gate itself, as users start it. */
export async function startGate(
  dir: string,
  port: number,
  upstream: string,
  given: GateConfiguration,
): Promise<Contender> {
  const home = join(dir, `gate-${port}`)
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'openapi.json'), JSON.stringify(given.document ?? document))
  writeFileSync(
    join(home, 'portcullis.yaml'),
    JSON.stringify({
      version: 1,
      listen: [{ port, host: '127.0.0.1', tls: 'off' }],
      telemetry: { metrics: `127.0.0.1:${port + 1000}` },
      ...given.root,
      apis: given.apis ?? { bench: { openapi: './openapi.json', upstream, ...given.api } },
    }),
  )
  const child = start(nodeBin, [join(here, '../bin/portcullis.js'), 'start'], home, 'gate.log')
  return contender(given.name, port, child, given.headers ?? {}, given.status ?? 200)
}

/** Makes an API key in a gate's folder. */
export function makeKey(dir: string, port: number, scopes: readonly string[]): string {
  const home = join(dir, `gate-${port}`)
  const made = spawnSync(
    nodeBin,
    [
      join(here, '../bin/portcullis.js'),
      'key',
      'create',
      'bench',
      '--json',
      ...scopes.flatMap((scope) => ['--scope', scope]),
    ],
    { cwd: home, encoding: 'utf8' },
  )
  return (JSON.parse(made.stdout) as { key: string }).key
}

async function contender(
  name: string,
  port: number,
  child: ChildProcess,
  headers: Readonly<Record<string, string>>,
  status = 200,
): Promise<Contender> {
  const end = Date.now() + 20_000
  for (;;) {
    try {
      await fetch(`http://127.0.0.1:${port}/orders/7`, { headers })
      break
    } catch {
      if (Date.now() > end || child.exitCode !== null) throw new Error(`${name} does not listen on port ${port}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  return { name, port, pid: workerOf(child.pid!, name), headers, status, stop: ender(child) }
}

/** nginx serves from a worker; everything else from the process that was started (taskset replaces itself by it). */
function workerOf(pid: number, name: string): number {
  if (!name.startsWith('nginx') && name !== 'upstream') return pid
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return Number(children.split(' ')[0]) || pid
}

const order = {
  type: 'object',
  required: ['customer', 'lines'],
  properties: {
    customer: { type: 'string', maxLength: 40 },
    note: { type: 'string', maxLength: 200 },
    currency: { type: 'string', enum: ['EUR', 'USD'] },
    express: { type: 'boolean' },
    lines: {
      type: 'array',
      maxItems: 100,
      items: {
        type: 'object',
        required: ['sku', 'quantity'],
        properties: {
          sku: { type: 'string', pattern: '^[a-z0-9-]{1,40}$' },
          quantity: { type: 'integer', minimum: 1, maximum: 1000 },
          cents: { type: 'integer', minimum: 0 },
          note: { type: 'string', maxLength: 100 },
        },
      },
    },
  },
}
const made = {
  type: 'object',
  required: ['id'],
  properties: {
    id: { type: 'integer' },
    item: { type: 'string', maxLength: 100 },
    quantity: { type: 'integer' },
    note: { type: 'string', maxLength: 500 },
  },
}
const jsonOf = (schema: object) => ({ 'application/json': { schema } })

/** The bench's API: the same operations behind a scope, and open to everybody. */
export function documentOf(security: object[]): object {
  return {
    openapi: '3.1.0',
    info: { title: 'Bench', version: '1' },
    components: {
      securitySchemes: {
        key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        token: { type: 'http', scheme: 'bearer' },
      },
    },
    paths: {
      '/orders/{id}': {
        get: {
          operationId: 'getOrder',
          security,
          parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer' } }],
          responses: { 200: { description: 'One.', content: jsonOf(made) } },
        },
      },
      '/orders': {
        post: {
          operationId: 'createOrder',
          security,
          requestBody: { required: true, content: jsonOf(order) },
          responses: { 200: { description: 'Made.', content: jsonOf(made) } },
        },
      },
      '/large': {
        get: {
          operationId: 'getLarge',
          security,
          responses: {
            200: {
              description: 'Many.',
              content: jsonOf({ type: 'object', properties: { items: { type: 'array', items: made } } }),
            },
          },
        },
      },
    },
  }
}

const document = documentOf([])

/** A token issuer with one RS256 key, for the rows with tokens. */
export async function startIssuer(): Promise<{
  readonly url: string
  readonly token: (n: number) => string
  readonly stop: () => void
}> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'bench', use: 'sig', alg: 'RS256' }
  let url = ''
  const server = createServer((request, reply) => {
    reply.writeHead(200, { 'content-type': 'application/json' })
    reply.end(JSON.stringify(request.url === '/jwks' ? { keys: [jwk] } : { issuer: url, jwks_uri: `${url}/jwks` }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  return { url, token: (n) => signToken(privateKey, url, n), stop: () => server.close() }
}

function signToken(key: KeyObject, issuer: string, n: number): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    iss: issuer,
    aud: 'bench',
    sub: `user-${n}`,
    iat: now,
    exp: now + 86_400,
    scope: 'orders',
    jti: String(n),
  }
  const input = `${encode({ alg: 'RS256', kid: 'bench', typ: 'at+jwt' })}.${encode(claims)}`
  return `${input}.${createSign('RSA-SHA256').update(input).sign(key, 'base64url')}`
}
