import t from 'tap'
import { type Hold, MemoryShare } from '../../../src/lib/memory/memory-share.js'

/** What has been granted so far, by name. */
function track (share: MemoryShare) {
  const granted: string[] = []
  const holds = new Map<string, Hold>()
  return {
    granted,
    holds,
    async take (name: string, userId: string, bytes: number) {
      const wait = share.take(userId, bytes)
      wait.held.then(hold => {
        granted.push(name)
        holds.set(name, hold)
      })
      await Promise.resolve()
      return wait
    },
    async release (name: string) {
      holds.get(name)!.release()
      await Promise.resolve()
    }
  }
}

t.test('memory is taken while it is free, and returned once', async t => {
  const share = new MemoryShare(100)
  const hold = share.tryTake('a', 50)!
  t.equal(share.used, 50)
  t.equal(share.room, 50)
  t.ok(share.tryTake('b', 50))
  t.notOk(share.tryTake('c', 1))
  hold.release()
  hold.release()
  t.equal(share.used, 50)
})

t.test('a user holds half of it at the most, and others are not refused for that', async t => {
  const share = new MemoryShare(100)
  t.ok(share.tryTake('a', 40))
  t.notOk(share.tryTake('a', 20))
  share.take('a', 20)
  t.ok(share.tryTake('b', 40), 'although a request of the other user waits')
})

t.test('what is larger than half of it is taken by a user who holds nothing, and more than all of it if nobody does', async t => {
  const share = new MemoryShare(100)
  share.tryTake('a', 80)!.release()
  const small = share.tryTake('b', 1)!
  t.notOk(share.tryTake('a', 101))
  small.release()
  t.equal(share.room, Infinity)
  t.ok(share.tryTake('a', 101))
  t.equal(share.room, 0)
})

t.test('freed memory goes to the users in turn', async t => {
  const share = new MemoryShare(100)
  const { granted, take, release } = track(share)
  await take('first', 'z', 100)
  await take('a1', 'a', 50)
  await take('a2', 'a', 50)
  await take('a3', 'a', 50)
  const b1 = await take('b1', 'b', 100)
  t.equal(b1.position, 2)
  await release('first')
  t.same(granted, ['first', 'a1'])
  await release('a1')
  t.same(granted, ['first', 'a1', 'b1'])
  await release('b1')
  t.same(granted, ['first', 'a1', 'b1', 'a2'], 'and the third one waits for its own user')
  await release('a2')
  t.same(granted.at(-1), 'a3')
})

t.test('freed memory is granted to as many of one user as it has room for', async t => {
  const share = new MemoryShare(100)
  const first = share.tryTake('z', 100)!
  const waits = [1, 2, 3, 4, 5, 6].map(() => share.take('y', 10))
  first.release()
  const holds = await Promise.all(waits.slice(0, 5).map(({ held }) => held))
  t.equal(share.used, 50, 'half of it is the most for a user')
  t.equal(share.waiting, 1)
  holds[0]!.release()
  await waits[5]!.held
  t.equal(share.waiting, 0)
})

t.test('a large request is not overtaken by smaller ones that come later', async t => {
  const share = new MemoryShare(100)
  const { granted, take, release } = track(share)
  await take('half', 'a', 50)
  const large = await take('large', 'b', 90)
  t.notOk(share.tryTake('c', 10))
  await take('small', 'c', 10)
  t.same(granted, ['half'])
  await release('half')
  t.same(granted, ['half', 'large', 'small'])
  large.cancel()
})

t.test('a request that is cancelled lets those behind it pass', async t => {
  const share = new MemoryShare(100)
  const { granted, take } = track(share)
  await take('half', 'a', 50)
  const large = await take('large', 'b', 90)
  await take('small', 'c', 10)
  large.cancel()
  await Promise.resolve()
  t.same(granted, ['half', 'small'])
  t.equal(share.waitingOf('b'), 0)
})

t.test('what is under way may grow beyond the share, and others wait for it', async t => {
  const share = new MemoryShare(100)
  const hold = share.tryTake('a', 50)!
  hold.grow(60)
  t.equal(share.used, 110)
  t.equal(share.room, 0)
  t.notOk(share.tryTake('b', 1))
  hold.release()
  hold.grow(10)
  t.equal(share.used, 0)
})
