// The lock and the promises between real processes of this machine: a second one is refused, the lock of one that
// was killed is taken over at once, a process number that was given again does not fool it, and what was promised
// to a process is there after it was killed in the middle of its work.
import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { bytesOf, textOf } from '../../test/support/store-contract.ts'
import { isLinux, isUnix, mayMount } from '../../test/support/system.ts'
import type { DiskFile } from './disk.ts'
import { fileStore, fileStoreOn } from './file.ts'
import { FileLock } from './file-lock.ts'
import { nodeDisk } from './node-disk.ts'

vi.setConfig({ testTimeout: 60_000 }) // for busy machines

// What the other process runs. It says what it does, a line each; commands come as parameters.
const PROGRAM = `
import { writeSync } from 'node:fs'
import { fileStore } from ${JSON.stringify(fileURLToPath(new URL('file.ts', import.meta.url)))}
const [, , folder, task, durability] = process.argv
// Written before the next step is taken, so that a killed process has said all that it has promised.
const say = (line) => writeSync(1, line + '\\n')
const bytes = (text) => new TextEncoder().encode(text)
const store = fileStore(folder, { durability })
try {
  await store.open()
} catch (error) {
  say(error.code + ' ' + error.message)
  process.exit(0)
}
say('open ' + process.pid)
if (task === 'hold') setInterval(() => {}, 1000)
if (task === 'leave') process.exit(0)
if (task === 'work') {
  for (let id = 0; ; id++) {
    if (id % 100 === 99) await store.replace(bytes('up to ' + id))
    else await store.append(bytes('batch ' + id))
    say('done ' + id)
  }
}
if (task === 'fill') {
  let count = 0
  try {
    for (; ; count++) await store.append(new Uint8Array(4000).fill(count))
  } catch (error) {
    say('full ' + error.code + ' ' + error.cause.code + ' ' + error.message)
  }
  const { unlinkSync, writeFileSync } = await import('node:fs')
  const refused = await store.append(new Uint8Array(9000)).then(() => 'taken', (error) => error.code)
  unlinkSync(folder + '/../ballast')
  await store.append(bytes('after'))
  await store.close()
  const batches = [...(await store.open())]
  const right = batches.every((batch, index) => index === count || (batch.length === 4000 && batch[99] === index))
  say(['again', count, refused, batches.length - count, right, store.dropped].join(' '))
  await store.close()
}
`

let folder: string
let program: string
const children: ChildProcess[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'petrel-store-'))
  await chmod(folder, 0o755) // for the test that runs as nobody
  program = join(folder, 'program.mjs')
  await build({
    stdin: { contents: PROGRAM, resolveDir: folder },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: program,
  })
})
afterAll(() => rm(folder, { recursive: true }))

let path: string
let count = 0
beforeEach(() => {
  path = join(folder, `store-${count++}`)
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

interface Other {
  readonly child: ChildProcess
  readonly lines: AsyncIterator<string>
  next(): Promise<string>
  kill(): Promise<void>
}

function start(task: string, command: readonly string[] = [process.execPath], uid?: number): Other {
  const [file = '', ...before] = command
  const parameters = [...before, program, path, task, 'process']
  const child = spawn(file, parameters, {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(uid === undefined ? {} : { uid }),
  })
  children.push(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    child,
    lines,
    next: async () => String((await lines.next()).value),
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function openHere(): Promise<readonly string[]> {
  const store = fileStore(path)
  const texts = Array.from(await store.open(), textOf)
  await store.close()
  return texts
}

async function lockIn(store: string): Promise<string> {
  return (await readdir(store)).find((name) => name.startsWith('lock-')) ?? 'none'
}

describe('two processes', () => {
  it('cannot have one store, whichever comes first', async () => {
    const other = start('hold')
    expect(await other.next()).toBe(`open ${other.child.pid}`)
    const message = expect.stringContaining(`used by the process ${other.child.pid}`)
    await expect(fileStore(path).open()).rejects.toMatchObject({ code: 'store-in-use', message })
    await other.kill()

    const store = fileStore(path)
    await store.open()
    expect(await start('hold').next()).toMatch(
      `store-in-use the session store ${path} is used by the process`,
    )
    await store.append(bytesOf('unharmed'))
    await store.close()
    expect(await openHere()).toEqual(['unharmed'])
  })

  it('that come at the same moment do not both get it', async () => {
    const others = Array.from({ length: 4 }, () => start('hold'))
    const answers = await Promise.all(others.map((other) => other.next()))
    const won = answers.filter((answer) => answer.startsWith('open '))
    const refused = answers.filter((answer) => answer.startsWith('store-in-use '))
    expect([won.length, refused.length]).toEqual([1, 3])
  })
})

describe('the lock of a process', () => {
  it('that was killed is taken over at once, and so is that of one that just left', async () => {
    const other = start('hold')
    await other.next()
    await other.kill()
    expect(await lockIn(path)).toContain(`lock-${other.child.pid}-`)
    expect(await openHere()).toEqual([])
    expect(await lockIn(path)).toBe('none')

    const leaving = start('leave')
    await leaving.next()
    await leaving.kill()
    expect(await lockIn(path)).toContain(`lock-${leaving.child.pid}-`)
    expect(await openHere()).toEqual([])
  })

  it.skipIf(!isUnix)('that is only stopped is respected [needs unix]', async () => {
    const other = start('hold')
    await other.next()
    other.child.kill('SIGSTOP')
    await expect(fileStore(path).open()).rejects.toMatchObject({ code: 'store-in-use' })
  })

  it.skipIf(!isLinux)('that is dead and not yet buried is taken over [needs linux]', async () => {
    // `sleep` does not ask after the child that it inherits.
    const other = start('hold', ['/bin/sh', '-c', '"$0" "$@" & exec sleep 60', process.execPath])
    const pid = Number((await other.next()).split(' ')[1])
    process.kill(pid, 'SIGKILL')
    await expect
      .poll(async () => (await readFile(`/proc/${pid}/stat`, 'latin1')).split(') ')[1]?.[0])
      .toBe('Z')
    expect(await openHere()).toEqual([])
  })

  it.skipIf(!isLinux)('whose number was given again is taken over [needs linux]', async () => {
    const other = start('hold')
    await other.next()
    const name = await lockIn(path)
    // The process lives, but in the lock stands one that began at another time.
    await rename(join(path, name), join(path, name.replace(/-t(\d)/, '-t1$1')))
    expect(await openHere()).toEqual([])
    await writeFile(join(path, name), '1')
    await expect(openHere()).rejects.toMatchObject({ code: 'store-in-use' })
    // Nor does the number of this very process.
    await rename(join(path, name), join(path, name.replace(/^lock-\d+/, `lock-${process.pid}`)))
    expect(await openHere()).toEqual([])
  })

  it.skipIf(!isLinux)(
    'from before a restart of the machine, or another container, is taken over [needs linux]',
    async () => {
      const other = start('hold')
      await other.next()
      const name = await lockIn(path)
      await rename(join(path, name), join(path, name.replace(/-(\d+)\.\w+-/, '-$1.0123abcd-')))
      expect(await openHere()).toEqual([])
      await writeFile(join(path, name.replace(/-\d+(\.\w+)-/, '-17$1-')), '1')
      expect(await openHere()).toEqual([])
    },
  )

  it('can be given back at a second attempt', async () => {
    let failures = 1
    const unlink = async (name: string): Promise<void> => {
      if (failures-- > 0) throw Object.assign(new Error('EIO: simulated'), { code: 'EIO' })
      await nodeDisk.unlink(name)
    }
    const store = fileStoreOn({ ...nodeDisk, unlink }, path)
    await store.open()
    await expect(store.close()).rejects.toMatchObject({ code: 'store-failed', cause: { code: 'EIO' } })
    await expect(openHere()).rejects.toMatchObject({ code: 'store-in-use' })
    await store.close()
    expect(await openHere()).toEqual([])
  })

  it('is refused, not waited for, when a claim of a living process stays undecided', async () => {
    await mkdir(path)
    let pauses = 0
    const pause = async (): Promise<void> => void pauses++
    const rival = { pid: 4711, start: '1', place: '1', token: '1' }
    const owner = { ...rival, token: '0' }
    const disk = { ...nodeDisk, pause, isAlive: async () => true, owner: async () => owner }
    await writeFile(join(path, 'lock-4711-1-1-1'), '')
    await expect(new FileLock(disk, path).acquire()).rejects.toMatchObject({ code: 'store-in-use' })
    expect(pauses).toBeGreaterThan(10)
    expect(await readdir(path)).toEqual(['lock-4711-1-1-1'])
  })
})

describe('a process that is killed while it works', () => {
  it('finds all that was promised, and at most one batch more', async () => {
    for (let round = 0; round < 6; round++) {
      await rm(path, { recursive: true, force: true })
      const other = start('work')
      await other.next()
      const most = 40 + round * 67
      let last = -1
      for (let line = ''; !line.endsWith(` ${most}`); last = Number(line.split(' ')[1]))
        line = await other.next()
      await other.kill()
      for (let line = await other.next(); line.startsWith('done'); line = await other.next()) last += 1

      const texts = await openHere()
      const found = Number(texts.at(-1)?.split(' ').at(-1))
      expect([last, last + 1]).toContain(found)
      const first = found - texts.length + 1
      const expected = texts.map(
        (_, index) => `${(first + index) % 100 === 99 ? 'up to' : 'batch'} ${first + index}`,
      )
      expect(texts).toEqual(expected)
      expect(first === 0 || first % 100 === 99).toBe(true)
    }
  })
})

describe('the disk of this machine', () => {
  const isRoot = process.getuid?.() === 0
  it.skipIf(!isUnix)('refuses whoever may not write there, in words [needs unix]', async () => {
    // Root may write everywhere, and becomes nobody.
    await mkdir(path, { mode: isRoot ? 0o755 : 0o555 })
    const answer = await start('hold', [process.execPath], isRoot ? 65_534 : undefined).next()
    expect(answer).toMatch(/^store-failed .*EACCES.*The process needs the right to write there\.$/)
    await chmod(path, 0o755)
  })

  it.skipIf(!mayMount())('full: says so, and works again when there is space [needs mounts]', async () => {
    await mkdir(path)
    const script = `
      mount -t tmpfs -o size=256k none "${path}" && head -c 65536 /dev/zero > "${path}/ballast" &&
      exec "$0" "$1" "$2/store" "$3" "$4"`
    const other = start('fill', ['unshare', '-m', '/bin/sh', '-c', script, process.execPath])
    expect(await other.next()).toMatch(/^open/)
    expect(await other.next()).toMatch(/^full store-failed ENOSPC .*Free some space/)
    expect(await other.next()).toMatch(/^again \d\d store-failed 1 true $/)
  })

  it('does not hold more files open than it needs', async () => {
    let open = 0
    const counting = async (...parameters: Parameters<typeof nodeDisk.open>): Promise<DiskFile> => {
      const file = await nodeDisk.open(...parameters)
      open += 1
      const close = async (): Promise<void> => {
        open -= 1
        await file.close()
      }
      return {
        write: (bytes, at) => file.write(bytes, at),
        datasync: () => file.datasync(),
        truncate: (length) => file.truncate(length),
        close,
      }
    }
    const store = fileStoreOn({ ...nodeDisk, open: counting }, path, { segmentBytes: 64 })
    await store.open()
    for (let batch = 0; batch < 5; batch++) await store.append(bytesOf('a batch that fills a segment'))
    await store.replace(bytesOf('all'))
    expect(open).toBe(1)
    await store.close()
    expect(open).toBe(0)
  })
})
