import type { Spot } from './complaints.ts'
import type { Encoding, MediaType, Parameter, ResponseSpec, SchemaRef } from './operation.ts'
import { isObject, type JsonObject } from './pointer.ts'
import { readHeader, readOldHeader } from './read-parameters.ts'
import { follow, type Reading, under } from './reading.ts'

const styles = new Set(['form', 'spaceDelimited', 'pipeDelimited', 'deepObject'])

/** The media types of a body, as 3.x writes them. */
export function readContent(reading: Reading, holder: JsonObject, spot: Spot): MediaType[] {
  const { content } = holder
  const place = under(spot, 'content')
  if (content === undefined || content === null) return []
  if (!isObject(content)) {
    reading.complaints.error('P2006', place, 'content must be a map from media types to their schemas', { at: 'value' })
    return []
  }
  const mediaTypes: MediaType[] = []
  for (const [type, written] of Object.entries(content)) {
    if (type.startsWith('x-')) continue
    // Since 3.2 a media type may be a reference.
    const target = follow(reading, under(place, type), written ?? {})
    if (target === undefined) continue
    if (!isObject(target.value)) {
      reading.complaints.error('P2006', under(place, type), 'a media type must be a map, as in { schema: … }', {
        at: 'value',
      })
      continue
    }
    const { value } = target
    mediaTypes.push({
      type: type.trim().toLowerCase(),
      schema: reading.schemas.take(value, 'schema', under(target.spot, 'schema')),
      itemSchema: reading.schemas.take(value, 'itemSchema', under(target.spot, 'itemSchema')),
      encoding: readEncoding(reading, value, target.spot),
    })
  }
  return mediaTypes
}

function readEncoding(reading: Reading, mediaType: JsonObject, spot: Spot): Readonly<Record<string, Encoding>> {
  if (!isObject(mediaType.encoding)) return {}
  const place = under(spot, 'encoding')
  const encodings: [string, Encoding][] = []
  for (const [property, encoding] of Object.entries(mediaType.encoding)) {
    if (!isObject(encoding)) continue
    const entry = under(place, property)
    encodings.push([
      property,
      {
        contentType: typeof encoding.contentType === 'string' ? encoding.contentType.toLowerCase() : undefined,
        style: styles.has(String(encoding.style)) ? (encoding.style as Parameter['style']) : undefined,
        explode: typeof encoding.explode === 'boolean' ? encoding.explode : undefined,
        allowReserved: encoding.allowReserved === true,
        headers: readHeaders(reading, encoding, entry, readHeader),
      },
    ])
  }
  return Object.fromEntries(encodings)
}

function readHeaders(
  reading: Reading,
  holder: JsonObject,
  spot: Spot,
  read: typeof readHeader,
): Readonly<Record<string, Parameter>> {
  if (!isObject(holder.headers)) return {}
  const headers: [string, Parameter][] = []
  for (const [name, written] of Object.entries(holder.headers)) {
    const target = follow(reading, under(under(spot, 'headers'), name), written)
    if (target === undefined || !isObject(target.value)) continue
    headers.push([name.toLowerCase(), read(reading, name, target.value, target.spot)])
  }
  return Object.fromEntries(headers)
}

/** What the operation answers, by status. `produces` is given for 2.0. */
export function readResponses(
  reading: Reading,
  operation: JsonObject,
  spot: Spot,
  produces: readonly string[] | undefined,
): Readonly<Record<string, ResponseSpec>> {
  const { responses } = operation
  const place = under(spot, 'responses')
  if (!isObject(responses)) {
    if (responses != null) reading.complaints.error('P2006', place, 'responses must be a map', { at: 'value' })
    return {}
  }
  const read: [string, ResponseSpec][] = []
  for (const [written, response] of Object.entries(responses)) {
    if (written.startsWith('x-')) continue
    const entry = under(place, written)
    const status = /^[1-5]xx$/i.test(written) ? written.toUpperCase() : written.toLowerCase()
    if (!/^([1-5]\d\d|[1-5]XX|default)$/.test(status)) {
      reading.complaints.warn('P2016', entry, `"${written}" is no status, range such as 2XX, or default: ignored`)
      continue
    }
    const target = follow(reading, entry, response ?? {})
    if (target === undefined) continue
    if (!isObject(target.value)) {
      reading.complaints.error('P2006', entry, 'a response must be a map', { at: 'value' })
      continue
    }
    const { value } = target
    read.push([
      status,
      {
        description: typeof value.description === 'string' ? value.description : '',
        headers: readHeaders(reading, value, target.spot, produces === undefined ? readHeader : readOldHeader),
        content:
          produces === undefined
            ? readContent(reading, value, target.spot)
            : oldContent(reading.schemas.take(value, 'schema', under(target.spot, 'schema')), produces),
      },
    ])
  }
  return Object.fromEntries(read)
}

/** In 2.0 one schema stands for all media types that the operation consumes or produces. */
export function oldContent(schema: SchemaRef | undefined, types: readonly string[]): MediaType[] {
  if (schema === undefined) return []
  return types.map((type) => ({ type, schema, itemSchema: undefined, encoding: {} }))
}
