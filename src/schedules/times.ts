import { CronDate, type CronExpression, CronExpressionParser } from 'cron-parser'
import { runBounded } from '../lib/bounded.js'
import { MAX_CRON, ScheduleFault, shown, type Timing, zoneOf } from './timing.js'

/** Of what an expression may take to compute: one that never comes to a time is searched for it over decades. */
const COMPUTE_MS = 1_000
/** Clocks are put back by an hour at the most, somewhere on the hour of a night. */
const AMBIGUOUS_MS = 3 * 60 * 60_000

/**
 * The first time after a moment. A time that does not exist, since clocks are put forward, is the same so much later; one
 * that exists twice is the first of the two, unless every hour is meant.
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
 * The latest time from `due` to `now`, and the first one after it: of times that were missed only that counts.
 * @throws {ScheduleFault}
 */
export function catchUp (timing: Timing, due: Date, now: Date): { latest: Date, next: Date } {
  const latest = compute(timing, () => latestTime(timing, now))
  return { latest: latest > due && latest <= now ? latest : due, next: nextTime(timing, now) }
}

/** The same expression for those who do not know the schedule: nothing in it depends on its id. @throws {ScheduleFault} */
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
  // One millisecond on, for it looks before the moment that it is given.
  return latest ?? parse(timing, new Date(start.getTime() + 1)).prev().toDate()
}

/** In an hour that exists twice the library takes each for the first: seen from before it, it tells them apart. */
function startBefore (timing: Timing, moment: Date): Date {
  const zone = zoneOf(timing)
  const before = new Date(moment.getTime() - AMBIGUOUS_MS)
  const isPlain = new CronDate(before, zone).getUTCOffset() === new CronDate(moment, zone).getUTCOffset()
  return isPlain ? moment : before
}

/** Five fields or an alias; a sixth for seconds where it is one of them, so that no schedule is due twice a minute. */
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
    // What is spread by `H` stands where it stood, for the same schedule.
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
  // Before what is bounded: it says more.
  parse(timing, new Date())
  try {
    return runBounded(job, COMPUTE_MS)
  } catch {
    throw new ScheduleFault(`The cron expression ${shown(timing.cron ?? '')} never comes to a time.`)
  }
}
