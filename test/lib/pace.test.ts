import t from 'tap'
import { Pace } from '../../src/lib/pace.js'

t.test('a pause ends by itself, or sooner where something has happened, but not at once after a look', async t => {
  let now = 100_000
  const pace = new Pace(5_000, () => now)
  t.equal(pace.isDue, true, 'at first')
  pace.pause(600_000)
  pace.wake()
  now += 4_999
  t.equal(pace.isDue, false)
  now += 1
  t.equal(pace.isDue, true)
  pace.pause(600_000)
  now += 599_999
  t.equal(pace.isDue, false)
  pace.wake()
  t.equal(pace.isDue, true)
  pace.pause(1_000)
  now += 1_000
  t.equal(pace.isDue, true)
  pace.pause(1_000)
  pace.hurry()
  t.equal(pace.isDue, true, 'what is urgent waits for nothing')
})
