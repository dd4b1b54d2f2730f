import { spawn } from 'node:child_process'
import {
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as tick } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { silentLogger } from '../base/log.ts'
import { createLineWriter, fileOutlet, type LineWriterOptions, type Outlet } from './line-writer.ts'

const droppedLine = (dropped: number) => `{"dropped":${dropped}}`
const options: LineWriterOptions = { log: silentLogger, droppedLine, batchMs: 10, retryMs: 10 }

/** An outlet whose writes end when the test says so. */
function heldOutlet() {
  const written: string[] = []
  const pending: { bytes: Buffer; done: (error: NodeJS.ErrnoException | null, written: number) => void }[] = []
  const outlet: Outlet = {
    write: (bytes, done) => void pending.push({ bytes, done }),
    writeNow: (bytes) => {
      written.push(bytes.toString())
      return bytes.length
    },
    reopen() {},
    close() {},
  }
  const finish = (bytesMax = Number.POSITIVE_INFINITY) => {
    const { bytes, done } = pending.shift()!
    const taken = bytes.subarray(0, bytesMax)
    written.push(taken.toString())
    done(null, taken.length)
  }
  const fail = (code: string) => pending.shift()!.done(Object.assign(new Error(code), { code }), 0)
  return { outlet, pending, finish, fail, text: () => written.join('') }
}

describe('O1: lines go out in batches', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('after the time given, all at once', () => {
    const held = heldOutlet()
    const writer = createLineWriter(held.outlet, { ...options, batchMs: 200 })
    writer.write('{"a":1}')
    writer.write('{"ü":"€"}')
    vi.advanceTimersByTime(199)
    expect(held.pending).toHaveLength(0)
    vi.advanceTimersByTime(1)
    held.finish()
    expect(held.text()).toBe('{"a":1}\n{"ü":"€"}\n')
    expect(writer.counts.queuedBytes).toBe(0)
  })

  test('earlier when a batch is full, and a line longer than a batch goes whole', () => {
    const held = heldOutlet()
    const writer = createLineWriter(held.outlet, { ...options, batchBytes: 100, batchMs: 200 })
    writer.write('x'.repeat(49))
    writer.write('y'.repeat(49))
    expect(held.pending).toHaveLength(0)
    writer.write('w')
    expect(held.pending).toHaveLength(1)
    writer.write('z'.repeat(500))
    held.finish()
    held.finish()
    vi.advanceTimersByTime(200)
    while (held.pending.length > 0) held.finish()
    expect(held.text()).toBe(`${'x'.repeat(49)}\n${'y'.repeat(49)}\nw\n${'z'.repeat(500)}\n`)
  })

  test('in writes that stay whole where several processes share the output', () => {
    const held = heldOutlet()
    const writer = createLineWriter({ ...held.outlet, batchBytesMax: 4_096 }, options)
    for (let i = 0; i < 40; i++) writer.write(`${i}`.padEnd(900, '.'))
    vi.advanceTimersByTime(10)
    let lines = 0
    while (held.pending.length > 0) {
      const { bytes } = held.pending[0]!
      expect(bytes.length).toBeLessThanOrEqual(4_096)
      expect(bytes.at(-1)).toBe(10)
      lines += bytes.toString().split('\n').length - 1
      held.finish()
      vi.advanceTimersByTime(10)
    }
    expect(lines).toBe(40)
  })

  test('also those that came while a write was under way', () => {
    const held = heldOutlet()
    const writer = createLineWriter(held.outlet, options)
    writer.write('one')
    vi.advanceTimersByTime(10)
    writer.write('two')
    held.finish()
    vi.advanceTimersByTime(10)
    held.finish()
    expect(held.text()).toBe('one\ntwo\n')
  })

  test('whole, when the system takes them in parts', () => {
    const held = heldOutlet()
    const writer = createLineWriter(held.outlet, options)
    writer.write('abcdefghij')
    vi.advanceTimersByTime(10)
    for (let i = 0; i < 4 && held.pending.length > 0; i++) held.finish(3)
    expect(held.text()).toBe('abcdefghij\n')
  })

  test('a reused batch holds nothing of the one before', () => {
    const held = heldOutlet()
    const writer = createLineWriter(held.outlet, { ...options, batchBytes: 64 })
    for (let i = 0; i < 50; i++) {
      writer.write(`line ${i}`)
      if (i % 7 === 0) vi.advanceTimersByTime(10)
      while (held.pending.length > 0) held.finish()
    }
    vi.advanceTimersByTime(10)
    while (held.pending.length > 0) held.finish()
    expect(held.text()).toBe(Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join(''))
  })
})

describe('O1: a slow or broken output', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('drops and counts what does not fit, and says so once it moves again', () => {
    const held = heldOutlet()
    const writer = createLineWriter(held.outlet, { ...options, queueBytesMax: 1_000 })
    for (let i = 0; i < 200; i++) writer.write('0123456789')
    vi.advanceTimersByTime(10)
    expect(writer.counts.queuedBytes).toBeLessThanOrEqual(1_010)
    const { lines, dropped } = writer.counts
    expect(lines + dropped).toBe(200)
    expect(dropped).toBeGreaterThan(100)
    held.finish()
    vi.advanceTimersByTime(10)
    held.finish()
    expect(held.text().trim().split('\n')).toEqual([...Array(lines).fill('0123456789'), `{"dropped":${dropped}}`])
  })

  test('a full disk loses nothing that fits into the queue, and is not asked more often than agreed', () => {
    const held = heldOutlet()
    const said: string[] = []
    const log = { ...silentLogger, error: (m: string) => said.push(m), info: (m: string) => said.push(m) }
    const writer = createLineWriter(held.outlet, { ...options, log, retryMs: 1_000, batchBytes: 64 })
    writer.write('before')
    vi.advanceTimersByTime(10)
    held.fail('ENOSPC')
    for (let i = 0; i < 20; i++) writer.write(`while full ${i}`)
    expect(held.pending).toHaveLength(0)
    vi.advanceTimersByTime(1_000)
    held.fail('ENOSPC')
    expect(held.pending).toHaveLength(0)
    vi.advanceTimersByTime(1_000)
    while (held.pending.length > 0) held.finish()
    vi.advanceTimersByTime(10)
    while (held.pending.length > 0) held.finish()
    expect(held.text()).toBe(`before\n${Array.from({ length: 20 }, (_, i) => `while full ${i}\n`).join('')}`)
    expect(writer.counts.errors.get('ENOSPC')).toBe(2)
    expect(said).toHaveLength(2)
  })

  test('close gives up on an output that never moves', async () => {
    const held = heldOutlet()
    const writer = createLineWriter(held.outlet, options)
    writer.write('lost')
    const closing = writer.close(500)
    await vi.advanceTimersByTimeAsync(500)
    await closing
    expect(held.pending).toHaveLength(1)
  })

  test('what is left goes out at the exit of the process, unless a write is half done', () => {
    const held = heldOutlet()
    const writer = createLineWriter(held.outlet, options)
    writer.write('last words')
    writer.flushNow()
    expect(held.text()).toBe('last words\n')
    writer.write('under way')
    vi.advanceTimersByTime(10)
    writer.write('behind')
    writer.flushNow()
    expect(held.text()).toBe('last words\n')
  })
})

describe('O1: the log file', () => {
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'portcullis-log-'))
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))
  const read = (name: string) => readFileSync(join(dir, name), 'utf8')

  test('is made for its owner only, and what is there already is kept', async () => {
    writeFileSync(join(dir, 'a.ndjson'), 'old\n')
    for (const name of ['a.ndjson', 'new/b.ndjson']) {
      const writer = createLineWriter(fileOutlet(join(dir, name)), options)
      writer.write('line')
      await writer.close()
    }
    expect(read('a.ndjson')).toBe('old\nline\n')
    expect(statSync(join(dir, 'new/b.ndjson')).mode & 0o777).toBe(0o600)
  })

  test('follows its name on request, after rotation', async () => {
    const writer = createLineWriter(fileOutlet(join(dir, 'a')), options)
    writer.write('one')
    await vi.waitFor(() => expect(read('a')).toBe('one\n'))
    renameSync(join(dir, 'a'), join(dir, 'a.1'))
    writer.reopen()
    writer.write('two')
    await writer.close()
    expect(read('a.1')).toBe('one\n')
    expect(read('a')).toBe('two\n')
  })

  test('follows its name without being asked, within a second or so', async () => {
    let now = 0
    const writer = createLineWriter(
      fileOutlet(join(dir, 'a'), () => now),
      options,
    )
    writer.write('one')
    await vi.waitFor(() => expect(read('a')).toBe('one\n'))
    renameSync(join(dir, 'a'), join(dir, 'a.1'))
    now = 1_001
    writer.write('two')
    await writer.close()
    expect(read('a')).toBe('two\n')
  })

  test('a full disk (/dev/full) is survived, and writing goes on once there is room', async () => {
    const path = join(dir, 'a')
    symlinkSync('/dev/full', path)
    const writer = createLineWriter(fileOutlet(path), options)
    writer.write('kept')
    await vi.waitFor(() => expect(writer.counts.errors.get('ENOSPC')).toBeGreaterThan(1))
    unlinkSync(path)
    await vi.waitFor(() => expect(read('a')).toBe('kept\n'))
    await writer.close()
  })
})

test('O1: a stalled reader of standard output keeps no process from working or from ending', async () => {
  const program = `
    import { createLineWriter, standardOutlet } from ${JSON.stringify(new URL('./line-writer.ts', import.meta.url).pathname)}
    const writer = createLineWriter(standardOutlet(), { log: { debug() {}, info() {}, warn() {}, error() {} }, droppedLine: (n) => '' + n, batchMs: 5 })
    const line = 'x'.repeat(1000)
    let ticks = 0
    const timer = setInterval(() => {
      for (let i = 0; i < 2000; i++) writer.write(line)
      if (++ticks < 20) return
      clearInterval(timer)
      writer.close(100).then(() => process.stderr.write(JSON.stringify(writer.counts), () => process.exit(0)))
    }, 5)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.pause()
  let counts = ''
  child.stderr.on('data', (part) => {
    counts += part
  })
  const code = await new Promise((resolve) => child.once('exit', resolve))
  await tick()
  expect(code).toBe(0)
  const { lines, dropped } = JSON.parse(counts)
  expect(lines + dropped).toBe(40_000)
  expect(dropped).toBeGreaterThan(20_000)
})
