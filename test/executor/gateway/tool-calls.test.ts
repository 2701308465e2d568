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

t.test('what a model writes into a call is bounded as it arrives', async t => {
  const long = new ToolCallCollector()
  for (let i = 0; i < 100; i++) long.add([{ index: 0, id: 'a', function: { name: 'n'.repeat(100_000), arguments: '' } }])
  t.equal(long.calls[0]!.function.name.length, 128, 'of a name the beginning is kept')
  const add = (...pieces: object[]) => {
    const collector = new ToolCallCollector()
    for (const piece of pieces) collector.add([piece])
    return collector
  }
  const tooLong = { code: 'gateway_answer_too_long' }
  t.throws(() => add({ index: 0, id: 'i'.repeat(100_000) }), tooLong, 'an id')
  t.throws(() => add({ index: 0, id: 'a', function: { arguments: 'x'.repeat(300_000) } }), tooLong, 'arguments')
  t.throws(() => add({ index: 0, id: 'a', extra: 'x'.repeat(100_000) }), tooLong, 'another field')
  t.throws(() => add(...Array.from({ length: 100 }, (_, n) => ({ index: 0, [`field${n}`]: 'x'.repeat(60_000) }))), tooLong, 'other fields together')
  t.throws(() => add(...Array.from({ length: 100 }, (_, n) => ({ index: n, id: `${n}`, function: { name: 'f', arguments: 'x'.repeat(200_000) } }))), tooLong, 'a turn')
  const repeated = add(...Array.from({ length: 1_000 }, () => ({ index: 0, id: 'a', extra: { signature: 's'.repeat(10_000) } })))
  t.ok(repeated.length < 20_000, 'a field that every piece repeats counts once')
  const own = add(JSON.parse('{"index": 0, "id": "a", "__proto__": {"function": 5}}'))
  t.equal(Object.getPrototypeOf(own.calls[0]), Object.prototype)
})
