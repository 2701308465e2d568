import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { GroupCommit, GroupFailed, type Ways } from '../../src/database/group-commit.js'

interface Sent { calls: string[], answer (...results: unknown[]): void, fail (error: Error): void }

/** A group commit by ways that note what is sent by them and are answered by hand. */
function open () {
  const alone: Sent[] = []
  const together: Sent[] = []
  const note = (sent: Sent[], calls: string[]) => new Promise<any>((resolve, reject) => {
    sent.push({ calls, answer: (...results) => resolve(sent === alone ? results[0] : results), fail: reject })
  })
  const ways: Ways<string> = {
    alone: call => note(alone, [call]),
    together: calls => note(together, calls),
    fit: (first, other) => first[0] === other[0]
  }
  return { alone, together, commit: new GroupCommit(ways), sent: (list: Sent[]) => list.map(({ calls }) => calls.join(' ')) }
}

/** The same while as many are made as go each by itself: what is asked beside them has to go together. */
function openFull () {
  const opened = open()
  for (const call of ['b1', 'b2', 'b3', 'b4']) opened.commit.ask(call)
  return opened
}

t.test('few calls go at once and each alone', async t => {
  const { alone, together, commit, sent } = open()
  const asked = ['b1', 'b2', 'b3', 'b4'].map(call => commit.ask(call))
  t.strictSame(sent(alone), ['b1', 'b2', 'b3', 'b4'])
  for (const [index, { answer }] of alone.entries()) answer(index)
  t.strictSame(await Promise.all(asked), [0, 1, 2, 3])
  t.strictSame(together, [])
})

t.test('beside these, what one turn of the event loop brings goes together, and what comes meanwhile in the next group', async t => {
  const { alone, together, commit, sent } = openFull()
  const asked = ['b5', 'b6', 'f1', 'b7'].map(call => commit.ask(call))
  await turn()
  t.strictSame(sent(together), ['b5 b6 b7'], 'of one kind')
  asked.push(commit.ask('b8'))
  await turn()
  t.equal(together.length, 1, 'one at a time')
  together[0]!.answer(5, 6, 7)
  t.strictSame(await Promise.all([asked[0], asked[1], asked[3]]), [5, 6, 7])
  t.strictSame(sent(together), ['b5 b6 b7', 'f1'], 'in their order')
  together[1]!.answer('one')
  t.equal(await asked[2], 'one')
  t.strictSame(sent(together), ['b5 b6 b7', 'f1', 'b8'])
  t.equal(alone.length, 4)
})

t.test('a group has thirty-two calls at most', async t => {
  const { together, commit } = openFull()
  for (let index = 0; index < 40; index++) commit.ask(`b${index}`)
  await turn()
  t.equal(together[0]!.calls.length, 32)
  together[0]!.answer(...Array(32).fill(0))
  await turn()
  t.equal(together[1]!.calls.length, 8)
})

t.test('where one of a group fails it is made alone, and the others together once more', async t => {
  const { alone, together, commit, sent } = openFull()
  const asked = ['b5', 'b6', 'b7'].map(call => commit.ask(call))
  await turn()
  together[0]!.fail(new GroupFailed(1, new Error('no credits')))
  await turn()
  t.strictSame(sent(alone.slice(4)), ['b6'])
  t.strictSame(sent(together), ['b5 b6 b7', 'b5 b7'])
  const refused = t.rejects(asked[1]!, { message: 'no credits' })
  alone[4]!.fail(new Error('no credits'))
  await refused
  together[1]!.answer(5, 7)
  t.strictSame(await Promise.all([asked[0], asked[2]]), [5, 7])
})

t.test('what was in two groups that failed is made alone; so are all where none of them was the cause', async t => {
  const { alone, together, commit, sent } = openFull()
  const asked = ['b5', 'b6', 'b7'].map(call => commit.ask(call))
  await turn()
  together[0]!.fail(new GroupFailed(0, new Error('no')))
  await turn()
  commit.ask('b8')
  together[1]!.fail(new GroupFailed(0, new Error('no')))
  await turn()
  t.strictSame(sent(alone.slice(4)), ['b5', 'b6', 'b7'])
  t.strictSame(sent(together), ['b5 b6 b7', 'b6 b7', 'b8'])
  together[2]!.fail(new GroupFailed(undefined, new Error('the commit failed')))
  await turn()
  t.strictSame(sent(alone.slice(7)), ['b8'])
  for (const { answer, calls } of alone) answer(calls[0])
  t.strictSame(await Promise.all(asked), ['b5', 'b6', 'b7'])
})

t.test('a group of which it is not known whether it was made fails as it is, and the next one goes', async t => {
  const { together, alone, commit, sent } = openFull()
  const asked = ['b5', 'b6'].map(call => commit.ask(call))
  await turn()
  const next = commit.ask('b7')
  together[0]!.fail(new Error('the connection broke'))
  for (const call of asked) await t.rejects(call, { message: 'the connection broke' })
  t.strictSame(sent(together), ['b5 b6', 'b7'])
  together[1]!.answer(7)
  t.equal(await next, 7)
  t.equal(alone.length, 4)
})
