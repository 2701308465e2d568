import t from 'tap'
import { ALL_EVENTS, EVENT_GROUPS, isTold, PLAIN, readKnownEvents } from '#shared/reader/known-events.ts'

t.test('who says nothing knows nothing more than live callers do, unless the route is for others', async t => {
  t.strictSame(readKnownEvents(undefined), PLAIN)
  t.strictSame(readKnownEvents(null, ALL_EVENTS), ALL_EVENTS)
  t.strictSame(readKnownEvents('', ALL_EVENTS), PLAIN, 'an empty text says that nothing is known')
})

t.test('names are separated by commas, with or without spaces, and * is all', async t => {
  t.strictSame(readKnownEvents('rewind,reconnect , tools'), new Set(['rewind', 'reconnect', 'tools']))
  t.strictSame(readKnownEvents(' * '), ALL_EVENTS)
  t.strictSame(readKnownEvents('rewind, *'), ALL_EVENTS)
  for (const name of EVENT_GROUPS) t.strictSame(readKnownEvents(name), new Set([name]))
})

t.test('a name that is none is refused with those there are', async t => {
  for (const text of ['rewinds', 'rewind, Tools', '*, all', 'chunk', 'constructor']) {
    t.throws(() => readKnownEvents(text), { code: 'bad_request', statusCode: 400, message: /takes rewind, reconnect, cancelled, tools, progress, waiting, or \*\.$/ }, text)
  }
})

t.test('each group stands for its events, and what has none is told to all', async t => {
  const told = (known: string) => ['started', 'chunk', 'done', 'error', 'rewind', 'cancelled', 'tool_call', 'tool_result', 'step', 'progress', 'queued', 'retry', 'reasoning']
    .filter(type => isTold(readKnownEvents(known), type)).slice(4)
  t.strictSame(told(''), [])
  t.strictSame(told('tools'), ['tool_call', 'tool_result', 'step'])
  t.strictSame(told('progress'), ['progress', 'queued', 'retry', 'reasoning'])
  t.strictSame(told('rewind, cancelled'), ['rewind', 'cancelled'])
  t.strictSame(told('reconnect, waiting'), [])
  for (const type of ['started', 'chunk', 'done', 'error']) t.ok(isTold(PLAIN, type), type)
})
