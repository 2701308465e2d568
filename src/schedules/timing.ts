/** When a schedule is due, as its user says it; what is no such thing is a ScheduleFault. */
export interface Timing { id: string, cron: string | null, timezone: string | null }

/** There is something wrong with a schedule, that its user has to mend; the sentence is for them. */
export class ScheduleFault extends Error {}

export const MAX_CRON = 200

/** Null, blank and `UTC` are one. @throws {ScheduleFault} */
export function zoneOf ({ timezone }: Pick<Timing, 'timezone'>): string {
  const zone = timezone?.trim() || 'UTC'
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone
  } catch {
    throw new ScheduleFault(`${shown(zone)} is no time zone: it takes a name such as Europe/Berlin.`)
  }
}

/** What a user wrote, for a sentence to them. */
export function shown (text: string): string {
  return JSON.stringify(text.slice(0, MAX_CRON))
}
