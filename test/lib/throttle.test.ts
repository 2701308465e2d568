import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { Throttle } from '../../src/lib/throttle.js'

/** A throttle beside a clock that stands still unless `pass` moves it; `calls` are the times at which its task ran. */
function setUp (t: Test, minMs: number, share: number) {
  let now = 0
  t.intercept(performance, 'now', { value: () => now })
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const calls: number[] = []
  const throttle = new Throttle(() => { calls.push(now) }, minMs, share)
  return {
    throttle,
    calls,
    pass (ms: number): void {
      for (let passed = 0; passed < ms; passed++) {
        now++
        mock.timers.tick(1)
      }
    }
  }
}

t.test('the first call runs the task at once, and the calls of an interval are merged into one at its end', async t => {
  const { throttle, calls, pass } = setUp(t, 20, 0)
  throttle.call()
  t.strictSame(calls, [0])
  for (let call = 0; call < 5; call++) {
    pass(1)
    throttle.call()
  }
  pass(100)
  t.strictSame(calls, [0, 20], 'and without a call there is no task')
  throttle.call()
  t.strictSame(calls, [0, 20, 105])
})

t.test('the interval grows with the age of the throttle', async t => {
  const { throttle, calls, pass } = setUp(t, 10, 1 / 2)
  for (let ms = 0; ms < 200; ms++) {
    throttle.call()
    pass(1)
  }
  t.strictSame(calls, [0, 10, 20, 30, 45, 68, 102, 153])
})

t.test('a pending task can be run early or discarded', async t => {
  const { throttle, calls, pass } = setUp(t, 20, 0)
  throttle.flush()
  t.strictSame(calls, [], 'there is none')
  throttle.call()
  throttle.call()
  pass(5)
  throttle.flush()
  t.strictSame(calls, [0, 5])
  throttle.call()
  throttle.stop()
  pass(100)
  t.strictSame(calls, [0, 5])
})
