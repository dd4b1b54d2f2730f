/** A longer `Accept` than any client needs is not read. */
const acceptLengthMax = 1_024

/**
 * How much a client wants a media type, by its `Accept` (RFC 9110, 12.5.1): 0 for not at all, 1 for most. The most
 * specific range that fits decides. Without `Accept` everything is welcome.
 */
export function quality(accept: string | undefined, mediaType: string): number {
  if (accept === undefined || accept.length > acceptLengthMax) return 1
  const anySubtype = `${mediaType.slice(0, mediaType.indexOf('/'))}/*`
  let specificity = 0
  let found = 0
  for (const range of accept.split(',')) {
    const [name, ...parameters] = range.split(';')
    const type = name!.trim().toLowerCase()
    const fits = type === mediaType ? 3 : type === anySubtype ? 2 : type === '*/*' ? 1 : 0
    if (fits === 0 || fits < specificity) continue
    const weight = weightOf(parameters)
    found = fits > specificity ? weight : Math.max(found, weight)
    specificity = fits
  }
  return found
}

function weightOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const match = /^\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*$/i.exec(parameter)
    if (match !== null) return Math.min(1, Number(match[1]))
  }
  return 1
}

/**
 * Whether a client would rather read XML than JSON. A browser lists XML among what it can show; it is not taken for
 * a wish, since it lists HTML as well.
 */
export function prefersXml(accept: string | undefined): boolean {
  // The usual case, on the path of every refusal.
  if (accept === undefined || !/xml/i.test(accept) || /text\/html/i.test(accept)) return false
  const xml = Math.max(...xmlTypes.map((type) => quality(accept, type)))
  const json = Math.max(...jsonTypes.map((type) => quality(accept, type)))
  return xml > json
}

const xmlTypes = ['application/problem+xml', 'application/xml', 'text/xml']
const jsonTypes = ['application/problem+json', 'application/json']
