import t from 'tap'
import { Cancellation, toAbortSignal } from '../../src/lib/cancellation.js'

t.test('the first reason is kept, and each listener is called once', async t => {
  const cancellation = new Cancellation()
  const heard: unknown[] = []
  const listener = { handleEvent () { heard.push(cancellation.reason) } }
  const gone = { handleEvent () { heard.push('gone') } }
  cancellation.addEventListener('abort', listener)
  cancellation.addEventListener('abort', gone)
  cancellation.removeEventListener('abort', gone)
  cancellation.throwIfAborted()
  cancellation.abort('first')
  cancellation.abort('second')
  t.strictSame(heard, ['first'])
  t.strictSame([cancellation.aborted, cancellation.reason], [true, 'first'])
  t.throws(() => cancellation.throwIfAborted())
})

t.test('a listener may add and remove others while it is called', async t => {
  const cancellation = new Cancellation()
  const heard: string[] = []
  const second = { handleEvent () { heard.push('second') } }
  cancellation.addEventListener('abort', {
    handleEvent () {
      heard.push('first')
      cancellation.removeEventListener('abort', second)
      cancellation.addEventListener('abort', { handleEvent () { heard.push('late') } })
    }
  })
  cancellation.addEventListener('abort', second)
  cancellation.abort('stop')
  t.strictSame(heard, ['first', 'second'])
})

t.test('its AbortSignal is aborted with it, whether it was created before or after', async t => {
  const cancellation = new Cancellation()
  const before = toAbortSignal(cancellation)
  t.equal(before.aborted, false)
  const heard = new Promise(resolve => before.addEventListener('abort', () => resolve(before.reason)))
  cancellation.abort('stop')
  t.equal(await heard, 'stop')
  const late = new Cancellation()
  late.abort('too late')
  t.strictSame([toAbortSignal(late).aborted, toAbortSignal(late).reason], [true, 'too late'])
  t.equal(toAbortSignal(late), toAbortSignal(late), 'it is always the same object')
})

t.test('an AbortSignal is returned as it is', async t => {
  const { signal } = new AbortController()
  t.equal(toAbortSignal(signal), signal)
})
