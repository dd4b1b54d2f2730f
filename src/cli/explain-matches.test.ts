import { describe, expect, test } from 'vitest'
import type { RecordedMatch, TrafficRecord } from '../traffic/record.ts'
import { exclusionsFor, matchesText } from './explain-matches.ts'

const sqli: RecordedMatch = {
  rule: 942100,
  message: 'SQL injection',
  severity: 'CRITICAL',
  score: 5,
  variable: 'ARGS:q',
  data: "1' or '1'='1",
  tags: ['attack-sqli'],
}
const verdict: RecordedMatch = { rule: 949110, message: 'Score 5', score: 0, variable: 'TX:score', tags: [] }

function record(matches: readonly RecordedMatch[], more: Partial<TrafficRecord> = {}): TrafficRecord {
  return { api: 'shop', operation: 'search', method: 'GET', route: '/search', matches, ...more } as TrafficRecord
}

describe('explaining rules that fitted', () => {
  test('shows each with its place, and what to paste', () => {
    expect(matchesText(record([sqli, verdict]))).toBe(`
  rules       942100 CRITICAL +5  SQL injection
                at ARGS:q: "1' or '1'='1"
                attack-sqli
              949110   Score 5
                at TX:score

Where this was no attack, add what is true of it to apis.shop.waf, and say why:

    exclusions:
      - { rule: 942100, target: "ARGS:q", match: "op:search", reason: "…" }`)
  })

  test('says nothing where none did', () => {
    expect(matchesText(record([]))).toBe('')
  })

  test.each<[string, string | undefined, Partial<TrafficRecord>?]>([
    ['ARGS:json.items.0.note', '"/items/*/note"'],
    ['ARGS:json.comment', '"/comment"'],
    ['REQUEST_HEADERS:User-Agent', '"REQUEST_HEADERS:User-Agent"'],
    ['REQUEST_URI', '"REQUEST_URI"'],
    ['ARGS:***', undefined],
    ['', undefined],
  ])('an exclusion for %j is as narrow as can be told', (variable, target) => {
    const [line] = exclusionsFor(record([{ ...sqli, variable }]))
    expect(line).toBe(
      `{ rule: 942100, ${target === undefined ? '' : `target: ${target}, `}match: "op:search", reason: "…" }`,
    )
  })

  test('names an operation without an id by method and path, and no operation for what belongs to none', () => {
    expect(exclusionsFor(record([sqli], { operation: 'GET /search' }))[0]).toContain('match: "GET /search"')
    expect(exclusionsFor(record([sqli], { operation: 'unlisted-path' }))[0]).not.toContain('match')
    expect(exclusionsFor(record([sqli], { api: '-' }))).toEqual([])
  })

  test('says once what is the same', () => {
    expect(exclusionsFor(record([sqli, sqli]))).toHaveLength(1)
  })
})
