import { type CronFieldCollection, CronExpressionParser } from 'cron-parser'
import type { Timing } from '../database/functions/schedules.js'
import { MAX_CRON, ScheduleFault, shown } from './timing.js'

/** Nicknames that cron has and the parser does not. */
const NICKNAMES: Record<string, string> = { '@midnight': '@daily' }

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** Every day of the calendar comes within so many years: 29 February on a given weekday after 40. */
const MAX_YEARS = 50

/**
 * A cron expression as times of a calendar without zones. Such a time is milliseconds: those since 1970 of the moment at
 * which a clock in UTC shows it.
 */
export interface Cron {
  /** Five or six fields, `H` replaced by what it stands for in this schedule. */
  readonly pattern: string
  /** Whether it is due in each hour of its days: then no hour that clocks skip is missed. */
  readonly isHourly: boolean
  /** Whether it is due in each hour, or its minutes or hours are written with `*`: then it is due in both passes of what clocks repeat. */
  readonly followsClock: boolean
  /** The first time at or after another; undefined if none ever comes. */
  firstFrom (wall: number): number | undefined
}

/**
 * Parses five fields or a nickname; a sixth field, for seconds, may have one value, so that no schedule is due twice a
 * minute.
 * @throws {ScheduleFault}
 */
export function readCron ({ id, cron: written }: Pick<Timing, 'id' | 'cron'>): Cron {
  const text = written?.trim() ?? ''
  if (text.length > MAX_CRON) throw new ScheduleFault(`The cron expression is longer than ${MAX_CRON} characters.`)
  const nickname = text.startsWith('@') ? text.toLowerCase() : undefined
  const parts = text.split(/\s+/)
  if (!nickname && (parts.length < 5 || parts.length > 6)) {
    throw new ScheduleFault(`The cron expression ${shown(text)} must have five fields: minute, hour, day of month, month, day of week.`)
  }
  const { fields, pattern } = parse(nickname ? NICKNAMES[nickname] ?? nickname : text, id, text)
  const [second, ...more] = fields.second.values as number[]
  if (more.length > 0) throw new ScheduleFault(`The cron expression ${shown(text)} is due more often than once a minute.`)
  const hours = numbersIn(fields.hour.values)
  const times = hours.flatMap(hour => numbersIn(fields.minute.values).map(minute => hour * HOUR + minute * MINUTE + second! * SECOND))
  return {
    pattern,
    isHourly: hours.length === 24,
    followsClock: hours.length === 24 || parts.slice(-5, -3).some(part => /[*?]/.test(part)),
    firstFrom: wall => firstFrom(wall, times, dayMatcher(fields))
  }
}

function parse (expression: string, hashSeed: string, written: string): { fields: CronFieldCollection, pattern: string } {
  try {
    // `H` has the same value each time for one schedule.
    const parsed = CronExpressionParser.parse(expression, { hashSeed })
    return { fields: parsed.fields, pattern: parsed.stringify(true) }
  } catch (error) {
    throw new ScheduleFault(`The cron expression ${shown(written)} is not valid: ${(error as Error).message}.`)
  }
}

function numbersIn (values: readonly (number | string)[]): number[] {
  return values.filter(value => typeof value === 'number').sort((a, b) => a - b)
}

type MatchesDay = (date: Date) => boolean

function firstFrom (wall: number, times: number[], matches: { month: MatchesDay, day: MatchesDay }): number | undefined {
  const today = Math.floor(wall / DAY) * DAY
  const later = matches.month(new Date(today)) && matches.day(new Date(today)) && times.find(time => today + time >= wall)
  if (typeof later === 'number') return today + later
  for (let date = new Date(today + DAY); date.getTime() < today + MAX_YEARS * 366 * DAY;) {
    if (!matches.month(date)) date = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1))
    else if (matches.day(date)) return date.getTime() + times[0]!
    else date = new Date(date.getTime() + DAY)
  }
  return undefined
}

/** If both days are restricted either will do; `L` is the last of a month, and `5#2` the second Friday. */
function dayMatcher ({ dayOfMonth, month, dayOfWeek }: CronFieldCollection): { month: MatchesDay, day: MatchesDay } {
  const months = new Set(numbersIn(month.values))
  const days = new Set(numbersIn(dayOfMonth.values))
  const weekdays = new Set(numbersIn(dayOfWeek.values).map(weekday => weekday % 7))
  const lastWeekdays = new Set(dayOfWeek.values.filter(value => String(value).endsWith('L')).map(value => parseInt(String(value)) % 7))
  const isOfMonth = (date: Date) => days.has(date.getUTCDate()) || (dayOfMonth.hasLastChar && isInLast(date, 1))
  const isOfWeek = (date: Date) => {
    const isNth = dayOfWeek.nthDay <= 0 || Math.ceil(date.getUTCDate() / 7) === dayOfWeek.nthDay
    return (weekdays.has(date.getUTCDay()) && isNth) || (lastWeekdays.has(date.getUTCDay()) && isInLast(date, 7))
  }
  return {
    month: date => months.has(date.getUTCMonth() + 1),
    day: dayOfWeek.isWildcard ? isOfMonth : dayOfMonth.isWildcard ? isOfWeek : date => isOfMonth(date) || isOfWeek(date)
  }
}

/** Whether a day is among the last days of its month. */
function isInLast (date: Date, days: number): boolean {
  return new Date(date.getTime() + days * DAY).getUTCMonth() !== date.getUTCMonth()
}
