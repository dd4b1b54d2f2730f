import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until `condition` holds, or fails after `withinMs`: for what happens soon, at no time that could be named. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
  for (const deadline = Date.now() + withinMs; !(await condition()); await sleep(5)) {
    if (Date.now() > deadline) throw new Error(`did not happen within ${withinMs} ms: ${condition}`)
  }
}
