import t from 'tap'
import { ToolCallCollector } from '../../../src/executor/gateway/tool-calls.js'
import { withKnownNames } from '../../../src/executor/gateway/tool-names.js'

/** Collects the calls from the pieces of these frames. */
function collect (...frames: unknown[]) {
  const collector = new ToolCallCollector()
  for (const pieces of frames) collector.add(pieces)
  return collector.calls
}

const call = (id: string, name: string, args: string) => ({ id, type: 'function' as const, function: { name, arguments: args } })

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

t.test('anything but an array is ignored, and so is a call of nothing', async t => {
  t.same(collect('x', null, {}, [null, 5, 'x']), [])
  t.same(collect([{}], [{ index: 0 }], [{ index: 0, id: '', type: 'function', function: { name: '', arguments: '' } }], [{ index: 1, id: null, function: null }]), [])
})

t.test('of too many calls the first are kept, and that there were more is known', async t => {
  const collector = new ToolCallCollector()
  const piece = (index: number, fields: object) => [{ index, ...fields }]
  for (let index = 0; index < 128; index++) collector.add(piece(index, { id: `${index}`, function: { name: 'f', arguments: '{}' } }))
  t.equal(collector.hasMore, false)
  for (let index = 128; index < 140; index++) {
    collector.add(piece(index, { id: `${index}`, function: { name: 'f', arguments: '' } }))
    collector.add(piece(index, { function: { arguments: '{"q":1}' } }))
  }
  t.equal(collector.hasMore, true)
  t.same(collector.calls.map(({ id }) => id), Array.from({ length: 128 }, (_, index) => `${index}`))
  const same = new ToolCallCollector()
  for (let number = 0; number < 130; number++) same.add(piece(0, { id: `${number}`, function: { name: 'f', arguments: '{"q":1}' } }))
  same.add(piece(0, { function: { arguments: 'x' } }))
  t.same([same.calls.length, same.hasMore, same.calls.at(-1)!.function.arguments], [128, true, '{"q":1}'], 'of one index, too')
  t.throws(() => { for (;;) same.add(piece(0, { function: { arguments: 'x'.repeat(1000) } })) }, { code: 'gateway_answer_too_long' }, 'calls that are not kept are bounded too')
})

/** The names and arguments of the calls of these pieces. */
const callsOf = (...pieces: object[]) => collect(...pieces.map(piece => [piece])).map(({ function: { name, arguments: args } }) => [name, args])
const fn = (name: string | undefined, args?: unknown) => ({ function: { name, arguments: args } })

t.test('a name that every piece repeats is one name, whatever their ids', async t => {
  t.same(callsOf({ index: 0, id: 'a', ...fn('look', '{"q') }, { index: 0, id: 'b', ...fn('look', '":') }, { index: 0, id: 'c', ...fn('look', '1}') }, { index: 0, id: 'd', ...fn('look', '') }), [['look', '{"q":1}']])
  t.same(callsOf({ index: 0, ...fn('look', '{"q') }, { index: 0, ...fn('look', '":1}') }, { index: 0, ...fn('look', '\n') }), [['look', '{"q":1}\n']])
  t.same(callsOf({ index: 0, ...fn('lo', '') }, { index: 0, ...fn('look', '') }, { index: 0, ...fn('look_up', '{}') }), [['look_up', '{}']], 'or grows')
})

t.test('a name in fragments is one name', async t => {
  t.same(callsOf({ index: 0, id: 'a', ...fn('look') }, { index: 0, ...fn('_') }, { index: 0, ...fn('up', '{') }, { index: 0, ...fn('', '}') }), [['look_up', '{}']])
})

t.test('an id that comes late, changes or is empty makes no new call', async t => {
  const late = collect([{ index: 0, id: '', ...fn('look', '') }], [{ index: 0, id: 'a', ...fn(undefined, '{"q"') }], [{ index: 0, id: '', ...fn(undefined, ':1}') }], [{ index: 0, id: 'b' }])
  t.same(late, [call('a', 'look', '{"q":1}')])
})

t.test('a piece without a name continues the call of its index, or of its id', async t => {
  t.same(callsOf(
    { index: 0, id: 'a', ...fn('one', '') }, { index: 1, id: 'b', ...fn('two', '') },
    { index: 1, ...fn(undefined, '{"n":2}') }, { index: 0, ...fn(undefined, '{"n":1}') }
  ), [['one', '{"n":1}'], ['two', '{"n":2}']])
  t.same(callsOf(
    { index: 0, id: 'a', ...fn('one', '{') }, { index: 0, id: 'b', ...fn('two', '{') },
    { index: 0, id: 'a', ...fn(undefined, '"n":1}') }, { index: 0, id: 'b', ...fn(undefined, '"n":2}') }
  ), [['one', '{"n":1}'], ['two', '{"n":2}']])
})

t.test('a name after complete arguments begins another call', async t => {
  for (const index of [{}, { index: 0 }]) {
    for (const id of [{}, { id: '' }, { id: null }]) {
      t.same(callsOf({ ...index, ...id, ...fn('one', '{"n":1}') }, { ...index, ...id, ...fn('two', '{}') }, { ...index, ...id, ...fn('two', '{"n":{"m":"}"}}') }),
        [['one', '{"n":1}'], ['two', '{}'], ['two', '{"n":{"m":"}"}}']])
    }
  }
  t.same(callsOf({ index: 0, id: 'a', ...fn('one', '{"n":1}') }, { index: 0, id: 'b', ...fn('two', '') }, { index: 0, ...fn(undefined, '{"n":2}') }), [['one', '{"n":1}'], ['two', '{"n":2}']])
  t.same(callsOf({ index: 0, id: 'a', ...fn('one', '{"n":1}') }, { index: 0, id: 'b', ...fn('one', '') }, { index: 0, ...fn(undefined, '{"n"') }, { index: 0, ...fn(undefined, ':2}') }),
    [['one', '{"n":1}'], ['one', '{"n":2}']], 'of the same tool, too')
  t.same(callsOf({ id: 'x', ...fn('one', '{}') }, { id: 'x', ...fn('two', '{}') }), [['one', '{}'], ['two', '{}']], 'though their ids are the same')
})

t.test('arguments that come after {} replace it, and those that come once more count once', async t => {
  t.same(callsOf({ index: 0, id: 'a', ...fn('look', '{}') }, { index: 0, ...fn(undefined, '{"q"') }, { index: 0, ...fn(undefined, ':1}') }), [['look', '{"q":1}']])
  t.same(callsOf({ index: 0, id: 'a', ...fn('look', {}) }, { index: 0, ...fn(undefined, '{"q":1}') }), [['look', '{"q":1}']])
  t.same(callsOf({ index: 0, id: 'a', ...fn('look', '{"q":1}') }, { index: 0, ...fn(undefined, '{"q":1}') }, { index: 0, ...fn(undefined, '{}') }), [['look', '{"q":1}']])
  t.same(callsOf({ index: 0, id: 'a', ...fn('look', { q: 1 }) }, { index: 0, id: 'a', ...fn('look', { q: 1, r: 2 }) }), [['look', '{"q":1,"r":2}']])
  t.same(callsOf({ index: 0, id: 'a', ...fn('look', '{"q":1}') }, { index: 0, ...fn(undefined, '{"r') }), [['look', '{"q":1}{"r']], 'what is neither stays as it came')
})

t.test('a name that a provider has changed is that of the one tool that fits', async t => {
  const named = (name: string, ...tools: string[]) => withKnownNames([call('a', name, '{}')], tools.map(name => ({ name })))[0]!.function.name
  for (const name of ['look', 'functions.look', 'default_api:look', 'default_api.look', 'functions.look:0', 'tools/look', 'look<|channel|>json', ' look', 'Look', 'functions_look', 'a.b.look']) {
    t.equal(named(name, 'look', 'look_up'), 'look', name)
  }
  t.equal(named('functions.look', 'Look', 'look'), 'functions.look', 'two fit')
  t.equal(named('functions.look', 'see'), 'functions.look', 'none fits')
  t.equal(named('functions_look', 'functions_look', 'look'), 'functions_look', 'a tool has the name itself')
  t.equal(named('functions.look', 'functions_look'), 'functions_look')
  for (const none of ['', ' ', 'functions.', '<|channel|>json']) t.equal(named(none, 'tools_', 'look'), none, 'nothing fits nothing')
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
  const within = add(...Array.from({ length: 1_000 }, () => ({ index: 0, id: 'a', function: { signature: 's'.repeat(10_000) } })))
  t.ok(within.length < 20_000, 'and one within function')
  t.throws(() => add({ index: 0, id: 'a', function: { extra: 'x'.repeat(100_000) } }), tooLong)
  const own = add(JSON.parse('{"index": 0, "id": "a", "__proto__": {"function": 5}}'))
  t.equal(Object.getPrototypeOf(own.calls[0]), Object.prototype)
})
