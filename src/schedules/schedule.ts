import { AUTHOR_LIMITS } from '#shared/bounds/author-limits.ts'
import { fillText } from '#shared/functions/template.ts'
import type { Schedule } from '../database/functions/schedules.js'
import { ToolError } from '../executor/tools/tool.js'
import { checkOutput } from './output.js'
import { ScheduleFault, zoneOf } from './timing.js'

/** Checks everything but its times. @throws {ScheduleFault} */
export function checkSchedule (schedule: Schedule): void {
  if (!schedule.userId) throw new ScheduleFault('The schedule has no user.')
  if (!schedule.agentId) throw new ScheduleFault('The schedule has no agent.')
  if (!schedule.prompt?.trim()) throw new ScheduleFault('The schedule has no prompt.')
  if (schedule.prompt.length > AUTHOR_LIMITS.schedulePrompt) throw new ScheduleFault(`The prompt is longer than ${AUTHOR_LIMITS.schedulePrompt} characters.`)
  if (schedule.isTooLarge) throw new ScheduleFault('The output_config is larger than 256 KiB.')
  try {
    checkOutput(schedule)
  } catch (error) {
    throw error instanceof ToolError ? new ScheduleFault(`The output cannot be sent: ${error.message}`) : error
  }
}

/**
 * Fills the prompt of a firing: it may name {{date}} (2026-03-29), {{time}} (08:30), {{datetime}}, {{weekday}}, all in the
 * schedule's time zone, {{timezone}}, {{scheduled_for}} (ISO, UTC), {{schedule_id}} and {{agent_id}}.
 * @param at when the schedule is due.
 * @throws {ScheduleFault}
 */
export function fillPrompt (schedule: Pick<Schedule, 'id' | 'agentId' | 'prompt' | 'timezone'>, at: Date): string {
  const timeZone = zoneOf(schedule)
  // The Swedish format is ISO 8601 without the T.
  const datetime = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'short' }).format(at)
  const [date, time] = datetime.split(' ')
  const weekday = new Intl.DateTimeFormat('en-US', { timeZone, weekday: 'long' }).format(at)
  try {
    return fillText(schedule.prompt ?? '', {
      date,
      time,
      datetime,
      weekday,
      timezone: timeZone,
      scheduled_for: at.toISOString(),
      schedule_id: schedule.id,
      agent_id: schedule.agentId
    })
  } catch (error) {
    throw error instanceof ToolError ? new ScheduleFault(`The prompt cannot be made: ${error.message}`) : error
  }
}
