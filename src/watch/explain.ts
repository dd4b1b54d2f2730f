import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { TrafficRecord } from '../traffic/record.ts'
import { askControl } from './control.ts'
import { type Explained, savedFiles } from './recent.ts'

export interface ExplainSources {
  /** Where the control sockets and the files of earlier runs lie. */
  readonly stateDir: string
  /** `telemetry.logs.file`, when there is one. */
  readonly logFile?: string | undefined
}

/** An explanation, and where it was found: a running gate, what an earlier one left, or the activity log. */
export interface FoundExplanation extends Explained {
  readonly source: 'running' | 'saved' | 'log'
}

/** Bytes of the log that are searched, from its end. */
const searchedBytesMax = 512 * 1024 * 1024
const pieceBytes = 1024 * 1024

/** Finds what is known of a request: asks running gates, then the files they left, then the activity log. */
export async function explainRequest(id: string, sources: ExplainSources): Promise<FoundExplanation | undefined> {
  const running = (await askControl(sources.stateDir, `/explain/${encodeURIComponent(id)}`)).find(isExplained)
  if (running !== undefined) return { ...running, source: 'running' }
  for (const name of savedFiles(sources.stateDir)) {
    const line = await findLine(join(sources.stateDir, name), id)
    const saved = line === undefined ? undefined : parsed(line)
    if (isExplained(saved)) return { ...saved, source: 'saved' }
  }
  if (sources.logFile === undefined) return undefined
  for (const file of [sources.logFile, `${sources.logFile}.1`]) {
    const line = await findLine(file, id)
    const record = line === undefined ? undefined : (parsed(line) as TrafficRecord | undefined)
    if (record !== undefined) {
      const observed = (record.observed ?? []).map((code) => ({ code }))
      return { record, detail: undefined, observed, source: 'log' }
    }
  }
  return undefined
}

function isExplained(value: unknown): value is Explained {
  return typeof value === 'object' && value !== null && 'record' in value
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** The last line of a file that names the id, searched from the end: what people ask about is recent. */
async function findLine(path: string, id: string): Promise<string | undefined> {
  const needle = Buffer.from(`"id":${JSON.stringify(id)}`)
  let file: Awaited<ReturnType<typeof open>>
  try {
    file = await open(path, 'r')
  } catch {
    return undefined
  }
  try {
    let end = (await file.stat()).size
    const stop = Math.max(0, end - searchedBytesMax)
    while (end > stop) {
      // Pieces overlap by the needle's length, so that one that lies across a border is found.
      const start = Math.max(stop, end - pieceBytes)
      const piece = Buffer.alloc(end - start)
      await file.read(piece, 0, piece.length, start)
      const at = piece.lastIndexOf(needle)
      if (at >= 0) return await lineAround(file, start + at)
      if (start === stop) return undefined
      end = start + needle.length
    }
    return undefined
  } finally {
    await file.close()
  }
}

/** A line is far shorter than this: headers, path and evidence are all bounded where it is written. */
const lineBytesMax = 256 * 1024

async function lineAround(file: Awaited<ReturnType<typeof open>>, position: number): Promise<string> {
  const start = Math.max(0, position - lineBytesMax)
  const around = Buffer.alloc(lineBytesMax * 2)
  const { bytesRead } = await file.read(around, 0, around.length, start)
  const from = around.lastIndexOf(10, position - start) + 1
  const to = around.indexOf(10, position - start)
  return around.toString('utf8', from, to < 0 ? bytesRead : to)
}
