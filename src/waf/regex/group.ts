import { createAutomaton, traceStates } from './automaton.ts'
import type { Pattern } from './index.ts'
import { createCacheMemory } from './memory.ts'
import { compileProgram } from './program.ts'
import { trim } from './simplify.ts'

/**
 * How many bytes are read in the time that one transition takes which is not known yet: measured at about 2 µs in a set of
 * ten patterns, against 1.3 ns.
 */
const bytesPerTransition = 1_500

/**
 * Larger sets read a text that they know faster, but no sample shows all combinations of their states: with 87 patterns
 * of CRS and a sample of 64 KB, sets of 12 took 65 ns for a byte of texts they knew and 150 ns for others; sets without
 * this limit 50 and 245, and half as much memory again; every pattern alone 180 and 250.
 */
const membersMax = 12

/** How much of the sample teaches the automata; on the rest it is counted what they did not know. */
const learnedShare = 0.75

/**
 * Divides patterns into groups, each good for one set: such that a text like the sample, but not seen before, costs the
 * least. One scan less is worth so many transitions that have to be built; patterns whose states combine badly stay
 * alone. Lists of indices, the same for the same input. Takes half a second for 87 patterns and 64 KB of sample, which is
 * the least that shows what prose does.
 */
export function groupPatterns(patterns: readonly Pattern[], sample: string): number[][] {
  const memory = createCacheMemory({ bytesMax: 64 * 1024 * 1024 })
  const traces = patterns.map((pattern, index) => {
    const automaton = createAutomaton(compileProgram([trim(pattern.ast)]), {
      memory,
      bytesMax: memory.bytesMax,
      single: false,
    })
    const trace = traceStates(automaton, sample)
    // Its share in the hash of a combination of states.
    for (let i = 0; i < trace.length; i++) trace[i] = mix(trace[i]! * 257 + index * 65_537)
    automaton.drop()
    return { index, trace, novel: 0 }
  })
  const bytes = Buffer.from(sample, 'latin1')
  const counter = createTransitionCounter(bytes)
  for (const one of traces) one.novel = counter(one.trace)
  // Those that build the least first: they are the core of the groups.
  traces.sort((a, b) => a.novel - b.novel || a.index - b.index)
  const scan = bytes.length * (1 - learnedShare)
  const groups: { members: number[]; trace: Int32Array; novel: number }[] = []
  const combined = new Int32Array(bytes.length)
  for (const { index, trace, novel } of traces) {
    let best: (typeof groups)[number] | undefined
    let bestNovel = 0
    let bestGain = 0
    for (const group of groups) {
      if (group.members.length >= membersMax) continue
      for (let i = 0; i < combined.length; i++) combined[i] = (group.trace[i]! + trace[i]!) | 0
      const together = counter(combined)
      const gain = scan - (together - group.novel - novel) * bytesPerTransition
      if (gain > bestGain) {
        best = group
        bestNovel = together
        bestGain = gain
      }
    }
    if (best === undefined) {
      groups.push({ members: [index], trace: trace.slice(), novel })
      continue
    }
    best.members.push(index)
    best.novel = bestNovel
    for (let i = 0; i < trace.length; i++) best.trace[i] = (best.trace[i]! + trace[i]!) | 0
  }
  return groups.map(({ members }) => members.sort((a, b) => a - b))
}

/** Counts the transitions (state, byte) of the last part of the sample that the first part does not have. */
function createTransitionCounter(bytes: Uint8Array): (trace: Int32Array) => number {
  const size = 1 << Math.ceil(Math.log2(bytes.length * 2 + 2))
  const table = new Int32Array(size)
  const learned = Math.floor(bytes.length * learnedShare)
  return (trace) => {
    table.fill(0)
    let novel = 0
    for (let i = 1; i < bytes.length; i++) {
      const key = mix(trace[i - 1]! + Math.imul(bytes[i]! + 1, 0x2545f491)) | 1
      let at = (key >>> 7) & (size - 1)
      while (table[at] !== 0 && table[at] !== key) at = (at + 1) & (size - 1)
      if (table[at] === key) continue
      table[at] = key
      if (i >= learned) novel++
    }
    return novel
  }
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
