import fc from 'fast-check'
import t from 'tap'
import { catchUp, nextTime } from '../../src/schedules/times.js'
import { often } from '../support/scope.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const ID = 'c0000000-0000-4000-8000-000000000001'
const ZONES = [
  'Africa/Cairo', 'America/Santiago', 'Asia/Beirut', 'America/Havana', 'Australia/Lord_Howe', 'Europe/Berlin', 'America/New_York',
  'America/Nuuk', 'Pacific/Chatham', 'Africa/Casablanca', 'America/Asuncion', 'Europe/London', 'Asia/Kolkata'
]
/** Hours before and after a change of the clocks that are walked through. */
const WINDOW = 80

/** A field of a cron expression, and what it means. */
interface Field { text: string, values: number[] }

function field (min: number, max: number): fc.Arbitrary<Field> {
  const range = (step: number) => Array.from({ length: max - min + 1 }, (_, n) => n + min).filter(value => (value - min) % step === 0)
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant({ text: '*', values: range(1) }) },
    { weight: 2, arbitrary: fc.integer({ min: 2, max: Math.max(2, (max - min) >> 1) }).map(step => ({ text: `*/${step}`, values: range(step) })) },
    { weight: 4, arbitrary: fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 3 }).map(values => ({ text: values.join(','), values })) }
  )
}

/** Minutes of the night, in which clocks change, are more likely. */
const hours: fc.Arbitrary<Field> = fc.oneof({ weight: 3, arbitrary: fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 3 }).map(values => ({ text: values.join(','), values })) }, { weight: 2, arbitrary: field(0, 23) })
const expressions = fc.record({ minute: field(0, 59), hour: hours, weekday: field(0, 6) })

/** The local time of a moment, in milliseconds as if it were in UTC. */
function localTime (zone: string): (moment: number) => number {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' })
  return moment => Date.parse(`${format.format(moment).replace(' ', 'T')}Z`)
}

/** The minutes around each change of a zone's clocks, or around some night of one that has none: [moment, local time]. */
function nightsOf (zone: string): Array<Array<[number, number]>> {
  const local = localTime(zone)
  const nights: number[] = []
  for (let moment = Date.UTC(2025, 0, 1); moment < Date.UTC(2028, 0, 1); moment += 24 * HOUR) {
    if (local(moment + 24 * HOUR) - local(moment) !== 24 * HOUR) nights.push(moment)
  }
  return (nights.length > 0 ? nights : [Date.UTC(2026, 5, 1)]).map(night =>
    Array.from({ length: 2 * WINDOW * 60 }, (_, n) => night + n * MINUTE - WINDOW * HOUR).map(moment => [moment, local(moment)]))
}

const walked = new Map<string, ReturnType<typeof nightsOf>>()

/** All times within a night and the days around it, minute by minute. */
function walk (minutes: Array<[number, number]>, { minute, hour, weekday }: { minute: Field, hour: Field, weekday: Field }): number[] {
  const matches = (local: number) => {
    const date = new Date(local)
    return minute.values.includes(date.getUTCMinutes()) && hour.values.includes(date.getUTCHours()) && weekday.values.includes(date.getUTCDay())
  }
  const isHourly = new Set(hour.values).size === 24
  const followsClock = isHourly || minute.text.includes('*') || hour.text.includes('*')
  const seen = new Set<number>()
  const times: number[] = []
  for (const [index, [moment, local]] of minutes.entries()) {
    const before = index > 0 ? minutes[index - 1]![1] : local - MINUTE
    let isSkipped = false
    for (let skipped = before + MINUTE; skipped < local; skipped += MINUTE) isSkipped ||= matches(skipped)
    if ((isSkipped && !isHourly) || (matches(local) && (followsClock || !seen.has(local)))) times.push(moment)
    seen.add(local)
  }
  return times
}

t.test('times are those of a walk through each minute of the nights in which clocks change', async () => {
  for (const zone of ZONES) walked.set(zone, nightsOf(zone))
  fc.assert(fc.property(fc.constantFrom(...ZONES), fc.nat(), expressions, fc.integer({ min: 24 * 60, max: (2 * WINDOW - 24) * 60 }), fc.integer({ min: 0, max: 24 * 60 }),
    (zone, which, expression, from, missed) => {
      const nights = walked.get(zone)!
      const minutes = nights[which % nights.length]!
      const timing = { id: ID, cron: `${expression.minute.text} ${expression.hour.text} * * ${expression.weekday.text}`, timezone: zone }
      const now = minutes[from]![0]
      const times = walk(minutes, expression)
      const next = times.find(time => time > now)
      if (next !== undefined && nextTime(timing, new Date(now)).getTime() !== next) return false
      if (next === undefined && nextTime(timing, new Date(now)).getTime() <= minutes.at(-1)![0]) return false
      const due = minutes[Math.max(0, from - missed)]![0]
      return catchUp(timing, new Date(due), new Date(now)).latest.getTime() === (times.findLast(time => time > due && time <= now) ?? due)
    }), { numRuns: often(1_000) })
})
