import t from 'tap'
import { ToolCallCollector } from '../../../src/executor/gateway/tool-calls.js'

/** Collects the calls from the pieces of these frames. */
function collect (...frames: unknown[]) {
  const collector = new ToolCallCollector()
  for (const pieces of frames) collector.add(pieces)
  return collector.calls
}

const call = (id: string, name: string, args: string) => ({ id, type: 'function', function: { name, arguments: args } })

t.test('a call is assembled from its pieces, which may alternate with those of others', async t => {
  t.same(collect(
    [{ index: 0, id: 'a', type: 'function', function: { name: 'one', arguments: '' } }],
    [{ index: 0, function: { arguments: '{"n"' } }],
    [{ index: 1, id: 'b', type: 'function', function: { name: 'two', arguments: '{}' } }, { index: 0, function: { arguments: ':1}' } }]
  ), [call('a', 'one', '{"n":1}'), call('b', 'two', '{}')])
})

t.test('calls with the same index are distinguished by their ids, and those of one frame by their position', async t => {
  const pieces = (id: string) => [{ index: 0, id, type: 'function', function: { name: id, arguments: '{}' } }]
  t.same(collect(pieces('a'), pieces('b')), [call('a', 'a', '{}'), call('b', 'b', '{}')])
  t.same(collect([{ id: 'a', function: { name: 'a', arguments: '{}' } }, { id: 'b', function: { name: 'b', arguments: '{}' } }]),
    [call('a', 'a', '{}'), call('b', 'b', '{}')])
})

t.test('a missing id is generated, arguments that are an object become text, and unknown fields are kept', async t => {
  const [first, second] = collect([
    { index: 0, function: { name: 'one', arguments: { n: 1 } }, extra_content: { google: { thought_signature: 'x' } } },
    { index: 1, function: { name: 'two' } }
  ])
  t.match(first, { id: /^call_.{36}$/, function: { name: 'one', arguments: '{"n":1}' }, extra_content: { google: { thought_signature: 'x' } } })
  t.match(second, { id: /^call_.{36}$/, function: { name: 'two', arguments: '' } })
  t.not(first!.id, second!.id)
})

t.test('anything but an array is ignored, and too many calls are an error', async t => {
  t.same(collect('x', null, {}, [null, 5, 'x']), [])
  t.throws(() => collect(Array.from({ length: 129 }, (_, index) => ({ index, id: `${index}` }))), /more than 128/)
})
