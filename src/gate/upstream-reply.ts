import { digestHeaders } from './exchange.ts'

/** The upstream's answer while the gate holds it. */
export class UpstreamReply {
  status: number
  /** Name, value, name, value … as the upstream sent them. */
  rawHeaders: string[]
  /** The whole body, decoded from its content coding, in phase `responseBody`. A step may replace it. */
  body: Buffer | undefined
  #headers: Record<string, string> | undefined

  constructor(status: number, rawHeaders: string[]) {
    this.status = status
    this.rawHeaders = rawHeaders
    this.body = undefined
    this.#headers = undefined
  }

  /**
   * Puts another body in the place of the upstream's. What vouches for its bytes goes (RFC 9530); an ETag stays, because
   * callers hand it back with `If-Match`, and it still names the version that the upstream has.
   */
  replaceBody(body: Buffer): void {
    this.body = body
    const flat = this.rawHeaders
    for (let i = flat.length - 2; i >= 0; i -= 2) {
      if (digestHeaders.includes(flat[i]!.toLowerCase())) flat.splice(i, 2)
    }
    this.#headers = undefined
  }

  /** By lower-case name; several of one name are joined with a comma. */
  get headers(): Readonly<Record<string, string>> {
    if (this.#headers === undefined) {
      const headers: Record<string, string> = Object.create(null)
      for (let i = 0; i < this.rawHeaders.length; i += 2) {
        const name = this.rawHeaders[i]!.toLowerCase()
        const before = headers[name]
        headers[name] = before === undefined ? this.rawHeaders[i + 1]! : `${before}, ${this.rawHeaders[i + 1]!}`
      }
      this.#headers = headers
    }
    return this.#headers
  }
}
