// `npm run demo`: the main job from end to end. The shop starts, the gate is put in front of it, and three calls are shown.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '../src/cli/logger.ts'
import { serve } from '../src/cli/serve.ts'
import { loadConfig } from '../src/config/load.ts'
import { createApiKeys } from '../src/credentials/api-keys.ts'
import { guards } from '../src/guards/index.ts'
import { startShop } from './shop/server.ts'

const say = (text: string) => process.stderr.write(`${text}\n`)
const port = Number(process.env.PORT ?? 8443)
// What the demo makes (certificate, key store, log) lies in a folder of its own, which goes with it.
const stateDir = mkdtempSync(join(tmpdir(), 'portcullis-demo-'))
const shop = await startShop()
const config = await loadConfig({
  file: new URL('./shop/portcullis.yaml', import.meta.url).pathname,
  env: process.env,
  guards: guards as never,
  overrides: {
    listen: [{ port, host: '127.0.0.1', tls: 'development' }],
    store: { url: `sqlite:${join(stateDir, 'state.db')}` },
    telemetry: { logs: { file: join(stateDir, 'activity.ndjson') } },
    apis: { shop: { upstream: shop.url } },
  },
})
const log = await createLogger({ level: 'warn' })
const gate = await serve(config, { log, stateDir })
const { store, now } = gate.foundation
const { key } = await createApiKeys({ store, now }).create({ name: 'demo', scopes: ['orders:read', 'orders:write'] })
const { port: gatePort, authorityFile: ca } = gate.addresses[0]!
const url = `https://localhost:${gatePort}`
const curl = `curl --cacert ${ca}`

say(`
The shop (examples/shop) runs on ${shop.url}, behind a gate that its OpenAPI document built:

  gate         ${url}
  key          ${key}   (scopes orders:read orders:write)
  certificate  ${ca}
  activity     ${join(stateDir, 'activity.ndjson')}

Try, in another terminal:

  # passes: the document lists it and the key may read orders
  ${curl} -H 'X-API-Key: ${key}' ${url}/orders

  # refused by the document (400): no order has a colour, and it needs lines
  ${curl} -H 'X-API-Key: ${key}' -H 'Content-Type: application/json' -d '{"colour":"red"}' ${url}/orders

  # refused by rights (403): the key lacks the scope "admin"
  ${curl} -H 'X-API-Key: ${key}' ${url}/admin/customers

Ctrl-C ends it and removes what it made.`)

let stopping = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (stopping) process.exit(1)
    stopping = true
    void gate
      .stop()
      .then(() => shop.stop())
      .then(() => {
        rmSync(stateDir, { recursive: true, force: true })
        process.exit(0)
      })
  })
}
