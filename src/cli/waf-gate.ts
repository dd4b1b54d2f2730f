import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { silentLogger } from '../base/log.ts'
import { type LoadOptions, loadConfig } from '../config/load.ts'
import { startAlbedo } from '../crs/ftw/albedo.ts'
import type { Seen } from '../crs/ftw/judge.ts'
import type { FtwStage } from '../crs/ftw/read.ts'
import { sendBytes } from '../crs/ftw/wire.ts'
import { loadRuleSources, type RuleChoice } from '../crs/rules.ts'
import { guards } from '../guards/index.ts'
import { openGateConfig } from '../guards/waf/open-gate.ts'
import type { Passage } from '../traffic/passage.ts'
import { serve } from './serve.ts'
import { shownRules } from './waf-rules.ts'

/** A gate that listens on this machine so that rules can be tested through it. */
export interface TestGate {
  /** Which rules run in it. */
  readonly rules: string
  /** Puts a stage's bytes on the wire; tells the reply, and the rules of the gate's own events. */
  readonly send: (stage: FtwStage) => Promise<Seen>
  readonly stop: () => Promise<void>
}

export interface TestGateOptions {
  readonly choice: RuleChoice
  /** A folder of its own, for its state. */
  readonly directory: string
  readonly paranoia: string
  readonly plain?: boolean
}

const replyMs = 5_000
/** An event comes right behind the end of the reply. */
const eventMs = 2_000
/** Where there was no reply, there may be no event either. */
const eventWithoutReplyMs = 250

/** Starts a gate in this process whose guards let everything through but for the firewall, which observes. */
export async function startTestGate(options: TestGateOptions): Promise<TestGate> {
  const { choice, directory } = options
  const loaded = await loadRuleSources(choice)
  const upstream = await startAlbedo()
  const { config: value, document } = openGateConfig({
    upstream: upstream.url,
    rules: choice.rules,
    ...(choice.rules === 'crs' && { crs: resolve(loaded.directory) }),
    before: choice.before ?? [],
    paranoia: Number(options.paranoia),
    evaluator: options.plain === true ? 'plain' : 'fast',
  })
  writeFileSync(join(directory, 'openapi.json'), JSON.stringify(document))
  try {
    const shapes = guards as unknown as LoadOptions['guards']
    const config = await loadConfig({ file: join(directory, 'portcullis.yaml'), value, env: {}, guards: shapes })
    const events = new Events()
    const running = await serve(config, {
      log: silentLogger,
      strayShare: 1,
      onPassage: (passage) => events.add(passage),
    })
    const { port } = running.addresses[0]!
    return {
      rules: shownRules(loaded),
      send: (stage) => send(port, stage, events),
      async stop() {
        await running.stop()
        await upstream.stop()
      },
    }
  } catch (error) {
    await upstream.stop()
    throw error
  }
}

async function send(port: number, stage: FtwStage, events: Events): Promise<Seen> {
  events.clear()
  const { status, text } = await sendBytes(port, stage.request, replyMs)
  const id = /^portcullis-request-id:[ \t]*(\S+)/im.exec(text)?.[1]
  const passage = await events.of(id, status === undefined ? eventWithoutReplyMs : eventMs)
  const matches = passage?.matches ?? []
  return {
    status,
    ids: matches.map(({ rule }) => rule),
    log: matches.map((match) => match.line?.() ?? ''),
    response: text,
  }
}

/** The exchanges that ended since a request was sent. */
class Events {
  #passages: Passage[] = []
  #wake: () => void = () => {}

  clear(): void {
    this.#passages = []
  }

  add(passage: Passage): void {
    this.#passages.push(passage)
    this.#wake()
  }

  /** The exchange with this id; without one the first that ends. `undefined` where none comes in time. */
  async of(id: string | undefined, timeoutMs: number): Promise<Passage | undefined> {
    const find = () => (id === undefined ? this.#passages[0] : this.#passages.find((passage) => passage.id === id))
    const end = Date.now() + timeoutMs
    for (;;) {
      const found = find()
      const left = end - Date.now()
      if (found !== undefined || left <= 0) return found
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}
