import { closeSync, mkdirSync, openSync, readdirSync, unlinkSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'

/**
 * What a running process answers to its operator: by path. A key that ends in `/` takes the rest of the path as its
 * argument. `undefined` as an answer means: not known here.
 */
export type ControlRoutes = Readonly<Record<string, (rest: string) => unknown>>

const socketName = /^control-\d+(?:-\d+)?\.sock$/
const answerBytesMax = 16 * 1024 * 1024
/** The longest path a socket's address can hold (sun_path), with room for the closing zero. */
const socketPathBytesMax = 103

/**
 * Opens this process's control socket, `<directory>/control-<pid>.sock`: only its own user can connect. Sockets of
 * processes that are gone are removed.
 */
export async function openControl(directory: string, routes: ControlRoutes): Promise<{ close: () => Promise<void> }> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  for (const name of socketNames(directory)) {
    if (!(await isAlive(directory, name))) remove(join(directory, name))
  }
  // In containers that share a directory two processes can have the same id.
  const taken = new Set(socketNames(directory))
  let name = `control-${process.pid}.sock`
  for (let n = 2; taken.has(name); n++) name = `control-${process.pid}-${n}.sock`

  const server = createServer((incoming, reply) => {
    incoming.resume()
    void answer(routes, incoming.method ?? '', incoming.url ?? '/').then(({ status, body }) => {
      reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? null))
    })
  })
  server.maxConnections = 32
  server.requestTimeout = 5_000
  server.headersTimeout = 5_000
  await listenPrivately(server, directory, name)
  server.unref()
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
        remove(join(directory, name))
      }),
  }
}

/**
 * Asks every live process that has a control socket in the directory, each for at most two seconds, and gives the
 * answers of those that know one.
 */
export async function askControl(directory: string, path: string): Promise<unknown[]> {
  const answers = await Promise.all(socketNames(directory).map((name) => ask(directory, name, path)))
  return answers.filter((answer) => answer !== undefined)
}

async function answer(
  routes: ControlRoutes,
  method: string,
  url: string,
): Promise<{ readonly status: number; readonly body: unknown }> {
  if (method !== 'GET') return { status: 405, body: { error: 'only GET is understood' } }
  try {
    const path = decodeURIComponent(url.split('?', 1)[0]!)
    const exact = Object.hasOwn(routes, path) ? routes[path] : undefined
    const slash = path.indexOf('/', 1) + 1
    const prefix = path.slice(0, slash)
    const route = exact ?? (slash > 0 && Object.hasOwn(routes, prefix) ? routes[prefix] : undefined)
    if (route === undefined) return { status: 404, body: { error: 'no such question' } }
    const body = await route(exact === undefined ? path.slice(slash) : '')
    return body === undefined ? { status: 404, body: { error: 'not known here' } } : { status: 200, body }
  } catch (error) {
    return { status: 500, body: { error: messageOf(error) } }
  }
}

function ask(directory: string, name: string, path: string): Promise<unknown> {
  return withSocketPath(
    directory,
    name,
    (socketPath) =>
      new Promise((resolve) => {
        const asked = request({ socketPath, path: encodeURI(path), agent: false }, (reply) => {
          let text = ''
          reply.setEncoding('utf8')
          reply.on('data', (part: string) => {
            text += part
            if (text.length > answerBytesMax) asked.destroy()
          })
          reply.on('end', () => resolve(reply.statusCode === 200 ? parsed(text) : undefined))
          reply.on('error', () => resolve(undefined))
        })
        const limit = setTimeout(() => asked.destroy(new Error('too slow')), 2_000)
        asked.on('error', () => resolve(undefined))
        asked.on('close', () => {
          clearTimeout(limit)
          resolve(undefined)
        })
        asked.end()
      }),
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function socketNames(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => socketName.test(name))
  } catch {
    return []
  }
}

function isAlive(directory: string, name: string): Promise<boolean> {
  return withSocketPath(
    directory,
    name,
    (path) =>
      new Promise((resolve) => {
        const socket = connect(path)
        socket.setTimeout(1_000)
        const end = (alive: boolean) => {
          socket.destroy()
          resolve(alive)
        }
        socket.on('connect', () => end(true))
        // Busy is alive; only a refusal says that nobody listens.
        socket.on('timeout', () => end(true))
        socket.on('error', (error: NodeJS.ErrnoException) =>
          end(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT' && error.code !== 'ENOTSOCK'),
        )
      }),
  )
}

async function listenPrivately(server: ReturnType<typeof createServer>, directory: string, name: string) {
  await withSocketPath(
    directory,
    name,
    (path) =>
      new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        // The socket file is made within `listen`, with the mask of that moment: there is no moment in which others
        // could connect. On Linux connecting takes the right to write to the file.
        const before = process.umask(0o177)
        try {
          // Exclusive: in a cluster worker the primary would bind it otherwise.
          server.listen({ path, exclusive: true }, () => {
            server.off('error', reject)
            resolve()
          })
        } finally {
          process.umask(before)
        }
      }),
  )
}

/** Calls back with a path short enough for a socket's address, going through an open directory where it must. */
async function withSocketPath<T>(directory: string, name: string, use: (path: string) => Promise<T>): Promise<T> {
  const path = join(directory, name)
  if (Buffer.byteLength(path) <= socketPathBytesMax) return use(path)
  const fd = openSync(directory, 'r')
  try {
    return await use(`/proc/self/fd/${fd}/${name}`)
  } finally {
    closeSync(fd)
  }
}

function remove(path: string) {
  try {
    unlinkSync(path)
  } catch {
    // Another process was quicker.
  }
}
