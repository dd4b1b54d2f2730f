import type { Spot } from './complaints.ts'
import type { SecurityRequirement, SecurityScheme } from './operation.ts'
import { isObject, type JsonObject } from './pointer.ts'
import { follow, type Reading, under } from './reading.ts'

/** The security schemes of a document, and why one cannot be used. */
export class SecuritySchemes {
  readonly usable = new Map<string, SecurityScheme>()
  readonly #unusable = new Map<string, string>()
  readonly #reading: Reading

  constructor(reading: Reading, root: JsonObject, spot: Spot) {
    this.#reading = reading
    const isOld = reading.references.dialect(spot.source) === '2.0'
    const [holder, place]: [unknown, Spot] = isOld
      ? [root.securityDefinitions, under(spot, 'securityDefinitions')]
      : [
          isObject(root.components) ? root.components.securitySchemes : undefined,
          under(under(spot, 'components'), 'securitySchemes'),
        ]
    if (holder == null) return
    if (!isObject(holder)) {
      reading.complaints.error('P2014', place, 'security schemes must be a map from names to schemes', { at: 'value' })
      return
    }
    for (const [name, written] of Object.entries(holder)) {
      if (name.startsWith('x-') && !isObject(written)) continue
      const entry = under(place, name)
      const target = follow(reading, entry, written)
      const scheme = target === undefined ? 'it cannot be read' : readScheme(name, target.value)
      if (typeof scheme !== 'string') this.usable.set(name, scheme)
      else {
        this.#unusable.set(name, scheme)
        // An error only for the operation that asks for it.
        reading.complaints.warn('P2014', entry, `the security scheme "${name}" cannot be used: ${scheme}`)
      }
    }
  }

  /** What a `security` list asks for. Whatever is not understood is an error: it decides who gets in. */
  read(holder: JsonObject, spot: Spot): readonly SecurityRequirement[] | undefined {
    if (!Object.hasOwn(holder, 'security')) return undefined
    const { security } = holder
    const place = under(spot, 'security')
    const { complaints } = this.#reading
    if (!Array.isArray(security)) {
      complaints.error('P2013', place, 'security must be a list of requirements; [] opens the operation to everyone', {
        at: 'value',
      })
      return undefined
    }
    const alternatives: SecurityRequirement[] = []
    for (const [index, written] of security.entries()) {
      const entry = under(place, index)
      if (!isObject(written)) {
        complaints.error('P2013', entry, 'a requirement must be a map from scheme names to scopes, as in key: []')
        continue
      }
      const requirement = new Map<string, readonly string[]>()
      for (const [name, scopes] of Object.entries(written)) {
        const scheme = under(entry, name)
        if (!this.#isKnown(name, entry)) {
          const why = this.#unusable.get(name)
          const known = [...this.usable.keys()].slice(0, 12).join(', ')
          complaints.error(
            'P2013',
            scheme,
            why === undefined
              ? `unknown security scheme "${name}"`
              : `the security scheme "${name}" cannot be used: ${why}`,
            { hint: known === '' ? 'the document defines no usable scheme' : `the document defines ${known}` },
          )
        }
        if (scopes !== null && !(Array.isArray(scopes) && scopes.every((scope) => typeof scope === 'string'))) {
          complaints.error('P2013', scheme, `the scopes of "${name}" must be a list of texts`, { at: 'value' })
          continue
        }
        requirement.set(name, scopes ?? [])
      }
      alternatives.push(requirement)
    }
    return alternatives
  }

  /** Since 3.2 a requirement may also name a scheme by reference. */
  #isKnown(name: string, spot: Spot): boolean {
    if (this.usable.has(name)) return true
    if (this.#unusable.has(name) || !/[#/]/.test(name)) return false
    const target = this.#reading.references.resolve(spot, name)
    if (!('spot' in target)) return false
    const followed = this.#reading.references.follow(target.spot, target.value)
    const scheme = 'spot' in followed ? readScheme(name, followed.value) : 'it cannot be read'
    if (typeof scheme === 'string') return false
    this.usable.set(name, scheme)
    return true
  }
}

/** A scheme, or what is wrong with it. */
function readScheme(name: string, value: unknown): SecurityScheme | string {
  if (!isObject(value)) return 'it is not a map'
  const scheme = { name, in: undefined, parameterName: undefined, httpScheme: undefined }
  switch (value.type) {
    case 'apiKey': {
      const place = value.in
      if (place !== 'header' && place !== 'query' && place !== 'cookie') return 'in must be header, query or cookie'
      if (typeof value.name !== 'string' || value.name === '') return 'it does not say the name of the key'
      return { ...scheme, type: 'apiKey', in: place, parameterName: value.name }
    }
    case 'basic':
      return { ...scheme, type: 'http', httpScheme: 'basic' }
    case 'http':
      if (typeof value.scheme !== 'string' || value.scheme === '') return 'it does not say which HTTP scheme'
      return { ...scheme, type: 'http', httpScheme: value.scheme.toLowerCase() }
    case 'oauth2':
    case 'openIdConnect':
    case 'mutualTLS':
      return { ...scheme, type: value.type }
    default:
      return `its type is ${JSON.stringify(value.type)?.slice(0, 40) ?? 'missing'}, not apiKey, http, oauth2, openIdConnect or mutualTLS`
  }
}
