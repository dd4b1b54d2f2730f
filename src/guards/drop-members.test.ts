import { expect, test } from 'vitest'
import { dropMembers } from './drop-members.ts'

test.each<[unknown, string[], unknown]>([
  [{ a: 1, b: 2 }, ['/a'], { b: 2 }],
  [{ a: { b: 1, c: 2 } }, ['/a/b'], { a: { c: 2 } }],
  [
    [{ a: 1, b: 2 }, { a: 3 }],
    ['/0/a', '/1/a'],
    [{ b: 2 }, {}],
  ],
  [{ 'a/b~c': 1 }, ['/a~1b~0c'], {}],
  [{ '~1': 1, '/': 2 }, ['/~01'], { '/': 2 }],
  [{ '': 1 }, ['/'], {}],
  [{ a: 1 }, ['', '/b', '/b/c', '/a/b', '/toString/x'], { a: 1 }],
  [[1, 2], ['/0'], [1, 2]],
])('from %j without %j stays %j', (value, pointers, expected) => {
  expect(dropMembers(value, pointers)).toEqual(expected)
})
