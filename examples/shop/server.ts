import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/*
 * A small shop as somebody might write it before a deadline, with mistakes that a gate has to make good:
 * - it trusts everybody who reaches it, the admin part too (rights),
 * - `/customers/me` answers with the password hash (oversharing),
 * - PATCH /customers/me takes whatever it is given, `role` too (mass assignment),
 * - errors come with a stack trace (internals),
 * - it answers to an old path that no document lists (forgotten version).
 */

interface Order {
  readonly id: string
  readonly customer: string
  status: 'open' | 'paid' | 'sent' | 'cancelled' | 'refunded'
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[]
  readonly note?: string
  readonly cents: number
  readonly createdAt: string
}

interface Customer {
  readonly id: string
  email: string
  name: string
  role: string
  readonly passwordHash: string
}

const products = [
  { sku: 'lantern', name: 'Lantern', cents: 2_400 },
  { sku: 'rope-20m', name: 'Rope, 20 m', cents: 1_850 },
  { sku: 'iron-gate', name: 'Iron gate', cents: 48_000 },
]

/** A running shop. */
export interface Shop {
  readonly url: string
  readonly server: Server
  readonly stop: () => Promise<void>
}

/** Starts the shop on loopback. */
export async function startShop(port = 0): Promise<Shop> {
  const orders = new Map<string, Order>()
  const customers = new Map<string, Customer>()
  const pictures = new Map<string, Buffer>()
  const watchers = new Set<ServerResponse>()

  const server = createServer((request, reply) => {
    void handle(request, reply).catch((error: Error) => {
      // An honest mistake: the stack is of use to nobody but an attacker.
      send(reply, 500, { error: error.message, stack: error.stack })
    })
  })

  async function handle(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://shop')
    const [first = '', second = '', third = '', fourth = ''] = url.pathname.slice(1).split('/')
    const caller = String(request.headers['portcullis-subject'] ?? 'anonymous')
    const route = `${request.method} /${first}${third === '' ? '' : `/:/${third}`}`

    if (route === 'GET /health') return send(reply, 200, { status: 'up' })
    if (url.pathname === '/v0/orders') return send(reply, 200, [...orders.values()])
    if (route === 'GET /products') return send(reply, 200, find(url.searchParams.get('search')))
    if (route === 'GET /products/:/picture') return sendPicture(reply, second)
    if (route === 'PUT /products/:/picture') return putPicture(request, reply, second)
    if (route === 'GET /events') return watch(reply)
    if (first === 'customers' && second === 'me') return me(request, reply, caller)
    if (url.pathname === '/admin/customers') return send(reply, 200, [...customers.values()])
    if (first === 'admin' && second === 'orders' && fourth === 'refund') return refund(reply, third)
    if (url.pathname === '/orders' && request.method === 'GET') {
      const mine = [...orders.values()].filter((order) => order.customer === caller)
      return send(reply, 200, mine.map(shown))
    }
    if (url.pathname === '/orders' && request.method === 'POST') return order(request, reply, caller)
    if (first === 'orders') {
      const found = orders.get(second)
      if (found === undefined) return send(reply, 404, { error: 'no such order' })
      if (third === 'payments') return pay(request, reply, found)
      if (third === 'attachments') {
        const bytes = (await bodyOf(request)).length
        return send(reply, 201, { id: randomUUID(), bytes })
      }
      if (request.method === 'GET') return send(reply, 200, shown(found))
      if (found.status !== 'open') return send(reply, 409, { error: `the order is ${found.status}` })
      found.status = 'cancelled'
      tell(found)
      reply.writeHead(204).end()
      return
    }
    send(reply, 404, { error: 'not found' })
  }

  function find(search: string | null) {
    return products.filter(({ name }) => name.toLowerCase().includes((search ?? '').toLowerCase()))
  }

  function sendPicture(reply: ServerResponse, sku: string): void {
    const picture = pictures.get(sku)
    if (picture === undefined) return send(reply, 404, { error: 'no picture' })
    reply.writeHead(200, { 'content-type': 'image/png', 'content-length': picture.length }).end(picture)
  }

  async function putPicture(request: IncomingMessage, reply: ServerResponse, sku: string): Promise<void> {
    if (!products.some((product) => product.sku === sku)) return send(reply, 404, { error: 'no such product' })
    pictures.set(sku, await bodyOf(request))
    reply.writeHead(204).end()
  }

  async function me(request: IncomingMessage, reply: ServerResponse, id: string): Promise<void> {
    const found: Customer = customers.get(id) ?? {
      id,
      email: 'someone@example.com',
      name: 'Someone',
      role: 'customer',
      passwordHash: '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA',
    }
    customers.set(id, found)
    if (request.method === 'PATCH') Object.assign(found, JSON.parse(String(await bodyOf(request))))
    send(reply, 200, found)
  }

  async function order(request: IncomingMessage, reply: ServerResponse, customer: string): Promise<void> {
    const { lines, note } = JSON.parse(String(await bodyOf(request))) as Pick<Order, 'lines' | 'note'>
    let cents = 0
    for (const { sku, quantity } of lines) {
      const product = products.find((candidate) => candidate.sku === sku)
      if (product === undefined) throw new Error(`no product ${sku} in table products`)
      cents += product.cents * quantity
    }
    const made: Order = {
      id: randomUUID(),
      customer,
      status: 'open',
      lines,
      ...(note === undefined ? {} : { note }),
      cents,
      createdAt: new Date().toISOString(),
    }
    orders.set(made.id, made)
    tell(made)
    send(reply, 201, shown(made), { location: `/orders/${made.id}` })
  }

  async function pay(request: IncomingMessage, reply: ServerResponse, found: Order): Promise<void> {
    const { cardNumber } = JSON.parse(String(await bodyOf(request))) as { cardNumber: string }
    if (found.status !== 'open') return send(reply, 409, { error: `the order is ${found.status}` })
    found.status = 'paid'
    tell(found)
    send(reply, 201, { id: randomUUID(), orderId: found.id, cents: found.cents, card: cardNumber.slice(-4) })
  }

  function refund(reply: ServerResponse, id: string): void {
    const found = orders.get(id)
    if (found === undefined) return send(reply, 404, { error: 'no such order' })
    found.status = 'refunded'
    tell(found)
    send(reply, 200, { id: randomUUID(), orderId: id, cents: -found.cents, card: '0000' })
  }

  function watch(reply: ServerResponse): void {
    reply.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    reply.write('event: hello\ndata: {}\n\n')
    watchers.add(reply)
    reply.on('close', () => watchers.delete(reply))
  }

  function tell(changed: Order): void {
    for (const watcher of watchers) watcher.write(`event: order\ndata: ${JSON.stringify(shown(changed))}\n\n`)
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function shown({ customer: _, ...order }: Order) {
  return order
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function send(reply: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void {
  if (reply.headersSent) return
  reply.writeHead(status, {
    'content-type': 'application/json',
    server: 'shop/1.0',
    'x-powered-by': 'haste',
    ...headers,
  })
  reply.end(JSON.stringify(value))
}

if (import.meta.main) {
  const shop = await startShop(Number(process.env.PORT ?? 3000))
  process.stderr.write(`The shop listens on ${shop.url}\n`)
}
