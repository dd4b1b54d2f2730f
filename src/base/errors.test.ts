import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { messageOf } from './errors.ts'

function thrownBy(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

test('messageOf tells what the system refused in words, with the file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-errors-'))
  try {
    const absent = join(folder, 'absent')
    expect(messageOf(thrownBy(() => readFileSync(absent)))).toBe(`there is no ${absent}`)
    writeFileSync(join(folder, 'file'), '')
    const under = join(folder, 'file', 'x')
    expect(messageOf(thrownBy(() => readFileSync(under)))).toBe(`a part of the path is no folder: ${under}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
  const denied = Object.assign(new Error('EACCES: permission denied, mkdir'), { code: 'EACCES', path: '/srv/x' })
  expect(messageOf(denied)).toBe('this user may not open, or not write, /srv/x')
})

test('messageOf leaves alone what is not about a file', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  expect(messageOf(refused)).toBe('connect ECONNREFUSED')
  expect(messageOf(Object.assign(new Error('bind EACCES'), { code: 'EACCES' }))).toBe('bind EACCES')
  expect(messageOf('plain')).toBe('plain')
})
