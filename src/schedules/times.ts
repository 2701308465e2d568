import type { Timing } from '../database/functions/schedules.js'
import { Clock } from './clock.js'
import { type Cron, readCron } from './cron.js'
import { ScheduleFault, shown, zoneOf } from './timing.js'

const MINUTE = 60_000

/**
 * The first time after a moment. A time that clocks skip is when they have skipped it, unless the expression is due every
 * hour; of a time that they repeat the first one counts, unless minutes or hours are written with `*`.
 * @throws {ScheduleFault}
 */
export function nextTime (timing: Timing, after: Date): Date {
  return new Date(timesOf(timing)(after.getTime()))
}

/**
 * The latest time from `due` to `now`, and the first one after `now`: times that were missed in between are left out.
 * @throws {ScheduleFault}
 */
export function catchUp (timing: Timing, due: Date, now: Date): { latest: Date, next: Date } {
  const next = timesOf(timing)
  return { latest: new Date(latestTime(next, due.getTime(), now.getTime())), next: new Date(next(now.getTime())) }
}

/** The expression for BullMQ, with the values that `H` stands for in this schedule. @throws {ScheduleFault} */
export function patternOf (timing: Timing): string {
  return readCron(timing).pattern
}

/** The first time after a moment, both in milliseconds since 1970. */
type Next = (after: number) => number

/** @throws {ScheduleFault} and so may the returned function. */
function timesOf (timing: Timing): Next {
  const cron = readCron(timing)
  const clock = new Clock(zoneOf(timing))
  return after => {
    const time = firstAfter(after, cron, clock)
    if (time === undefined) throw new ScheduleFault(`The cron expression ${shown(timing.cron ?? '')} never comes to a time.`)
    return time
  }
}

function firstAfter (after: number, cron: Cron, clock: Clock): number | undefined {
  const repeated = clock.repeatedAround(after)
  let first: number | undefined
  // Where clocks are put back, times that come later on a calendar may come before others.
  for (let wall = cron.firstFrom(clock.wallAt(after) + 1 - repeated); wall !== undefined; wall = cron.firstFrom(wall + 1)) {
    if (first !== undefined && wall > clock.wallAt(first) + repeated) break
    for (const moment of momentsOf(wall, cron, clock)) {
      if (moment > after && (first === undefined || moment < first)) first = moment
    }
  }
  return first
}

/** When a schedule is due for one time of its expression. */
function momentsOf (wall: number, cron: Cron, clock: Clock): number[] {
  const moments = clock.momentsOf(wall)
  if ('at' in moments) return cron.followsClock ? moments.at : moments.at.slice(0, 1)
  return cron.isHourly ? [] : [moments.skippedUntil]
}

/** Looks back from `now` in steps that grow, then halves what is left. */
function latestTime (next: Next, due: number, now: number): number {
  if (next(due) > now) return due
  let latest = due
  let end = now
  for (let step = MINUTE; now - step > due; step *= 2) {
    latest = next(now - step)
    if (latest <= now) break
    latest = due
    end = now - step
  }
  while (end > latest) {
    const following = next(latest)
    if (following > now) break
    latest = following
    const middle = Math.floor((latest + end) / 2)
    const later = next(middle)
    if (later <= now) latest = later
    else end = middle
  }
  return latest
}
