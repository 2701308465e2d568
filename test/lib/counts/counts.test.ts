import t from 'tap'
import { Distribution } from '../../../src/lib/counts/distribution.js'
import { Tally } from '../../../src/lib/counts/tally.js'

t.test('a tally counts each combination of labels, and does not grow without end', async t => {
  const tally = new Tally<'method' | 'status'>()
  tally.add({ method: 'GET', status: '200' })
  tally.add({ method: 'GET', status: '200' }, 2)
  tally.add({ method: 'GET', status: '404' })
  t.strictSame(tally.counts, [{ labels: { method: 'GET', status: '200' }, count: 3 }, { labels: { method: 'GET', status: '404' }, count: 1 }])
  for (let status = 0; status < 5000; status++) tally.add({ method: 'PUT', status: String(status) })
  t.equal(tally.counts.length, 1001)
  t.equal(tally.counts.reduce((sum, { count }) => sum + count, 0), 5004, 'nothing is lost')
  t.strictSame(tally.counts.at(-1), { labels: { method: 'other', status: 'other' }, count: 4002 })
})

t.test('a distribution says how many values are at most each bound', async t => {
  const distribution = new Distribution([1, 5])
  for (const value of [0, 1, 1.5, 5, 7, -1, NaN]) distribution.observe(value)
  t.strictSame(distribution.cumulative, [{ bound: 1, count: 2 }, { bound: 5, count: 4 }, { bound: Infinity, count: 5 }])
  t.equal(distribution.sum, 14.5)
  t.equal(distribution.count, 5, 'what is no time, since a clock was set, is left out')
})
