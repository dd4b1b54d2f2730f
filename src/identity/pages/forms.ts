import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { KeyRing } from '../../vault/index.ts'

const bodyBytesMax = 64 * 1024
const fieldsMax = 20

/** Why a form was not read: with the status to answer. */
export class FormRefused extends Error {
  override readonly name = 'FormRefused'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** The fields of a form that was sent, each once. Throws `FormRefused`. */
export async function readForm(request: IncomingMessage): Promise<ReadonlyMap<string, string>> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/x-www-form-urlencoded') throw new FormRefused(415, 'This is no form.')
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request) {
    bytes += (piece as Buffer).length
    if (bytes > bodyBytesMax) throw new FormRefused(413, 'This is too much.')
    pieces.push(piece as Buffer)
  }
  const fields = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(Buffer.concat(pieces).toString('utf8'))) {
    if (fields.has(name) || fields.size >= fieldsMax) throw new FormRefused(400, 'This form has a field twice.')
    fields.set(name, value)
  }
  return fields
}

/**
 * Whether a browser says that the form comes from a page of ours. `Origin` says so for every POST (Fetch, 3.2); programs
 * that are no browsers send neither header, and have no cookies to abuse.
 */
export function isSameOrigin(request: IncomingMessage, origin: string): boolean {
  const site = request.headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin') return false
  const from = request.headers.origin
  return from === undefined || from === origin
}

/** Marks of our forms: each belongs to one sign-in, whose cookie the browser must show as well. */
export interface FormMarks {
  of(flow: string): Promise<string>
  fits(flow: string, mark: string | undefined): Promise<boolean>
}

const purpose = 'form-marks'

export function createFormMarks(vault: () => Promise<KeyRing>): FormMarks {
  const mac = (key: Uint8Array, flow: string) => createHmac('sha256', key).update(flow).digest('base64url')
  return {
    of: async (flow) => mac(await (await vault()).secret(purpose, 32), flow),
    async fits(flow, mark) {
      if (mark === undefined || !/^[\w-]{43}$/.test(mark)) return false
      const keys = await (await vault()).secrets(purpose, 32)
      return keys.some((key) => timingSafeEqual(Buffer.from(mac(key, flow)), Buffer.from(mark)))
    },
  }
}

/** An id nobody can guess. */
export function newId(): string {
  return randomBytes(32).toString('base64url')
}
