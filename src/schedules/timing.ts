import type { Timing } from '../database/functions/schedules.js'

/** A schedule is invalid, which its user has to mend; the message is for them. */
export class ScheduleFault extends Error {}

export const MAX_CRON = 200

/** The time zone; null and blank are UTC. @throws {ScheduleFault} */
export function zoneOf ({ timezone }: Pick<Timing, 'timezone'>): string {
  const zone = timezone?.trim() || 'UTC'
  try {
    const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions()
    // Newer versions of Node take offsets such as +02:00, which know no summer time.
    if (!/^[+-]/.test(timeZone)) return timeZone
  } catch {
    // It is no name.
  }
  throw new ScheduleFault(`${shown(zone)} is no time zone: it takes a name such as Europe/Berlin.`)
}

/** Quotes what a user wrote, for a message to them. */
export function shown (text: string): string {
  return JSON.stringify(text.slice(0, MAX_CRON))
}
