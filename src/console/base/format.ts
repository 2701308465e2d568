const NUMBER = new Intl.NumberFormat('en')
const DATE = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' })
const CLOCK = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hour12: false })
const DAY = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric' })
const MINUTE = 60_000
const HOUR = 60 * MINUTE

export function numberText (value: number | null | undefined): string {
  return value == null ? '–' : NUMBER.format(value)
}

/** A number of things: `1 credit`, `2 credits`. */
export function countText (count: number, thing: string, things = `${thing}s`): string {
  return `${numberText(count)} ${count === 1 ? thing : things}`
}

/** A time, short: how long ago, the clock today, else the day. */
export function whenText (iso: string | null | undefined, now = Date.now()): string {
  if (!iso) return '–'
  const date = new Date(iso)
  const ago = now - date.getTime()
  if (ago >= 0 && ago < MINUTE) return 'just now'
  if (ago >= 0 && ago < HOUR) return `${Math.floor(ago / MINUTE)} min ago`
  return new Date(now).toDateString() === date.toDateString() ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`
}

export function dateText (iso: string | null | undefined): string {
  return iso ? DATE.format(new Date(iso)) : '–'
}

export function dayText (iso: string): string {
  return DAY.format(new Date(iso))
}

/** Milliseconds as people say them. */
export function durationText (ms: number | null): string {
  if (ms === null || Number.isNaN(ms)) return '–'
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < MINUTE) return `${(ms / 1000).toFixed(1)} s`
  return ms < HOUR ? `${Math.floor(ms / MINUTE)} min ${Math.floor(ms % MINUTE / 1000)} s` : `${Math.floor(ms / HOUR)} h ${Math.floor(ms % HOUR / MINUTE)} min`
}

/** How large a text is. */
export function sizeText (characters: number): string {
  return characters < 10_000 ? `${numberText(characters)} characters` : characters < 1_000_000 ? `${Math.round(characters / 1000)} K` : `${(characters / 1_000_000).toFixed(1)} M`
}

/** The first characters of an id, by which people tell it from others. */
export function shortId (id: string): string {
  return id.slice(0, 8)
}
