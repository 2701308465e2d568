import { CronDate, type CronExpression, CronExpressionParser } from 'cron-parser'
import type { Timing } from '../database/functions/schedules.js'
import { runBounded } from '../lib/bounded.js'
import { MAX_CRON, ScheduleFault, shown, zoneOf } from './timing.js'

/** How long an expression may compute: the library searches decades for one that never matches. */
const COMPUTE_MS = 1_000
/** How far before a moment to start: clocks go back by an hour at most. */
const AMBIGUOUS_MS = 3 * 60 * 60_000

/**
 * The first time after a moment. A time that does not exist because clocks go forward moves forward with them; of a time
 * that exists twice the first one counts, unless the expression means every hour.
 * @throws {ScheduleFault}
 */
export function nextTime (timing: Timing, after: Date): Date {
  return compute(timing, () => {
    const times = parse(timing, startBefore(timing, after))
    let time = times.next()
    while (time.getTime() <= after.getTime()) time = times.next()
    return time.toDate()
  })
}

/**
 * The latest time from `due` to `now`, and the first one after `now`: times that were missed in between are left out.
 * @throws {ScheduleFault}
 */
export function catchUp (timing: Timing, due: Date, now: Date): { latest: Date, next: Date } {
  const latest = compute(timing, () => latestTime(timing, now))
  return { latest: latest > due && latest <= now ? latest : due, next: nextTime(timing, now) }
}

/** The expression for BullMQ, with the values that `H` stands for in this schedule. @throws {ScheduleFault} */
export function patternOf (timing: Timing): string {
  return parse(timing, new Date()).stringify(true)
}

function latestTime (timing: Timing, now: Date): Date {
  const start = startBefore(timing, now)
  let latest: Date | undefined
  if (start < now) {
    const times = parse(timing, start)
    for (let time = times.next().toDate(); time <= now; time = times.next().toDate()) latest = time
  }
  // `prev` looks strictly before its moment.
  return latest ?? parse(timing, new Date(start.getTime() + 1)).prev().toDate()
}

/** The library takes both passes of an hour that exists twice for the first, unless it starts before them. */
function startBefore (timing: Timing, moment: Date): Date {
  const zone = zoneOf(timing)
  const before = new Date(moment.getTime() - AMBIGUOUS_MS)
  const isPlain = new CronDate(before, zone).getUTCOffset() === new CronDate(moment, zone).getUTCOffset()
  return isPlain ? moment : before
}

/** Parses five fields or an alias; a sixth field, for seconds, may have one value, so that no schedule is due twice a minute. */
function parse (timing: Timing, currentDate: Date): CronExpression {
  const cron = timing.cron?.trim() ?? ''
  const tz = zoneOf(timing)
  if (cron.length > MAX_CRON) throw new ScheduleFault(`The cron expression is longer than ${MAX_CRON} characters.`)
  const fields = cron.split(/\s+/).length
  if (!cron.startsWith('@') && (fields < 5 || fields > 6)) {
    throw new ScheduleFault(`The cron expression ${shown(cron)} must have five fields: minute, hour, day of month, month, day of week.`)
  }
  let expression
  try {
    // `H` has the same value each time for one schedule.
    expression = CronExpressionParser.parse(cron, { currentDate, tz, hashSeed: timing.id })
  } catch (error) {
    throw new ScheduleFault(`The cron expression ${shown(cron)} is not valid: ${(error as Error).message}.`)
  }
  if (expression.fields.second.values.length > 1) {
    throw new ScheduleFault(`The cron expression ${shown(cron)} is due more often than once a minute.`)
  }
  return expression
}

function compute<T> (timing: Timing, job: () => T): T {
  // Parsed first, since its errors say more than a timeout.
  parse(timing, new Date())
  try {
    return runBounded(job, COMPUTE_MS)
  } catch {
    throw new ScheduleFault(`The cron expression ${shown(timing.cron ?? '')} never comes to a time.`)
  }
}
