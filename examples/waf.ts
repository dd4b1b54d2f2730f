// node examples/waf.ts: the WAF as a library, without gate, files or sockets.
import { compileProgram, createInjectionDetector, parseRules } from '../src/waf/index.ts' // in your project: 'portcullis/waf'

const rules = parseRules([
  {
    name: 'my.conf',
    text: `
      SecRuleEngine On
      SecRequestBodyAccess On
      SecRule ARGS "@detectSQLi" \\
          "id:1,phase:2,deny,status:403,t:urlDecodeUni,msg:'SQL injection',logdata:'%{MATCHED_VAR_NAME}',severity:CRITICAL"
      SecRule REQUEST_HEADERS:User-Agent "@pm sqlmap nikto" "id:2,phase:1,pass,t:lowercase,setvar:tx.score=+5,msg:'Scanner'"
    `,
  },
])

// Once, at start: patterns become automata, targets become look-ups. Any number of requests then share the program.
const program = compileProgram(rules, { injection: createInjectionDetector(), now: Date.now })

// Once per request. All text is bytes (latin1), as node's rawHeaders and url are.
const transaction = program.begin({
  method: 'POST',
  uri: '/login?next=%2F',
  protocol: 'HTTP/1.1',
  headers: ['Host', 'shop.example', 'User-Agent', 'sqlmap/1.8', 'Content-Type', 'application/json'],
  client: { address: '192.0.2.7', port: 40_000 },
  server: { address: '198.51.100.1', port: 443 },
  id: 'req_1',
  receivedAt: Date.now(),
})

const stopped = transaction.requestHead() ?? transaction.requestBody(Buffer.from(`{"user":"ada' OR '1'='1"}`))
transaction.end()

for (const { rule, message, variable } of transaction.matches) console.log(`${rule.id} ${message}: ${variable}`)
console.log(`score ${transaction.variable('score')}, ${stopped ? `${stopped.action} ${stopped.status}` : 'passed'}`)
