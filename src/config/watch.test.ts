import { appendFile, mkdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { folder } from './fixture.ts'
import { type Watch, type WatchOptions, watchFiles } from './watch.ts'

const open: Watch[] = []
afterEach(() => {
  for (const watch of open.splice(0)) watch.close()
})

/** Watches with short waits; `changes()` counts the calls, `reached(n)` waits for the nth. */
async function watching(files: readonly string[], options: WatchOptions = {}) {
  let count = 0
  const waiting: { readonly target: number; readonly done: () => void }[] = []
  const watch = watchFiles(
    files,
    () => {
      count++
      for (const { target, done } of waiting) if (count >= target) done()
    },
    { settleMs: 30, pollMs: 60_000, absentMs: 300, ...options },
  )
  open.push(watch)
  await watch.ready()
  return {
    watch,
    changes: () => count,
    reached: (target: number) =>
      count >= target ? Promise.resolve() : new Promise<void>((done) => waiting.push({ target, done })),
  }
}

describe('watchFiles calls back', () => {
  test('when a file is written in place, and again the next time', async () => {
    const directory = await folder({ 'a.yaml': '1' })
    const file = join(directory, 'a.yaml')
    const { reached, changes } = await watching([file])
    await writeFile(file, '2')
    await reached(1)
    await appendFile(file, '3')
    await reached(2)
    expect(changes()).toBe(2)
  })

  test('once for a burst of writes to several files', async () => {
    const directory = await folder({ 'a.yaml': '1', 'b.yaml': '1' })
    const files = ['a.yaml', 'b.yaml'].map((name) => join(directory, name))
    const { reached, changes } = await watching(files, { settleMs: 300 })
    for (let i = 0; i < 20; i++) for (const file of files) await appendFile(file, 'x')
    await reached(1)
    await writeFile(files[0]!, 'last')
    await reached(2)
    expect(changes()).toBe(2)
  })

  test('when an editor saves by renaming a new file over the old one', async () => {
    const directory = await folder({ 'a.yaml': '1' })
    const file = join(directory, 'a.yaml')
    const { reached } = await watching([file])
    for (const n of [1, 2, 3]) {
      await writeFile(`${file}~`, `${n}`)
      await rename(`${file}~`, file)
      await reached(n)
    }
  })

  test('once when a file is deleted and written anew', async () => {
    const directory = await folder({ 'a.yaml': '1' })
    const file = join(directory, 'a.yaml')
    const { reached, changes } = await watching([file], { absentMs: 5_000 })
    await unlink(file)
    await writeFile(file, '2')
    await reached(1)
    expect(changes()).toBe(1)
  })

  test('when a file stays away', async () => {
    const directory = await folder({ 'a.yaml': '1' })
    const { reached } = await watching([join(directory, 'a.yaml')])
    await unlink(join(directory, 'a.yaml'))
    await reached(1)
  })

  test('when a file comes that was named and not there', async () => {
    const directory = await folder()
    const { reached } = await watching([join(directory, '.env')])
    await writeFile(join(directory, '.env'), 'A=1')
    await reached(1)
  })

  test('when Kubernetes swaps a ConfigMap, every time', async () => {
    // The layout that kubelet makes: portcullis.yaml → ..data/portcullis.yaml, ..data → ..<timestamp>, swapped by rename.
    const directory = await folder()
    const version = async (name: string, text: string) => {
      await mkdir(join(directory, name))
      await writeFile(join(directory, name, 'portcullis.yaml'), text)
    }
    await version('..1', 'one')
    await symlink('..1', join(directory, '..data'))
    await symlink('..data/portcullis.yaml', join(directory, 'portcullis.yaml'))
    const { reached, changes } = await watching([join(directory, 'portcullis.yaml')])
    for (const n of [2, 3]) {
      await version(`..${n}`, 'next')
      await symlink(`..${n}`, join(directory, '..data_tmp'))
      await rename(join(directory, '..data_tmp'), join(directory, '..data'))
      await rm(join(directory, `..${n - 1}`), { recursive: true })
      await reached(n - 1)
    }
    expect(changes()).toBe(2)
  })

  test('through a symbolic link, when the file it leads to changes in its own folder', async () => {
    const [links, real] = [await folder(), await folder({ 'a.pem': '1' })]
    await symlink(join(real, 'a.pem'), join(links, 'a.pem'))
    const { reached } = await watching([join(links, 'a.pem')])
    await writeFile(join(real, 'a.pem'), '2')
    await reached(1)
  })

  test('by looking now and then, where no event tells', async () => {
    const directory = await folder()
    // The folder is not there yet, so nothing can be watched.
    const file = join(directory, 'later/a.yaml')
    const { reached } = await watching([file], { pollMs: 40 })
    await mkdir(join(directory, 'later'))
    await writeFile(file, '1')
    await reached(1)
  })
})

describe('watchFiles keeps still', () => {
  test('for other files in the same folder', async () => {
    const directory = await folder({ 'a.yaml': '1' })
    const { reached, changes } = await watching([join(directory, 'a.yaml')])
    await writeFile(join(directory, 'activity.log'), 'line')
    await writeFile(join(directory, 'a.yaml'), '2')
    await reached(1)
    expect(changes()).toBe(1)
  })

  test('for files that are no longer wanted, and minds the new ones', async () => {
    const directory = await folder({ 'a.yaml': '1', 'b.yaml': '1' })
    const { watch, reached, changes } = await watching([join(directory, 'a.yaml')])
    watch.update([join(directory, 'b.yaml')])
    await watch.ready()
    await writeFile(join(directory, 'a.yaml'), '2')
    await writeFile(join(directory, 'b.yaml'), '2')
    await reached(1)
    expect(changes()).toBe(1)
  })

  test('once it is closed', async () => {
    const directory = await folder({ 'a.yaml': '1' })
    const first = await watching([join(directory, 'a.yaml')])
    first.watch.close()
    const second = await watching([join(directory, 'a.yaml')])
    await writeFile(join(directory, 'a.yaml'), '2')
    await second.reached(1)
    expect(first.changes()).toBe(0)
  })
})
