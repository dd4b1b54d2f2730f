import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'

/*
 * Loaded into a gate of its own process (`NODE_OPTIONS=--import …/hold-probe.ts`, `HOLD_PROBE=<socket>`): tells how
 * long its event loop was held since it was last asked. Both by the clock, which on a busy machine counts other
 * processes too, and in the main thread's own processor time between two beats, which does not.
 */

const path = process.env.HOLD_PROBE
if (path !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  let cpuMaxMs = 0
  let before = cpuMs()
  const beat = () => {
    const now = cpuMs()
    cpuMaxMs = Math.max(cpuMaxMs, now - before)
    before = now
  }
  setInterval(beat, 1).unref()
  rmSync(path, { force: true })
  const server = createServer((socket) => {
    beat()
    socket.end(
      JSON.stringify({ cpuMs: cpuMaxMs, clockMs: delay.max / 1e6, residentMb: process.memoryUsage.rss() / 1e6 }),
    )
    cpuMaxMs = 0
    delay.reset()
  })
  server.listen(path)
  server.unref()
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
