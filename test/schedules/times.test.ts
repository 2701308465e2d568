import t from 'tap'
import { repeatStrategy } from '../../src/schedules/timer-bullmq.js'
import { catchUp, nextTime, patternOf } from '../../src/schedules/times.js'
import { ScheduleFault, zoneOf } from '../../src/schedules/timing.js'

const ID = 'c0000000-0000-4000-8000-000000000001'

function timing (cron: string | null, timezone: string | null = 'UTC') {
  return { id: ID, cron, timezone }
}

/** The next times after a moment, each after the one before. */
function timesOf (cron: string, timezone: string, after: string, count: number): string[] {
  const times = [new Date(after)]
  while (times.length <= count) times.push(nextTime(timing(cron, timezone), times.at(-1)!))
  return times.slice(1).map(time => time.toISOString().slice(0, 16))
}

t.test('a time that does not exist, since clocks are put forward, is when they have been, however far', async t => {
  t.same(timesOf('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00:00Z', 3), ['2026-03-28T01:30', '2026-03-29T01:00', '2026-03-30T00:30'])
  t.same(timesOf('30 2 * * *', 'Europe/Berlin', '2027-03-27T12:00:00Z', 2), ['2027-03-28T01:00', '2027-03-29T00:30'])
  t.same(timesOf('30 2 * * *', 'America/New_York', '2026-03-07T00:00:00Z', 3), ['2026-03-07T07:30', '2026-03-08T07:00', '2026-03-09T06:30'])
  t.same(timesOf('0 0 * * *', 'Africa/Cairo', '2026-04-23T12:00:00Z', 2), ['2026-04-23T22:00', '2026-04-24T21:00'])
  t.same(timesOf('@midnight', 'Africa/Cairo', '2026-04-23T12:00:00Z', 1), ['2026-04-23T22:00'])
  t.same(timesOf('@weekly', 'America/Santiago', '2026-09-01T00:00:00Z', 2), ['2026-09-06T04:00', '2026-09-13T03:00'])
  t.same(timesOf('0 0 * * *', 'Asia/Beirut', '2026-03-28T12:00:00Z', 2), ['2026-03-28T22:00', '2026-03-29T21:00'])
  t.same(timesOf('0 0 * * *', 'America/Havana', '2026-03-07T12:00:00Z', 2), ['2026-03-08T05:00', '2026-03-09T04:00'])
  t.same(timesOf('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T12:00:00Z', 2), ['2026-10-03T15:30', '2026-10-04T15:15'], 'half an hour')
  t.same(timesOf('0 12 30 12 *', 'Pacific/Apia', '2011-12-01T00:00:00Z', 2), ['2011-12-30T10:00', '2012-12-29T22:00'], 'a whole day')
})

t.test('several times of one expression that clocks skip are one', async t => {
  t.same(timesOf('*/15 2 * * *', 'Europe/Berlin', '2026-03-28T01:40:00Z', 3), ['2026-03-28T01:45', '2026-03-29T01:00', '2026-03-30T00:00'])
  t.same(timesOf('15,45 2,3 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 3), ['2026-03-29T01:00', '2026-03-29T01:15', '2026-03-29T01:45'])
})

t.test('a time that exists twice, since clocks are put back, is once, at the first', async t => {
  t.same(timesOf('30 2 * * *', 'Europe/Berlin', '2026-10-24T00:00:00Z', 3), ['2026-10-24T00:30', '2026-10-25T00:30', '2026-10-26T01:30'])
  t.same(timesOf('30 1 * * *', 'America/New_York', '2026-10-31T00:00:00Z', 3), ['2026-10-31T05:30', '2026-11-01T05:30', '2026-11-02T06:30'])
  t.same(timesOf('0 0 * * *', 'America/Havana', '2026-10-31T12:00:00Z', 2), ['2026-11-01T04:00', '2026-11-02T05:00'])
  t.same(timesOf('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00:00Z', 2), ['2026-04-04T14:45', '2026-04-05T15:15'])
})

t.test('an expression whose minutes or hours have a * goes on as the clock does', async t => {
  t.same(timesOf('*/20 2 * * *', 'Europe/Berlin', '2026-10-24T23:50:00Z', 6),
    ['2026-10-25T00:00', '2026-10-25T00:20', '2026-10-25T00:40', '2026-10-25T01:00', '2026-10-25T01:20', '2026-10-25T01:40'])
  t.same(timesOf('30 * * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z', 2), ['2026-03-29T00:30', '2026-03-29T01:30'], 'and no hour that is skipped is made up for')
  t.same(timesOf('@hourly', 'Europe/Berlin', '2026-10-24T23:30:00Z', 3), ['2026-10-25T00:00', '2026-10-25T01:00', '2026-10-25T02:00'])
})

t.test('who looks in the second of two such hours does not find it again', async t => {
  for (const now of ['2026-11-01T05:31:00Z', '2026-11-01T06:15:00Z', '2026-11-01T06:30:00Z', '2026-11-01T06:45:00Z']) {
    t.same(timesOf('30 1 * * *', 'America/New_York', now, 1), ['2026-11-02T06:30'], now)
    const due = new Date('2026-11-01T05:30:00Z')
    t.same(catchUp(timing('30 1 * * *', 'America/New_York'), due, new Date(now)), { latest: due, next: new Date('2026-11-02T06:30:00Z') }, now)
  }
  t.same(timesOf('30 2 * * *', 'Europe/Berlin', '2026-10-25T01:15:00Z', 1), ['2026-10-26T01:30'])
})

t.test('every hour and every half hour go on through both nights', async t => {
  t.same(timesOf('30 * * * *', 'Europe/Berlin', '2026-10-24T23:45:00Z', 3), ['2026-10-25T00:30', '2026-10-25T01:30', '2026-10-25T02:30'])
  t.same(timesOf('*/30 * * * *', 'America/New_York', '2026-11-01T05:15:00Z', 4), ['2026-11-01T05:30', '2026-11-01T06:00', '2026-11-01T06:30', '2026-11-01T07:00'])
  t.same(timesOf('*/30 * * * *', 'Europe/Berlin', '2026-03-29T00:15:00Z', 3), ['2026-03-29T00:30', '2026-03-29T01:00', '2026-03-29T01:30'])
})

t.test('of times that were missed the latest counts', async t => {
  const hourly = timing('0 * * * *')
  t.same(catchUp(hourly, new Date('2026-11-20T09:00:00Z'), new Date('2026-11-24T10:20:30Z')),
    { latest: new Date('2026-11-24T10:00:00Z'), next: new Date('2026-11-24T11:00:00Z') })
  const due = new Date('2026-11-24T10:00:00Z')
  t.same(catchUp(hourly, due, due), { latest: due, next: new Date('2026-11-24T11:00:00Z') }, 'on time it is itself')
  t.same(catchUp(hourly, due, new Date('2026-11-24T10:00:00.400Z')), { latest: due, next: new Date('2026-11-24T11:00:00Z') })
})

t.test('what was missed is found by the same rule', async t => {
  const due = new Date('2027-03-27T01:30:00Z')
  t.same(catchUp(timing('30 2 * * *', 'Europe/Berlin'), due, new Date('2027-03-28T20:00:00Z')),
    { latest: new Date('2027-03-28T01:00:00Z'), next: new Date('2027-03-29T00:30:00Z') })
  t.same(catchUp(timing('0 0 * * *', 'Africa/Cairo'), new Date('2026-04-22T21:00:00Z'), new Date('2026-04-23T22:00:00Z')),
    { latest: new Date('2026-04-23T22:00:00Z'), next: new Date('2026-04-24T21:00:00Z') })
  t.same(catchUp(timing('0 0 29 2 *'), new Date('2024-02-29T00:00:00Z'), new Date('2027-01-01T00:00:00Z')),
    { latest: new Date('2024-02-29T00:00:00Z'), next: new Date('2028-02-29T00:00:00Z') })
})

t.test('BullMQ wakes processes at these times too', async t => {
  const at = (pattern: string, tz: string, after: string) => new Date(repeatStrategy(Date.parse(after), { pattern, tz })).toISOString()
  t.equal(at(patternOf(timing('@midnight', 'Africa/Cairo')), 'Africa/Cairo', '2026-04-23T12:00:00Z'), '2026-04-23T22:00:00.000Z')
  t.equal(at(patternOf(timing('30 2 * * *')), 'Europe/Berlin', '2027-03-27T12:00:00Z'), '2027-03-28T01:00:00.000Z')
})

t.test('five fields, aliases, names, a sixth field that is one second', async t => {
  t.same(timesOf('0 9 * * MON-FRI', 'Asia/Tokyo', '2026-11-20T12:00:00Z', 1), ['2026-11-23T00:00'])
  for (const [nickname, time] of [
    ['@yearly', '2027-01-01T00:00'], ['@annually', '2027-01-01T00:00'], ['@monthly', '2026-12-01T00:00'], ['@weekly', '2026-11-22T00:00'],
    ['@daily', '2026-11-21T00:00'], ['@midnight', '2026-11-21T00:00'], ['@hourly', '2026-11-20T13:00'], [' @Daily ', '2026-11-21T00:00']
  ] as const) t.same(timesOf(nickname, 'UTC', '2026-11-20T12:00:00Z', 1), [time], nickname)
  t.same(timesOf('0 0 9 * * *', 'UTC', '2026-11-20T12:00:00Z', 1), ['2026-11-21T09:00'])
  t.same(timesOf(' 0  9 L * * ', 'UTC', '2026-11-20T12:00:00Z', 1), ['2026-11-30T09:00'])
  t.equal(zoneOf({ timezone: null }), 'UTC')
  t.equal(zoneOf({ timezone: ' ' }), 'UTC')
})

t.test('days of the month and of the week are either, the last, or one of several', async t => {
  t.same(timesOf('0 9 13 * 5', 'UTC', '2026-11-01T00:00:00Z', 3), ['2026-11-06T09:00', '2026-11-13T09:00', '2026-11-20T09:00'])
  t.same(timesOf('0 9 1 * 5', 'UTC', '2026-11-28T00:00:00Z', 2), ['2026-12-01T09:00', '2026-12-04T09:00'])
  t.same(timesOf('0 9 * * 5L', 'UTC', '2026-11-01T00:00:00Z', 2), ['2026-11-27T09:00', '2026-12-25T09:00'])
  t.same(timesOf('0 9 * * MON#2', 'UTC', '2026-11-01T00:00:00Z', 2), ['2026-11-09T09:00', '2026-12-14T09:00'])
  t.same(timesOf('0 9 * * 7', 'UTC', '2026-11-01T12:00:00Z', 1), ['2026-11-08T09:00'])
  t.same(timesOf('0 0 L 2 *', 'UTC', '2027-01-01T00:00:00Z', 2), ['2027-02-28T00:00', '2028-02-29T00:00'])
  t.same(timesOf('0 0 * 2 MON#5', 'UTC', '2026-01-01T00:00:00Z', 2), ['2044-02-29T00:00', '2072-02-29T00:00'])
})

t.test('what is no schedule is said in words, soon', async t => {
  const words = (cron: string | null, timezone = 'UTC') => {
    const startedAt = Date.now()
    try {
      return nextTime(timing(cron, timezone), new Date('2026-11-24T00:00:00Z')).toISOString()
    } catch (error) {
      t.ok(error instanceof ScheduleFault, cron ?? 'null')
      t.ok(Date.now() - startedAt < 3000)
      return (error as Error).message
    }
  }
  for (const cron of [null, '', '*', '0 9 * *', 'every day', '1 2 3 4 5 6 7']) t.match(words(cron), /must have five fields/)
  t.match(words('60 * * * *'), /"60 \* \* \* \*" is not valid: .*60/)
  t.match(words('0 0 30 2 *'), /not valid/)
  t.match(words('0 0 31 2,4,6 *'), /never comes to a time/)
  for (const cron of ['* * * * * *', '*/30 * * * * *', '@secondly', '@SECONDLY', '0,1 * * * * *']) t.match(words(cron), /more often than once a minute/)
  t.match(words('@fortnightly'), /"@fortnightly" is not valid/)
  t.match(words(`${'1,'.repeat(200)}1 * * * *`), /longer than 200/)
  for (const zone of ['Mars/Olympus', '+02:00', 'local']) t.match(words('0 9 * * *', zone), /is no time zone/)
})

t.test('as others know them, the times are the same', async t => {
  for (const cron of ['H H * * *', '*/7 3-5 * * 1', '0 0 31 4 1', '0 9 * * MON#1', '0 9 L * *', '@weekly', '30 0 9 * * ?']) {
    const pattern = patternOf(timing(cron, 'Europe/Berlin'))
    t.same(timesOf(pattern, 'Europe/Berlin', '2026-03-01T00:00:00Z', 5), timesOf(cron, 'Europe/Berlin', '2026-03-01T00:00:00Z', 5), cron)
  }
})
