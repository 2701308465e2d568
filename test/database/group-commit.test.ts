import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { type CallSender, GroupCommit, GroupRolledBack } from '../../src/database/group-commit.js'

interface Sent { calls: string[], answer (...results: unknown[]): void, fail (error: Error): void }

/** A group commit whose sender records the calls, which the test answers. */
function open () {
  const alone: Sent[] = []
  const together: Sent[] = []
  const note = (sent: Sent[], calls: string[]) => new Promise<any>((resolve, reject) => {
    sent.push({ calls, answer: (...results) => resolve(sent === alone ? results[0] : results), fail: reject })
  })
  const sender: CallSender<string> = {
    sendAlone: call => note(alone, [call]),
    sendGroup: calls => note(together, calls),
    canShare: (first, other) => first[0] === other[0],
    lockOf: call => call[2] ?? ''
  }
  return { alone, together, commit: new GroupCommit(sender), sent: (list: Sent[]) => list.map(({ calls }) => calls.join(' ')) }
}

/** The same with as many calls under way as are sent alone: further calls have to be grouped. */
function openFull () {
  const opened = open()
  for (const call of ['b1', 'b2', 'b3', 'b4']) opened.commit.call(call)
  return opened
}

t.test('few calls are sent at once, each alone', async t => {
  const { alone, together, commit, sent } = open()
  const asked = ['b1', 'b2', 'b3', 'b4'].map(call => commit.call(call))
  t.strictSame(sent(alone), ['b1', 'b2', 'b3', 'b4'])
  for (const [index, { answer }] of alone.entries()) answer(index)
  t.strictSame(await Promise.all(asked), [0, 1, 2, 3])
  t.strictSame(together, [])
})

t.test('further calls of one turn of the event loop are sent as a group, and calls that come meanwhile in the next group', async t => {
  const { alone, together, commit, sent } = openFull()
  const asked = ['b5', 'b6', 'f1', 'b7'].map(call => commit.call(call))
  await turn()
  t.strictSame(sent(together), ['b5 b6 b7'], 'those that can share a transaction')
  asked.push(commit.call('b8'))
  await turn()
  t.equal(together.length, 1, 'one at a time')
  together[0]!.answer(5, 6, 7)
  t.strictSame(await Promise.all([asked[0], asked[1], asked[3]]), [5, 6, 7])
  t.strictSame(sent(together), ['b5 b6 b7', 'f1'], 'in order')
  together[1]!.answer('one')
  t.equal(await asked[2], 'one')
  t.strictSame(sent(together), ['b5 b6 b7', 'f1', 'b8'])
  t.equal(alone.length, 4)
})

t.test('the calls of a group are made in the order of what they lock, and each gets its own result', async t => {
  const { together, commit, sent } = openFull()
  const asked = ['b5z', 'b6a', 'b7m', 'b8a'].map(call => commit.call(call))
  await turn()
  t.strictSame(sent(together), ['b6a b8a b7m b5z'])
  together[0]!.answer(6, 8, 7, 5)
  t.strictSame(await Promise.all(asked), [5, 6, 7, 8])
})

t.test('a group has at most thirty-two calls', async t => {
  const { together, commit } = openFull()
  for (let index = 0; index < 40; index++) commit.call(`b${index}`)
  await turn()
  t.equal(together[0]!.calls.length, 32)
  together[0]!.answer(...Array(32).fill(0))
  await turn()
  t.equal(together[1]!.calls.length, 8)
})

t.test('a call that makes its group fail is sent alone, and the others as a group once more', async t => {
  const { alone, together, commit, sent } = openFull()
  const asked = ['b5', 'b6', 'b7'].map(call => commit.call(call))
  await turn()
  together[0]!.fail(new GroupRolledBack(1, new Error('no credits')))
  await turn()
  t.strictSame(sent(alone.slice(4)), ['b6'])
  t.strictSame(sent(together), ['b5 b6 b7', 'b5 b7'])
  const refused = t.rejects(asked[1]!, { message: 'no credits' })
  alone[4]!.fail(new Error('no credits'))
  await refused
  together[1]!.answer(5, 7)
  t.strictSame(await Promise.all([asked[0], asked[2]]), [5, 7])
})

t.test('a call whose groups failed twice is sent alone, and so are all calls of a group whose commit failed', async t => {
  const { alone, together, commit, sent } = openFull()
  const asked = ['b5', 'b6', 'b7'].map(call => commit.call(call))
  await turn()
  together[0]!.fail(new GroupRolledBack(0, new Error('no')))
  await turn()
  commit.call('b8')
  together[1]!.fail(new GroupRolledBack(0, new Error('no')))
  await turn()
  t.strictSame(sent(alone.slice(4)), ['b5', 'b6', 'b7'])
  t.strictSame(sent(together), ['b5 b6 b7', 'b6 b7', 'b8'])
  together[2]!.fail(new GroupRolledBack(undefined, new Error('the commit failed')))
  await turn()
  t.strictSame(sent(alone.slice(7)), ['b8'])
  for (const { answer, calls } of alone) answer(calls[0])
  t.strictSame(await Promise.all(asked), ['b5', 'b6', 'b7'])
})

t.test('the calls of a group whose outcome is unknown fail, and the next group is sent', async t => {
  const { together, alone, commit, sent } = openFull()
  const asked = ['b5', 'b6'].map(call => commit.call(call))
  await turn()
  const next = commit.call('b7')
  together[0]!.fail(new Error('the connection broke'))
  for (const call of asked) await t.rejects(call, { message: 'the connection broke' })
  t.strictSame(sent(together), ['b5 b6', 'b7'])
  together[1]!.answer(7)
  t.equal(await next, 7)
  t.equal(alone.length, 4)
})
