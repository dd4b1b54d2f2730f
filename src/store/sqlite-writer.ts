/*
 * The thread that writes to a store's file. Waiting for the disk, or for another process that writes, would hold
 * every request of the gate if it were done on the main thread.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { messageOf } from '../base/errors.ts'
import { connect } from './sqlite-file.ts'
import { createApply, type Outcome, type Write } from './sqlite-writes.ts'

/** What the thread answers to a batch of writes; to `close` it answers by ending. */
export type WriterReply = { readonly outcomes: Outcome[] } | { readonly failure: string }

const { file, busyMs } = workerData as { readonly file: string; readonly busyMs: number }
const port: MessagePort = parentPort!
const database = connect(file, busyMs)
const apply = createApply(database)

port.on('message', (request: readonly Write[] | 'close') => {
  if (request === 'close') {
    database.close()
    port.close()
    return
  }
  port.postMessage(answer(request))
})

function answer(writes: readonly Write[]): WriterReply {
  try {
    return { outcomes: apply(writes) }
  } catch (error) {
    return { failure: messageOf(error) }
  }
}
