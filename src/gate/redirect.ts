import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { credentialNames, plainName } from '../http/credential-names.ts'
import { parseQuery } from '../http/query.ts'
import { readArrival } from './arrival.ts'
import type { Peer } from './peer.ts'
import { refusals, refuseReply } from './refusal.ts'
import { requestId } from './request-id.ts'
import { httpChallengeFile } from './tls/challenges.ts'
import type { Denial } from './verdict.ts'

const credentialHeaders = new Set(['authorization', 'proxy-authorization', 'cookie', 'dpop'])

/**
 * Answers plain HTTP where https is spoken: 403 to what carries a credential, so that a client which sends it in the
 * clear is noticed and mended, and 308 to everything else. Nothing of it goes further.
 */
export function redirectToHttps(
  request: IncomingMessage,
  reply: ServerResponse,
  peer: Peer,
  now: number,
  httpsPort: number,
): Denial | undefined {
  const arrival = readArrival(request, peer, now)
  if ('kind' in arrival) {
    refuseReply(reply, arrival, requestId(now))
    return arrival
  }
  if (carriesCredential(arrival.rawHeaders, arrival.target.query)) {
    refuseReply(reply, refusals.plainCredential, arrival.id)
    return refusals.plainCredential
  }
  const { path, query, authority } = arrival.target
  const host = authority.replace(/:\d+$/, '')
  const port = httpsPort === 443 ? '' : `:${httpsPort}`
  const location = `https://${host}${port}${path}${query === '' ? '' : `?${query}`}`
  reply.writeHead(308, {
    location,
    'content-length': 0,
    'cache-control': 'no-store',
    'portcullis-request-id': arrival.id,
    connection: 'close',
  })
  reply.end()
  return undefined
}

/** Whether a request shows anything by which its caller could be known. */
export function carriesCredential(rawHeaders: readonly string[], query: string): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    if (credentialHeaders.has(name) || /api-?key|token|secret|session|signature/.test(name)) return true
  }
  return parseQuery(query).some(([name]) => credentialNames.has(plainName(name)))
}

const challengePath = '/.well-known/acme-challenge/'

/**
 * The answer to an ACME server that looks whether a name is ours (RFC 8555, 8.3). Challenges lie in the state
 * directory, so that any process of this machine may answer. `undefined`: not ours to answer.
 */
export async function acmeAnswer(url: string, stateDir: string): Promise<string | undefined> {
  const token = url.slice(challengePath.length)
  if (!/^[\w-]{16,128}$/.test(token)) return undefined
  try {
    return await readFile(httpChallengeFile(stateDir, token), 'utf8')
  } catch {
    return undefined
  }
}

/** Cheap enough to ask of every request. */
export function isAcmeChallenge(url: string): boolean {
  return url.charCodeAt(1) === 0x2e && url.startsWith(challengePath)
}
