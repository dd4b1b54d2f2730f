import {
  close as closeFile,
  closeSync,
  fstat,
  fstatSync,
  mkdirSync,
  open,
  openSync,
  stat,
  write,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'

type Done = (error: NodeJS.ErrnoException | null, written: number) => void

/** Where lines end up. One write at a time; `done` is called once for each, never before `write` returns. */
export interface Outlet {
  readonly write: (bytes: Buffer, done: Done) => void
  /** For the last moment of a process: writes what it can without waiting, and says how much. */
  readonly writeNow: (bytes: Buffer) => number
  /** Opens the file anew before the next write: after rotation. */
  readonly reopen: () => void
  readonly close: () => void
  /** What may be written together at most, where the outlet knows a limit. */
  readonly batchBytesMax?: number
}

/**
 * Writes of up to PIPE_BUF bytes are not mixed with those of other processes (pipe(7)); sockets and terminals keep
 * to it as well. Longer ones may be torn apart in the middle of a line.
 */
const atomicWriteBytes = 4_096

/** How often a file is compared with its name, so that rotation is noticed without a signal. */
const rotationCheckMs = 1_000

/** Appends to a file (made with mode 600). Follows its name when the file is rotated. Throws when it cannot open. */
export function fileOutlet(path: string, now: Clock = Date.now): Outlet {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  let fd: number | undefined = openSync(path, 'a', 0o600)
  let stale = false
  let checkedAt = now()

  const openAgain = (done: (error: NodeJS.ErrnoException | null) => void) => {
    open(path, 'a', 0o600, (error, opened) => {
      if (error !== null) return done(error)
      if (fd !== undefined) closeFile(fd, () => {})
      fd = opened
      stale = false
      done(null)
    })
  }
  const ensureOpen = (done: (error: NodeJS.ErrnoException | null) => void) => {
    if (fd === undefined || stale) return openAgain(done)
    if (now() - checkedAt < rotationCheckMs) return done(null)
    checkedAt = now()
    const opened = fd
    stat(path, (error, named) => {
      if (error !== null) return openAgain(done)
      fstat(opened, (failure, own) => {
        if (failure !== null || own.ino !== named.ino || own.dev !== named.dev) openAgain(done)
        else done(null)
      })
    })
  }
  return {
    write(bytes, done) {
      ensureOpen((error) => {
        if (error !== null || fd === undefined) return done(error, 0)
        write(fd, bytes, 0, bytes.length, null, (failure, written) => {
          // The volume may be another one by the next try.
          if (failure !== null) stale = true
          done(failure, failure === null ? written : 0)
        })
      })
    },
    writeNow(bytes) {
      return fd === undefined ? 0 : writeNow(fd, bytes)
    },
    reopen() {
      stale = true
    },
    close() {
      if (fd !== undefined) closeSync(fd)
      fd = undefined
    },
  }
}

/**
 * Standard output, whatever it is. A reader that stalls or goes away never stalls this process. With `shared` other
 * processes write to it too.
 */
export function standardOutlet(options: { readonly shared?: boolean } = {}): Outlet {
  // Node writes to a regular file on its main thread, but to pipes and sockets without waiting.
  if (isRegularFile(1)) {
    return {
      write: (bytes, done) =>
        write(1, bytes, 0, bytes.length, null, (error, written) => done(error, error === null ? written : 0)),
      writeNow: (bytes) => writeNow(1, bytes),
      reopen() {},
      close() {},
    }
  }
  const outlet = streamOutlet(process.stdout, (bytes) => writeNow(1, bytes))
  return options.shared === true ? { ...outlet, batchBytesMax: atomicWriteBytes } : outlet
}

/** Any stream as an outlet; `last` writes what is left when the process ends. */
export function streamOutlet(stream: NodeJS.WritableStream, last: (bytes: Buffer) => number = () => 0): Outlet {
  // Without a listener a reader that goes away (EPIPE) would end the process.
  const onError = () => {}
  stream.on('error', onError)
  return {
    write(bytes, done) {
      stream.write(bytes, (error) =>
        done((error as NodeJS.ErrnoException | null | undefined) ?? null, error ? 0 : bytes.length),
      )
    },
    writeNow: last,
    reopen() {},
    close() {
      stream.off('error', onError)
    },
  }
}

function isRegularFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile()
  } catch {
    return false
  }
}

/** Tries for at most a quarter of a second: a stalled reader must not keep a process from ending. */
function writeNow(fd: number, bytes: Buffer): number {
  let written = 0
  for (let tries = 0; written < bytes.length && tries < 50; ) {
    try {
      written += writeSync(fd, bytes, written)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return written
      tries++
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
  return written
}

/** Lines that go out in batches. Writing one never waits and never throws. */
export interface LineWriter {
  /** Takes a line without its end, or drops and counts it when the queue is full. */
  readonly write: (line: string) => void
  readonly counts: WriterCounts
  /** Opens the file anew before the next write. */
  readonly reopen: () => void
  /** Writes what is left, within the time given, and closes the outlet. */
  readonly close: (timeoutMs?: number) => Promise<void>
  /** Writes what is left without waiting: for the `exit` event of the process. */
  readonly flushNow: () => void
}

export interface WriterCounts {
  readonly lines: number
  readonly dropped: number
  readonly errors: ReadonlyMap<string, number>
  /** Bytes that wait to be written. */
  readonly queuedBytes: number
}

export interface LineWriterOptions {
  readonly log: Logger
  readonly now?: Clock
  /** What is written together at most. */
  readonly batchBytes?: number
  /** How long a line waits for others at most. */
  readonly batchMs?: number
  /** What may wait for a slow outlet; more is dropped. */
  readonly queueBytesMax?: number
  /** Until a failed write is tried again. */
  readonly retryMs?: number
  /** The line that tells a reader how many are missing before it. */
  readonly droppedLine: (dropped: number, now: number) => string
}

/** Batches lines into an outlet: 64 KB or 200 ms together, a bounded queue behind, errors survived. */
export function createLineWriter(outlet: Outlet, options: LineWriterOptions): LineWriter {
  const { log, now = Date.now, batchMs = 200, retryMs = 1_000, droppedLine } = options
  const batchBytes = Math.min(options.batchBytes ?? 65_536, outlet.batchBytesMax ?? 65_536)
  const queueBytesMax = options.queueBytesMax ?? 8 * 1024 * 1024
  const queue: Buffer[] = []
  const spare: Buffer[] = []
  const errors = new Map<string, number>()
  let batch: Buffer = Buffer.allocUnsafeSlow(batchBytes)
  let batchEnd = 0
  let queuedBytes = 0
  let writing = false
  let failing = false
  let lines = 0
  let dropped = 0
  let droppedUntold = 0
  let timer: NodeJS.Timeout | undefined
  let closed = false
  let settled: (() => void) | undefined

  const sealBatch = () => {
    if (batchEnd === 0) return
    queue.push(batch.subarray(0, batchEnd))
    batch = spare.pop() ?? Buffer.allocUnsafeSlow(batchBytes)
    batchEnd = 0
  }
  const pump = () => {
    // After a failure only the timer tries again, however much comes in.
    if (writing || (failing && timer !== undefined)) return
    if (queue.length === 0) sealBatch()
    const chunk = queue[0]
    if (chunk === undefined) return settled?.()
    writing = true
    outlet.write(chunk, (error, written) => {
      writing = false
      if (error !== null) return onFailure(error)
      if (failing) onRecovery()
      queuedBytes -= written
      if (written < chunk.length) {
        queue[0] = chunk.subarray(written)
      } else {
        queue.shift()
        if (chunk.buffer.byteLength === batchBytes && spare.length < 4) spare.push(Buffer.from(chunk.buffer))
      }
      if (droppedUntold > 0 && queuedBytes < queueBytesMax / 2) {
        const missing = droppedUntold
        droppedUntold = 0
        append(droppedLine(missing, now()))
      }
      if (queue.length > 0 || settled !== undefined) pump()
      else if (batchEnd > 0 && timer === undefined) schedule(batchMs)
    })
  }
  const onFailure = (error: NodeJS.ErrnoException) => {
    const code = error.code ?? 'unknown'
    // The codes of the operating system are few; a stream made of something else could bring others.
    if (errors.has(code) || errors.size < 20) errors.set(code, (errors.get(code) ?? 0) + 1)
    if (!failing) {
      log.error('activity log: cannot write; requests go on, lines wait in memory and then are dropped', {
        code,
        error: messageOf(error),
      })
    }
    failing = true
    if (settled !== undefined) return settled()
    schedule(retryMs)
  }
  const onRecovery = () => {
    failing = false
    log.info('activity log: writing again', { dropped: droppedUntold })
  }
  const schedule = (ms: number) => {
    if (timer !== undefined) clearTimeout(timer)
    timer = setTimeout(() => {
      timer = undefined
      pump()
    }, ms)
    timer.unref()
  }
  const append = (line: string) => {
    // A UTF-16 unit takes at most three bytes in UTF-8; counted only where that guess does not fit.
    if (line.length * 3 >= batchBytes - batchEnd) {
      const bytes = Buffer.byteLength(line) + 1
      if (bytes > batchBytes - batchEnd) {
        sealBatch()
        if (bytes > batchBytes) {
          queue.push(Buffer.from(`${line}\n`))
          queuedBytes += bytes
          pump()
          return
        }
        pump()
      }
    }
    const written = batch.write(line, batchEnd)
    batch[batchEnd + written] = 10
    batchEnd += written + 1
    queuedBytes += written + 1
    if (timer === undefined && !writing) schedule(batchMs)
  }

  return {
    write(line) {
      if (closed || queuedBytes + line.length > queueBytesMax) {
        dropped++
        droppedUntold++
        return
      }
      lines++
      append(line)
    },
    counts: {
      get lines() {
        return lines
      },
      get dropped() {
        return dropped
      },
      get queuedBytes() {
        return queuedBytes
      },
      errors,
    },
    reopen: outlet.reopen,
    async close(timeoutMs = 2_000) {
      if (closed) return
      closed = true
      if (timer !== undefined) clearTimeout(timer)
      timer = undefined
      if (droppedUntold > 0) {
        append(droppedLine(droppedUntold, now()))
        droppedUntold = 0
      }
      await new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, timeoutMs)
        settled = () => {
          clearTimeout(limit)
          resolve()
        }
        pump()
      })
      settled = () => {}
      if (timer !== undefined) clearTimeout(timer)
      outlet.close()
    },
    flushNow() {
      // A write that is under way may have gone out in part; what follows would land in the middle of a line.
      if (writing || closed) return
      sealBatch()
      for (const chunk of queue.splice(0)) {
        const written = outlet.writeNow(chunk)
        queuedBytes -= written
        if (written < chunk.length) return
      }
    },
  }
}
