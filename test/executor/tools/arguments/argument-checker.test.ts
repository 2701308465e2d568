import t, { type Test } from 'tap'
import { startWorkClock } from '../../../../src/lib/work-clock.js'
import { ArgumentChecker } from '../../../../src/executor/tools/arguments/argument-checker.js'

const TOO_MUCH = { problem: 'The arguments of tool are too much to check against its schema.' }
const CITY = { type: 'object', properties: { city: { type: 'string' }, days: { default: 3 } }, required: ['city'] }

const tool = (parameters: object) => ({ name: 'tool', parameters })

/** A schema of a few hundred bytes that takes for ever to check against. */
function doubledAnyOf (name: string): object {
  const $defs: Record<string, object> = { d40: { const: 0 } }
  for (let n = 0; n < 40; n++) $defs[`d${n}`] = { anyOf: [{ $ref: `#/$defs/d${n + 1}` }, { $ref: `#/$defs/d${n + 1}` }] }
  return { type: 'object', title: name, properties: { a: { $ref: '#/$defs/d0' } }, $defs }
}

/** A schema of 33 KB that takes long to compile. */
function wideOneOf (name: string): object {
  const branch = (n: number) => ({ properties: { [`p${n}`]: { oneOf: [{ type: 'string' }, { type: 'integer' }] } }, required: [`p${n}`] })
  return { type: 'object', title: name, oneOf: Array.from({ length: 350 }, (_, n) => branch(n)) }
}

/** The longest that something else had to wait while work was done, in milliseconds of the process's work: others use the machine too. */
async function longestStall (t: Test, work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let worked = startWorkClock()
  const timer = setInterval(() => {
    longest = Math.max(longest, worked())
    worked = startWorkClock()
  }, 5)
  t.teardown(() => clearInterval(timer))
  await work()
  clearInterval(timer)
  return longest
}

t.test('arguments are checked in another thread, and get their defaults', async t => {
  const turn = new ArgumentChecker().forTurn('a-user')
  t.same(await turn.check(tool(CITY), '{"city": "Köln"}'), { args: { city: 'Köln', days: 3 } })
  t.match(await turn.check(tool(CITY), '{}'), { problem: /'city'/ })
  t.same(await turn.check(tool({ type: 'object', description: 'x'.repeat(70_000), required: ['a'] }), '{"b": 1}'), { args: { b: 1 }, isUnchecked: true }, 'a schema that is too large is not used')
})

t.test('128 calls of a tool with doubled anyOf cost one deadline, and nobody else waits for more', async t => {
  const checker = new ArgumentChecker()
  await checker.forTurn('other').check(tool(CITY), '{}')
  const turn = checker.forTurn('a-user')
  const bomb = doubledAnyOf('bomb')
  const worked = startWorkClock()
  let other: Promise<unknown> = Promise.resolve()
  const stall = await longestStall(t, async () => {
    const calls = Array.from({ length: 128 }, () => turn.check(tool(structuredClone(bomb)), '{"a": 1}'))
    other = checker.forTurn('other').check(tool(CITY), '{"city": "x"}').then(checked => t.match(checked, { args: { city: 'x' } }))
    for (const checked of await Promise.all(calls)) t.same(checked, TOO_MUCH)
  })
  await other
  t.ok(worked() < 10_000, 'the schema is tried once')
  t.ok(stall < 1_000, `the process stood for ${Math.round(stall)} ms at the most`)
  const again = startWorkClock()
  t.same(await checker.forTurn('a-user').check(tool(bomb), '{"a": 1}'), TOO_MUCH, 'it is remembered in the next turn')
  t.ok(again() < 450)
})

t.test('a hundred tools with large schemas have the time of one turn', async t => {
  const checker = new ArgumentChecker()
  await checker.forTurn('other').check(tool(CITY), '{}')
  const worked = startWorkClock()
  const turn = checker.forTurn('a-user')
  const stall = await longestStall(t, () => Promise.all(Array.from({ length: 100 }, (_, n) => turn.check(tool(wideOneOf(`schema ${n}`)), '{"p1": "x"}'))))
  t.ok(worked() < 20_000)
  t.ok(stall < 1_000, `the process stood for ${Math.round(stall)} ms at the most`)
  t.match(await checker.forTurn('other').check(tool(CITY), '{"city": "x"}'), { args: { city: 'x' } })
})

t.test('a schema that one user makes take too long is still checked for others', async t => {
  const checker = new ArgumentChecker()
  const shared = { type: 'object', properties: { list: { type: 'array', uniqueItems: true } } }
  const quadratic = JSON.stringify({ list: Array.from({ length: 12_000 }, (_, n) => ({ n })) })
  t.same(await checker.forTurn('hostile').check(tool(shared), quadratic), TOO_MUCH)
  t.same(await checker.forTurn('hostile').check(tool(shared), '{"list": []}'), TOO_MUCH)
  t.same(await checker.forTurn('other').check(tool(shared), '{"list": []}'), { args: { list: [] } })
})
