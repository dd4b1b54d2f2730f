import { at, type Complaints, type Spot } from './complaints.ts'
import { canonicalBasePath } from './paths.ts'
import { child, isObject, type JsonObject, member } from './pointer.ts'

/** The path of the first server of a list; `undefined` when there is no list. */
export function serverPath(holder: JsonObject, spot: Spot, complaints: Complaints): string | undefined {
  const { servers } = holder
  if (!Array.isArray(servers) || servers.length === 0) return undefined
  const place = at(spot, child(spot.pointer, 'servers'))
  const paths = servers.map((server, index) => pathOf(server, at(spot, child(place.pointer, index)), complaints))
  const first = paths[0] ?? ''
  if (paths.some((path) => path !== undefined && path !== first)) {
    complaints.warn('P2017', place, `the servers have different paths; "${first || '/'}", of the first, is served`, {
      hint: 'name another with basePath in the configuration of the API',
    })
  }
  return first
}

function pathOf(server: unknown, spot: Spot, complaints: Complaints): string | undefined {
  const place = at(spot, child(spot.pointer, 'url'))
  if (!isObject(server) || typeof server.url !== 'string') {
    complaints.warn('P2017', spot, 'a server without a url: ignored')
    return undefined
  }
  // Variables stand for their defaults: the gate serves one of the servers, not all.
  const url = server.url.trim().replaceAll(/\{([^{}]*)\}/g, (written, name: string) => {
    const variable = member(server.variables, name)
    const value = isObject(variable)
      ? (variable.default ?? (Array.isArray(variable.enum) ? variable.enum[0] : undefined))
      : undefined
    return typeof value === 'string' || typeof value === 'number' ? String(value) : written
  })
  const [, scheme, , path] = /^([a-z][a-z\d+.-]*:)?(\/\/[^/?#]*)?([^?#]*)/is.exec(url)!
  if (scheme === undefined && !url.startsWith('/') && /^[\w-]+(\.[\w-]+)+(:\d+)?(\/|$)/.test(url)) {
    complaints.warn('P2017', place, `a url without a scheme: read as https://${url}`, { at: 'value' })
    return canonicalBasePath(url.slice(url.indexOf('/') === -1 ? url.length : url.indexOf('/')))
  }
  if (path!.includes('{')) {
    complaints.warn('P2017', place, `a variable in the path of the server has no default: ${url}`, {
      at: 'value',
      hint: 'give it a default, or say basePath in the configuration of the API',
    })
    return canonicalBasePath(path!.replaceAll(/\{[^{}]*\}/g, '').replaceAll(/\/{2,}/g, '/'))
  }
  // Relative to where the document is served from, which here is the root.
  return canonicalBasePath(path!.replace(/^(\.{1,2}\/)+/, '').replace(/^\.{1,2}$/, ''))
}
