import type { IncomingHttpHeaders } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Exchange } from './exchange.ts'
import type { Ending } from './flight.ts'
import { upstreamHeaders, upstreamPath } from './forward.ts'
import { replyHeadersFor, runPhase } from './program.ts'
import { denialReply } from './reply.ts'
import type { Route } from './router.ts'
import { upstreamDenial } from './upstream.ts'
import { type Denial, denial, type Verdict } from './verdict.ts'

const notUpgraded = denial(502, 'upstream.not-upgraded', 'The service behind the gate did not switch protocols.')
const answered = denial(403, 'gate.upgrade-refused', 'This connection may not be upgraded.')

/** Writes a refusal over a socket that has left HTTP's hands, and ends it. */
export function refuseUpgrade(socket: Duplex, refusal: Denial, id: string, common: readonly string[]): void {
  const { headers, body } = denialReply(refusal, id, undefined, common)
  headers.push('connection', 'close')
  socket.on('error', () => {})
  socket.end(head(refusal.status, headers) + body)
}

function head(status: number, flat: readonly string[]): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`
  for (let i = 0; i < flat.length; i += 2) text += `${flat[i]}: ${flat[i + 1]}\r\n`
  return `${text}\r\n`
}

/**
 * An upgrade (RFC 9110, 7.8) through the same program as any request: the same guards speak before the upstream hears of
 * it. Once both sides have switched, bytes pass both ways with backpressure until one of them ends.
 */
export function openTunnel(
  exchange: Exchange,
  route: Route,
  socket: Duplex,
  early: Buffer,
  land: (ending: Ending) => void,
): void {
  const startedAt = performance.now()
  let over = false
  let upstreamSocket: Duplex | undefined
  let controller: Dispatcher.DispatchController | undefined
  let headMs: number | undefined
  let fromCaller = early.length
  let toCaller = 0
  let giveBack: (() => void) | undefined

  const finish = (status: number, responseHeaders: readonly string[], fault: string | undefined) => {
    if (over) return
    over = true
    giveBack?.()
    land({ status, requestBytes: fromCaller, responseBytes: toCaller, upstreamMs: headMs, responseHeaders, fault })
  }
  const refuse = (refusal: Denial) => {
    if (over) return
    exchange.denial = refusal
    const always = replyHeadersFor(route.program, exchange.peer)
    const common = [...always, 'portcullis-request-id', exchange.id, ...exchange.replyHeaders]
    refuseUpgrade(socket, refusal, exchange.id, common)
    finish(refusal.status, common, undefined)
  }
  const settle = (verdict: Verdict) => {
    if (over) return
    if (verdict === undefined) connect()
    else refuse(verdict.kind === 'denial' ? verdict : answered)
  }
  socket.on('error', () => socket.destroy())
  socket.once('close', () => {
    controller?.abort(new Error('client.gone'))
    upstreamSocket?.destroy()
    finish(upstreamSocket === undefined ? 499 : 101, [], upstreamSocket === undefined ? 'client.gone' : undefined)
  })
  const verdict = runPhase(route.program.requestHead, exchange)
  if (verdict instanceof Promise) void verdict.then(settle)
  else settle(verdict)

  function connect(): void {
    const target = route.mount.upstream.pick(exchange)
    if ('kind' in target) return refuse(target)
    giveBack = () => {
      route.mount.upstream.release(target)
      giveBack = undefined
    }
    try {
      target.dispatcher.dispatch(
        {
          origin: target.origin,
          path: upstreamPath(exchange, route, target),
          method: exchange.method as Dispatcher.HttpMethod,
          headers: upstreamHeaders(exchange, route.program),
          upgrade: exchange.upgrade ?? 'websocket',
          headersTimeout: route.mount.upstream.settings.timeouts.head,
        },
        {
          onRequestStart(given) {
            controller = given
            if (over) given.abort(new Error('client.gone'))
          },
          onRequestUpgrade(_controller, status, headers, upstream) {
            headMs = performance.now() - startedAt
            join(status, headers, upstream)
          },
          onResponseStart(given, status) {
            if (status >= 200) {
              refuse({ ...notUpgraded, evidence: { status } })
              given.abort(new Error('not upgraded'))
            }
          },
          onResponseData() {},
          onResponseEnd() {},
          onResponseError(_controller, error) {
            refuse(upstreamDenial(error))
          },
        },
      )
    } catch (error) {
      refuse(upstreamDenial(error))
    }
  }

  function join(status: number, headers: IncomingHttpHeaders, upstream: Duplex): void {
    if (over) {
      upstream.destroy()
      return
    }
    upstreamSocket = upstream
    const flat = ['connection', 'Upgrade', 'upgrade', exchange.upgrade ?? 'websocket']
    for (const name in headers) {
      const value = headers[name]
      if (value === undefined || !route.program.responseHeaders.get(name).keep) continue
      for (const one of Array.isArray(value) ? value : [value]) flat.push(name, one)
    }
    flat.push('portcullis-request-id', exchange.id)
    socket.write(head(status, flat))
    if (early.length > 0) upstream.write(early)
    upstream.on('error', () => upstream.destroy())
    upstream.once('close', () => socket.end())
    upstream.on('data', (chunk: Buffer) => {
      toCaller += chunk.length
    })
    socket.on('data', (chunk: Buffer) => {
      fromCaller += chunk.length
    })
    upstream.pipe(socket)
    socket.pipe(upstream)
  }
}
