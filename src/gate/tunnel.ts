import type { IncomingHttpHeaders } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Exchange } from './exchange.ts'
import type { Ending } from './flight.ts'
import { upstreamHeaders, upstreamPath } from './forward.ts'
import { failed, runPhase } from './program.ts'
import { commonHeaders, denialReply } from './reply.ts'
import type { Route } from './router.ts'
import { isFailure, upstreamDenial } from './upstream.ts'
import { type Denial, denial, type Verdict } from './verdict.ts'

const notUpgraded = denial(502, 'upstream.not-upgraded', 'The service behind the gate did not switch protocols.')
const answered = denial(403, 'gate.upgrade-refused', 'This connection may not be upgraded.')
const wrongMethod = denial(400, 'gate.upgrade-method', 'A connection is upgraded to WebSocket by GET.')

/** How long the other side may take to end once one has: a peer that never closes must not hold a place for good. */
const lingerMs = 5_000

/** Writes a refusal over a socket that has left HTTP's hands, and ends it. */
export function refuseUpgrade(socket: Duplex, refusal: Denial, id: string, common: readonly string[]): void {
  const { headers, body } = denialReply(refusal, id, undefined, common)
  headers.push('connection', 'close')
  socket.on('error', () => {})
  socket.end(head(refusal.status, headers) + body)
  // What still comes is read, so that the end is seen, and dropped.
  socket.resume()
  endSoon(socket)
}

/** Destroys a socket that was ended and does not end by itself. */
function endSoon(socket: Duplex): void {
  socket.once('end', () => socket.destroy())
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
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
    const common = commonHeaders(exchange, route.program)
    refuseUpgrade(socket, refusal, exchange.id, common)
    finish(refusal.status, common, undefined)
  }
  const fail = (error: unknown) => {
    refuse(failed(error))
    controller?.abort(new Error('gate.guard-failed'))
  }
  const goOn = (verdict: Verdict | Promise<Verdict>, next: () => void) => {
    if (verdict instanceof Promise) verdict.then((late) => goOn(late, next)).catch(fail)
    else if (over) return
    else if (verdict === undefined) next()
    else refuse(verdict.kind === 'denial' ? verdict : answered)
  }
  socket.on('error', () => socket.destroy())
  // A caller that ends before the upstream has switched is gone; later the upstream may still have something to say.
  socket.once('end', () => {
    if (upstreamSocket === undefined) socket.destroy()
    else endSoon(upstreamSocket)
  })
  socket.once('close', () => {
    controller?.abort(new Error('client.gone'))
    upstreamSocket?.destroy()
    finish(upstreamSocket === undefined ? 499 : 101, [], upstreamSocket === undefined ? 'client.gone' : undefined)
  })
  // RFC 6455, 4.1. Another method would pass by what its guards want to see of a body.
  if (exchange.method !== 'GET') refuse(wrongMethod)
  else {
    goOn(runPhase(route.program.requestHead, exchange), () => {
      exchange.requestBody = noBody
      goOn(runPhase(route.program.requestBody, exchange), connect)
    })
  }

  function connect(): void {
    const { upstream } = route.mount
    const target = upstream.pick(exchange)
    if ('kind' in target) return refuse(target)
    giveBack = () => {
      upstream.release(target)
      giveBack = undefined
    }
    const report = (went: 'well' | 'badly') => upstream.report(target, went, performance.now() - askedAt)
    const askedAt = performance.now()
    try {
      target.dispatcher.dispatch(
        {
          origin: target.origin,
          path: upstreamPath(exchange, route, target),
          method: exchange.method as Dispatcher.HttpMethod,
          headers: upstreamHeaders(exchange, route.program),
          upgrade: exchange.upgrade ?? 'websocket',
          headersTimeout: upstream.settings.timeouts.head,
        },
        {
          onRequestStart(given) {
            controller = given
            if (over) given.abort(new Error('client.gone'))
          },
          onRequestUpgrade(_controller, status, headers, joined) {
            headMs = performance.now() - askedAt
            report('well')
            try {
              join(status, headers, joined)
            } catch (error) {
              joined.destroy()
              fail(error)
            }
          },
          onResponseStart(given, status) {
            if (status < 200) return
            report(isFailure(status) ? 'badly' : 'well')
            // A handshake that the service itself refuses is told as that: 401 and 403 mean something to clients.
            const told = status >= 400 && status < 500 ? status : notUpgraded.status
            refuse({ ...notUpgraded, status: told, evidence: { status } })
            given.abort(new Error('not upgraded'))
          },
          onResponseData() {},
          onResponseEnd() {},
          onResponseError(_controller, error) {
            if (over) return
            report('badly')
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
    upstream.once('close', () => {
      socket.end()
      endSoon(socket)
    })
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

const noBody = Buffer.alloc(0)
