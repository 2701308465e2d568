const HALF_DAY = 12 * 60 * 60_000
/** From any moment so far to each side is beyond every difference of a zone from UTC, and a day that a zone has left out. */
const MARGIN = 26 * 60 * 60_000
const MAX_FORMATS = 50

/** Around some half day: what is to be added to UTC until a moment, and from it on. Zones do not change twice within days. */
interface Span { before: number, after: number, change: number }

/** What a time of the calendar is in a zone: one moment, two where clocks are put back; none where they are put forward. */
export type Moments = { at: number[] } | { skippedUntil: number }

/**
 * The clock of a time zone. Moments are milliseconds since 1970; so are times of the calendar, as if they were in UTC. It
 * remembers what it has found, so use one for one computation.
 */
export class Clock {
  readonly #format: Intl.DateTimeFormat
  readonly #spans = new Map<number, Span>()

  /** @param zone a name that `Intl` knows. */
  constructor (zone: string) {
    this.#format = formatOf(zone)
  }

  wallAt (moment: number): number {
    const { before, after, change } = this.#spanAround(moment)
    return moment + (moment < change ? before : after)
  }

  /** How far clocks are put back at about this moment, in milliseconds; 0 if they are not. */
  repeatedAround (moment: number): number {
    const { before, after } = this.#spanAround(moment)
    return Math.max(0, before - after)
  }

  momentsOf (wall: number): Moments {
    const { before, after, change } = this.#spanAround(wall)
    if (before === after) return { at: [wall - before] }
    const at = [...wall - before < change ? [wall - before] : [], ...wall - after >= change ? [wall - after] : []]
    return at.length > 0 ? { at } : { skippedUntil: change }
  }

  #spanAround (time: number): Span {
    const half = Math.floor(time / HALF_DAY)
    const known = this.#spans.get(half)
    if (known) return known
    const [from, to] = [half * HALF_DAY - MARGIN, (half + 1) * HALF_DAY + MARGIN]
    const [before, after] = [this.#offsetAt(from), this.#offsetAt(to)]
    const span = { before, after, change: before === after ? to : this.#changeIn(from, to) }
    this.#spans.set(half, span)
    return span
  }

  /** The first second of the later offset. */
  #changeIn (from: number, to: number): number {
    const before = this.#offsetAt(from)
    let [earlier, later] = [from, to]
    while (later - earlier > 1_000) {
      const middle = Math.floor((earlier + later) / 2_000) * 1_000
      if (this.#offsetAt(middle) === before) earlier = middle
      else later = middle
    }
    return later
  }

  /** @param moment in whole seconds. */
  #offsetAt (moment: number): number {
    const [month, day, year, hour, minute, second] = this.#format.format(moment).match(/\d+/g)!.map(Number) as [number, number, number, number, number, number]
    return Date.UTC(year, month - 1, day, hour, minute, second) - moment
  }
}

/** Those that were used last: to make one takes as long as to format a hundred times. */
const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf (timeZone: string): Intl.DateTimeFormat {
  const format = formats.get(timeZone) ?? new Intl.DateTimeFormat('en-US', {
    timeZone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric'
  })
  formats.delete(timeZone)
  formats.set(timeZone, format)
  if (formats.size > MAX_FORMATS) formats.delete(formats.keys().next().value!)
  return format
}
