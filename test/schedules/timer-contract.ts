import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { OnDue, Timed, Timer } from '../../src/schedules/timer.js'

/** What a timer has said, and when. */
export interface Heard { ids: string[], onDue: OnDue, has (id: string): Promise<void>, at: Map<string, number> }

/** @param act what is done when a schedule is due, beside noting it. */
export function listen (act: OnDue = async () => {}): Heard {
  let wake = () => {}
  const heard: Heard = {
    ids: [],
    at: new Map(),
    async onDue (ids) {
      heard.ids.push(...ids)
      for (const id of ids) heard.at.set(id, Date.now())
      wake()
      await act(ids)
    },
    async has (id) {
      // A timer holds no process up that has nothing else to do.
      const alive = setInterval(() => {}, 60_000)
      while (!heard.ids.includes(id)) await new Promise<void>(resolve => { wake = resolve })
      clearInterval(alive)
    }
  }
  return heard
}

/** A schedule that is due at a whole second, so many seconds from now or a bit earlier, and then tomorrow. */
export function timed (seconds: number, id: string = randomUUID()): Timed {
  const at = Math.floor(Date.now() / 1000 + seconds) * 1000
  const date = new Date(at)
  return { id, cron: `${date.getUTCSeconds()} ${date.getUTCMinutes()} ${date.getUTCHours()} * * *`, timezone: 'UTC', at }
}

/** What every timer has to do. */
export async function testTimer (t: Test, open: (t: Test, onDue: OnDue) => Promise<Timer>): Promise<void> {
  t.test('says when schedules are due, each at its time and not before', async t => {
    const heard = listen()
    const timer = await open(t, heard.onDue)
    const [later, sooner] = [timed(4), timed(2)]
    await timer.keep([later, sooner])
    await heard.has(later.id)
    t.same(heard.ids, [sooner.id, later.id])
    for (const { id, at } of [later, sooner]) {
      const late = heard.at.get(id)! - at
      t.ok(late > -100 && late < 2000, `${late} ms`)
    }
  })

  t.test('of what is kept no more it says nothing, and what is kept again it says once', async t => {
    const heard = listen()
    const timer = await open(t, heard.onDue)
    const [removed, kept, last] = [timed(2), timed(2), timed(4)]
    await timer.keep([removed, kept])
    await timer.keep([kept, last])
    await timer.keep([kept, last])
    await heard.has(last.id)
    t.same(heard.ids, [kept.id, last.id])
  })

  t.test('a schedule that was edited is due at its new time alone', async t => {
    const heard = listen()
    const timer = await open(t, heard.onDue)
    const before = timed(2)
    const after = timed(4, before.id)
    await timer.keep([before])
    await timer.keep([after])
    await heard.has(after.id)
    t.ok(heard.at.get(after.id)! > after.at - 100)
    t.equal(heard.ids.length, 1)
  })

  t.test('who fails to fire one hears of the others', async t => {
    const heard = listen(async () => { throw new Error('no database') })
    const timer = await open(t, heard.onDue)
    const [first, second] = [timed(2), timed(3)]
    await timer.keep([first, second])
    await heard.has(second.id)
    t.same(heard.ids, [first.id, second.id])
  })

  t.test('closed it says nothing', async t => {
    const [heard, other] = [listen(), listen()]
    const timer = await open(t, heard.onDue)
    const [early, late] = [timed(3), timed(4)]
    await timer.keep([early])
    await timer.close()
    const another = await open(t, other.onDue)
    await another.keep([early, late])
    await other.has(late.id)
    t.same(heard.ids, [])
    t.same(other.ids, [early.id, late.id])
  })
}
