import { ConfigError } from '../base/errors.ts'
import type { Exchange, Slot } from '../gate/exchange.ts'
import type { Guard, Host, Steps } from '../gate/guard.ts'
import { type Answer, type Denial, denial, type Verdict } from '../gate/verdict.ts'
import { isStreamed } from '../openapi/media-types.ts'
import type { Operation } from '../openapi/operation.ts'
import { parseSelector, type Selector } from '../openapi/select.ts'
import { CountersUnavailable } from '../store/counters.ts'
import { warnOfIdleRules } from './idle-rules.ts'
import { type ClientKeys, type EncryptionKey, type KeysOf, readClientKeys } from './payload/client-keys.ts'
import { openFields, sealFields } from './payload/fields.ts'
import { createGateKeys, type GateKeys } from './payload/gate-keys.ts'
import { JweBroken, mediaTypeOf, openJwe, sealJwe } from './payload/jwe.ts'
import { type Options, optionsShape } from './payload/options.ts'
import { digestHolds, isSigned, SignatureBroken, verifySignature } from './payload/signature.ts'

const jose = 'application/jose'
const encryptionRequired = denial(415, 'payload.encryption-required', 'This operation takes encrypted bodies only.', {
  headers: { accept: jose },
})
const decryptionFailed = denial(400, 'payload.decryption-failed', 'The encrypted body cannot be read.')
const noClientKey = denial(
  403,
  'payload.no-client-key',
  'There is no key of yours that the answer could be encrypted to.',
)
const notEncrypted = denial(502, 'payload.response-not-encrypted', 'The answer cannot be encrypted and is kept back.')
const signatureInvalid = denial(400, 'payload.signature-invalid', 'The signature of the request does not hold.')
const unavailable = denial(503, 'payload.unavailable', 'Signatures cannot be checked at the moment. Try again later.', {
  headers: { 'Retry-After': '1' },
})

/** Where callers find the key of this gate, below each API that takes encrypted bodies. */
export const payloadJwksPath = '/.well-known/payload-jwks.json'

/**
 * Takes and gives bodies that only the two ends can read (JWE, RFC 7516), whole or field by field, and requests that their
 * callers signed (RFC 9421). What is opened here is what other guards judge, and what the upstream gets (T5).
 */
export const payload: Guard<Options> = {
  name: 'payload',
  stage: 'authorize',
  options: optionsShape,
  async setup({ mode, jwe, signatures, clients }, host) {
    const opens = mode !== 'off' && jwe.request !== 'off'
    const seals = mode !== 'off' && jwe.response !== 'off'
    const signs = mode !== 'off' && signatures.request !== 'off'
    if (!opens && !seals && !signs) return () => undefined
    if ((seals || signs) && Object.keys(clients).length === 0 && host.localIssuer?.clients === undefined) {
      const at = `apis.${host.api}.payload.${seals ? 'jwe.response' : 'signatures.request'}`
      throw new ConfigError('P1420', `${at} needs the keys of callers: add \`clients\``)
    }
    const keysOf = readClientKeys(clients, host)
    const gateKeys = opens ? await createGateKeys(host.vault, host.now) : undefined
    const encrypts = selector(jwe.match)
    const isSelected = selector(signatures.match)
    const warnOfIdle = warnOfIdleRules(
      [
        ...(opens || seals ? [{ name: 'payload.jwe', selects: encrypts }] : []),
        ...(signs ? [{ name: 'payload.signatures', selects: isSelected }] : []),
      ],
      host,
    )
    const slot: Slot<Wrapped> = host.slot()
    return (operation) => {
      warnOfIdle(operation.document)
      if (operation.kind === 'unlisted-path' && gateKeys !== undefined) return publishing(gateKeys, host)
      if (operation.kind !== 'listed') return undefined
      const parts: Steps[] = []
      // The signature is of what came, so it is looked at before anything is opened.
      if (signs && isSelected(operation)) parts.push(signatureSteps(signatures, keysOf, host, slot))
      if (opens && encrypts(operation)) parts.push(openingSteps(operation, jwe, gateKeys!, slot))
      if (seals && encrypts(operation)) parts.push(sealingSteps(jwe, keysOf, slot))
      return parts.length === 0 ? undefined : combined(parts)
    }
  },
}

function selector(match: string | string[] | undefined): Selector {
  return match === undefined ? () => true : parseSelector(match)
}

/** What is known of a request before its body came. */
interface Wrapped {
  readonly isJwe?: boolean
  readonly needsDigest?: boolean
  /** What the answer is encrypted to. */
  readonly answerKey?: EncryptionKey
}

/** Steps of one phase, one after another. */
function combined(parts: readonly Steps[]): Steps {
  const phase = (name: 'requestHead' | 'openRequest'): Steps => {
    const steps = parts.flatMap((part) => part[name] ?? [])
    if (steps.length === 0) return {}
    const run = (exchange: Exchange, from: number): Verdict | Promise<Verdict> => {
      for (let i = from; i < steps.length; i++) {
        const verdict = steps[i]!(exchange)
        if (verdict instanceof Promise) return verdict.then((late) => late ?? run(exchange, i + 1))
        if (verdict !== undefined) return verdict
      }
      return undefined
    }
    return { [name]: (exchange: Exchange) => run(exchange, 0) }
  }
  return { ...Object.assign({}, ...parts), ...phase('requestHead'), ...phase('openRequest') }
}

/** RFC 7517, 5: the gate's public keys, for everybody. */
function publishing(keys: GateKeys, { prefix }: Host): Steps {
  const path = prefix + payloadJwksPath
  return {
    requestHead({ target, method }) {
      if (target.path !== path || (method !== 'GET' && method !== 'HEAD')) return undefined
      return keys.published().then(
        (published): Answer => ({
          kind: 'answer',
          status: 200,
          headers: {
            'content-type': 'application/jwk-set+json',
            'cache-control': 'max-age=300',
            'access-control-allow-origin': '*',
          },
          body: JSON.stringify({ keys: published }),
        }),
      )
    },
  }
}

// Encrypted requests ------------------------------------------------------------------------------

function openingSteps(
  operation: Operation,
  { request, fields }: Options['jwe'],
  keys: GateKeys,
  slot: Slot<Wrapped>,
): Steps {
  const required = request === 'required'
  const failed = (error: unknown): Denial => {
    if (!(error instanceof JweBroken)) throw error
    return { ...decryptionFailed, evidence: { reason: error.message } }
  }
  if (fields !== undefined) {
    return {
      openRequest(exchange) {
        const body = exchange.requestBody!
        if (body.length === 0) return undefined
        return openFields(body, fields, { keys, required }).then((opened) => {
          if (opened === 'plain') return encryptionRequired
          if (opened !== undefined) exchange.replaceRequestBody(opened)
          return undefined
        }, failed)
      },
    }
  }
  const inner = expectedType(operation)
  return {
    requestHead(exchange) {
      const { headers } = exchange
      // Of what goes through a tunnel nothing can be said.
      if (required && exchange.upgrade !== undefined) return encryptionRequired
      if (isJose(headers['content-type'])) {
        exchange.set(slot, { ...exchange.get(slot), isJwe: true })
        // For those who judge the head: what is inside tells its type only when it is opened, and is judged by that.
        headers['content-type'] = inner
        return undefined
      }
      const brings = headers['content-type'] !== undefined || Number(headers['content-length'] ?? 0) > 0
      return required && brings ? encryptionRequired : undefined
    },
    openRequest(exchange) {
      const body = exchange.requestBody!
      if (exchange.get(slot)?.isJwe !== true) return required && body.length > 0 ? encryptionRequired : undefined
      return openJwe(body.toString('latin1').trim(), keys).then(({ plain, type = inner }) => {
        const media = mediaTypeOf(type)
        if (media === undefined) return { ...decryptionFailed, evidence: { reason: 'cty' } }
        exchange.replaceRequestBody(plain)
        exchange.headers['content-type'] = media
        exchange.setUpstreamHeader('content-type', media)
        return undefined
      }, failed)
    },
  }
}

function isJose(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/jose\s*(?:;|$)/i.test(contentType)
}

/** What a body is where its JWE does not say: what the operation takes, JSON before others. */
function expectedType({ requestBody }: Operation): string {
  const types = (requestBody?.content ?? []).map(({ type }) => type).filter((type) => !type.includes('*'))
  return types.find((type) => /[/+]json$/.test(type)) ?? types[0] ?? 'application/json'
}

// Encrypted answers -------------------------------------------------------------------------------

function sealingSteps({ fields }: Options['jwe'], keysOf: KeysOf, slot: Slot<Wrapped>): Steps {
  const note = (exchange: Exchange, keys: ClientKeys | undefined): Verdict => {
    if (keys?.encryption === undefined) return noClientKey
    exchange.set(slot, { ...exchange.get(slot), answerKey: keys.encryption })
    return undefined
  }
  const tooMany = (error: unknown): Denial => {
    if (!(error instanceof JweBroken)) throw error
    return { ...notEncrypted, evidence: { reason: error.message } }
  }
  return {
    requestHead(exchange) {
      if (exchange.upgrade !== undefined) return notEncrypted
      const keys = keysOf(exchange)
      return keys instanceof Promise ? keys.then((late) => note(exchange, late)) : note(exchange, keys)
    },
    responseHead({ response, method }) {
      // What never ends cannot be held, and so not be encrypted.
      if (method === 'HEAD' || response!.status === 204 || response!.status === 304) return undefined
      return isStreamed(response!.headers['content-type'] ?? '') ? notEncrypted : undefined
    },
    sealResponse(exchange) {
      const response = exchange.response!
      const body = response.body
      if (body === undefined || body.length === 0) return undefined
      const key = exchange.get(slot)?.answerKey
      if (key === undefined) return notEncrypted
      if (fields !== undefined) {
        return sealFields(body, fields, key).then((sealed) => {
          if (sealed === undefined) return notEncrypted
          response.replaceBody(sealed)
          return undefined
        }, tooMany)
      }
      return sealJwe(body, key, response.headers['content-type']).then((sealed) => {
        const flat = response.rawHeaders
        for (let i = flat.length - 2; i >= 0; i -= 2) if (flat[i]!.toLowerCase() === 'content-type') flat.splice(i, 2)
        flat.push('content-type', jose)
        response.replaceBody(Buffer.from(sealed))
        return undefined
      })
    },
  }
}

// Signed requests ---------------------------------------------------------------------------------

function signatureSteps(
  { request, components, maxAge }: Options['signatures'],
  keysOf: KeysOf,
  host: Host,
  slot: Slot<Wrapped>,
): Steps {
  const rules = { components, maxAgeMs: maxAge }
  // RFC 9421, 5.1: how a request is to be signed.
  const wanted = `sig=(${components.map((name) => `"${name}"`).join(' ')});created;keyid;nonce`
  const missing = denial(400, 'payload.signature-missing', 'This operation takes signed requests only.', {
    headers: { 'Accept-Signature': wanted },
  })
  const invalid = (reason: string): Denial => ({ ...signatureInvalid, evidence: { reason } })
  // Remembered for as long as it could be taken again, clocks that differ included.
  const once = { count: 1, windowMs: maxAge + 60_000, burst: 1 }
  const digestRequired = components.includes('content-digest')

  async function unlessSeen(id: string, exchange: Exchange): Promise<Verdict> {
    try {
      const { allowed } = await host.counters.take(`payload signature ${host.api} ${id}`, once)
      if (allowed) return undefined
    } catch (error) {
      if (!(error instanceof CountersUnavailable)) throw error
      return unavailable
    }
    const { principal, address } = exchange
    host.tell({ event: 'payload.signature-replayed', address, ...(principal && { subject: principal.subject }) })
    return invalid('seen before')
  }

  function judge(exchange: Exchange, keys: ClientKeys | undefined): Verdict | Promise<Verdict> {
    try {
      const { id, coversDigest } = verifySignature(exchange, keys?.signatures ?? [], rules, host.now())
      exchange.set(slot, { ...exchange.get(slot), needsDigest: coversDigest || digestRequired })
      return unlessSeen(id, exchange)
    } catch (error) {
      if (!(error instanceof SignatureBroken)) throw error
      return invalid(error.message)
    }
  }

  return {
    requestHead(exchange) {
      if (!isSigned(exchange)) return request === 'required' ? missing : undefined
      const keys = keysOf(exchange)
      return keys instanceof Promise ? keys.then((late) => judge(exchange, late)) : judge(exchange, keys)
    },
    openRequest(exchange) {
      if (exchange.get(slot)?.needsDigest !== true) return undefined
      const { headers, requestBody } = exchange
      const digest = headers['content-digest']
      if (digest === undefined) return requestBody!.length > 0 ? invalid('the body is not covered') : undefined
      // The digest is of the coded content (RFC 9530, 2), which is decoded by now.
      if (headers['content-encoding'] !== undefined) return invalid('a content coding')
      return digestHolds(String(digest), requestBody!) ? undefined : invalid('the digest is of another body')
    },
  }
}
