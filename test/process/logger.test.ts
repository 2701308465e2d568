import { type EventEmitter, once } from 'node:events'
import fs, { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openOutput } from '../../src/process/logger.js'

/** Several times what lines wait for others at the most. */
const LONG_MS = 400

/** Opens an output to a file, and records what is written there; `write` may hold a write back. */
function openRecorded (t: Test, write: (go: () => void) => void = go => go()) {
  const file = join(t.testdir(), 'log')
  const fd = openSync(file, 'w')
  const { write: original } = fs
  const written: unknown[] = []
  const patched = (...args: [number, ...unknown[]]) => {
    if (args[0] === fd) written.push(args[1])
    const go = () => Reflect.apply(original, fs, args)
    if (args[0] === fd) write(go)
    else go()
  }
  fs.write = patched as typeof fs.write
  t.teardown(() => {
    fs.write = original
    // An output that has ended has closed it.
    try { closeSync(fd) } catch {}
  })
  return { output: openOutput(fd), written, read: () => readFileSync(file, 'utf8') }
}

t.test('lines are written soon, and nothing is written while there are none', async t => {
  const { output, written, read } = openRecorded(t)
  await delay(LONG_MS)
  t.same(written, [], 'nothing before the first line')
  output.write('first\n')
  output.write('second\n')
  await delay(LONG_MS)
  t.equal(read(), 'first\nsecond\n')
  const count = written.length
  t.ok(count <= 2, 'together, and once more at the most')
  await delay(LONG_MS)
  t.equal(written.length, count, 'nothing while there are no lines')
  output.write('third\n')
  await delay(LONG_MS)
  t.equal(read(), 'first\nsecond\nthird\n')
})

t.test('an output that is ended is not flushed any more', async t => {
  const { output, read } = openRecorded(t)
  output.write('last\n')
  const closed = once(output as unknown as EventEmitter, 'close')
  ;(output as unknown as { end (): void }).end()
  await closed
  // A flush would throw, in a timer.
  await delay(LONG_MS)
  t.equal(read(), 'last\n')
})

t.test('what is logged while a slow write is under way is written after it, with no further line', async t => {
  const held: Array<() => void> = []
  const { output, read } = openRecorded(t, go => held.length ? go() : held.push(go))
  output.write('first\n')
  await delay(LONG_MS)
  t.equal(held.length, 1, 'the output takes nothing')
  output.write('second\n')
  await delay(LONG_MS)
  t.equal(read(), '')
  held[0]!()
  await delay(LONG_MS)
  t.equal(read(), 'first\nsecond\n')
})
