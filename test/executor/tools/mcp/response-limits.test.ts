import t from 'tap'
import { JsonWork } from '../../../../src/executor/tools/mcp/json-work.js'
import { limitResponse } from '../../../../src/executor/tools/mcp/response-limits.js'
import { ToolError } from '../../../../src/executor/tools/tool.js'

const MIB = 1024 * 1024

/** Passes a text through, as it arrives in chunks; the sentence of the refusal, or undefined. */
async function pass (text: string, isEvents = false): Promise<string | undefined> {
  const bytes = Buffer.from(text)
  const chunks = async function * () { for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536) }
  const passed: Uint8Array[] = []
  try {
    for await (const piece of limitResponse(chunks(), 'host', isEvents)) passed.push(piece)
  } catch (error) {
    if (error instanceof ToolError) return error.message
    throw error
  }
  t.ok(Buffer.concat(passed).equals(bytes), 'to the byte')
}

const members = (count: number, name: (n: number) => string) => `{${Array.from({ length: count }, (_, n) => `"${name(n)}":1`)}}`
const tooLong = 'host sent an answer that takes too long to read.'

t.test('a JSON passes that is parsed in a short time, and no other', async t => {
  t.equal(await pass(`{"text":"${'plain '.repeat(600_000)}"}`), undefined, '3.6 MB of text')
  t.equal(await pass(`{"text":"${'é'.repeat(MIB)}"}`), undefined, '2 MiB of text beyond ASCII')
  t.equal(await pass(`{"text":"${'é'.repeat(2 * MIB)}"}`), tooLong)
  t.equal(await pass(members(6_000, n => `name ${n}`)), undefined)
  t.equal(await pass(members(7_000, n => `name ${n}`)), tooLong)
  t.equal(await pass(`[${Array.from({ length: 6_000 }, () => '{"a":1,"b":"x:y","c":[]}')}]`), undefined, 'names that are known cost less')
  t.equal(await pass(`[${Array.from({ length: 12_000 }, () => '{"a":1,"b":"x:y","c":[]}')}]`), tooLong)
  t.equal(await pass(`{"text":"${'\\"{a:1,b:2}'.repeat(100_000)}"}`), undefined, 'what looks like members within a text is none')
  t.equal(await pass(`[${'1,'.repeat(100_001)}1]`), 'host sent an answer of more parts than are read.')
})

t.test('of an event stream each event is one JSON', async t => {
  const event = (json: string) => `event: message\ndata: ${json}\n\n`
  t.equal(await pass(event(members(4_000, n => `name ${n}`)).repeat(5), true), undefined)
  t.equal(await pass(event(members(4_000, n => `name ${n}`)).repeat(5).replaceAll('\n', '\r\n'), true), undefined)
  t.equal(await pass(event('{}').repeat(3) + event(members(7_000, n => `name ${n}`)) + event('{}'), true), tooLong)
  t.equal(await pass(members(4_000, n => `name ${n}`) + '\n\n' + members(4_000, n => `name ${n + 4_000}`)), tooLong, 'of plain JSON blank lines end nothing')
  t.equal(await pass(event('{}').repeat(4_000), true), 'host sent an answer of more parts than are read.')
})

t.test('names are told apart by all of them, wherever chunks end', async t => {
  const text = `[${[1, 2, 3].map(n => `{"${'same '.repeat(100)}${n}":1}`)}]`
  const [whole, bytewise] = [new JsonWork(false), new JsonWork(false)]
  whole.count(Buffer.from(text))
  for (const byte of Buffer.from(text)) bytewise.count(Uint8Array.of(byte))
  t.equal(whole.most, bytewise.most)
  t.equal(whole.values, bytewise.values)
  const same = new JsonWork(false)
  same.count(Buffer.from(text.replace(/[23]"/g, '1"')))
  t.ok(same.most < whole.most)
})

t.test('however many answers are read at once, one goes on in a turn of the event loop', async t => {
  const ANSWERS = 20
  const chunk = Buffer.from('data: {"jsonrpc":"2.0","id":1,"method":"ping"}\n\n'.repeat(2_000))
  const ofTurn = new Map<number, Set<number>>()
  let turn = 0
  let isOver = false
  const count = () => {
    turn++
    if (!isOver) setImmediate(count)
  }
  count()
  await Promise.all(Array.from({ length: ANSWERS }, async (_, answer) => {
    const begunIn = turn
    for await (const piece of limitResponse(one(chunk), 'host', true)) {
      // All begin in one turn; what counts is how they go on.
      if (piece.length > 0 && turn > begunIn) ofTurn.set(turn, (ofTurn.get(turn) ?? new Set()).add(answer))
    }
  }))
  isOver = true
  t.ok(ofTurn.size >= ANSWERS, `${ofTurn.size} turns`)
  t.equal(Math.max(...[...ofTurn.values()].map(({ size }) => size)), 1)
})

async function * one (chunk: Buffer): AsyncGenerator<Buffer> {
  yield chunk
}
