import { expect, test } from 'vitest'
import { share } from './share.ts'

test('a thing is shared by all who ask for it, and closed after the last', async () => {
  const owner = {}
  const events: string[] = []
  const make = (label: string) => () => {
    events.push(`open ${label}`)
    return { value: { label }, close: () => void events.push(`close ${label}`) }
  }
  const first = share(owner, 'a', make('a1'))
  const second = share(owner, 'a', make('a2'))
  const other = share(owner, 'b', make('b'))
  const elsewhere = share({}, 'a', make('a3'))
  expect(second.value).toBe(first.value)
  expect(other.value).not.toBe(first.value)
  expect(elsewhere.value).not.toBe(first.value)
  await first.release()
  await first.release()
  expect(events).toEqual(['open a1', 'open b', 'open a3'])
  await second.release()
  expect(events).toEqual(['open a1', 'open b', 'open a3', 'close a1'])
  expect(share(owner, 'a', make('a4')).value).toEqual({ label: 'a4' })
})
