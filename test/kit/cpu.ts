/**
 * Milliseconds of this thread's own processor time that a piece of work takes: the least of some tries, so that a busy
 * machine does not fail a test about how long the event loop is held.
 */
export function cpuMs(work: () => unknown, tries = 3): number {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < tries; i++) {
    const start = used()
    work()
    least = Math.min(least, used() - start)
  }
  return least
}

function used(): number {
  // The thread's own clock came with Node 23.9; before, the process's, which counts the garbage collector's threads too.
  const { user, system } = (process.threadCpuUsage ?? process.cpuUsage).call(process)
  return (user + system) / 1000
}
