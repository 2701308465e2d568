import { errors } from '../errors.ts'

/** What a reader can know beside `started`, `chunk`, `done` and `error`, which everybody is told. */
export const EVENT_GROUPS = ['rewind', 'reconnect', 'cancelled', 'tools', 'progress', 'waiting'] as const
export type EventGroup = typeof EVENT_GROUPS[number]

/** The groups that a reader has named. */
export type KnownEvents = ReadonlySet<EventGroup>

/** The reader has named nothing: it is a plain reader. */
export const PLAIN: KnownEvents = new Set()
export const ALL_EVENTS: KnownEvents = new Set(EVENT_GROUPS)

/** The header in which a reader says what it knows. */
export const EVENTS_HEADER = 'x-stream-events'

/** The group of each type of event that has one. */
const GROUPS: Record<string, EventGroup> = {
  rewind: 'rewind',
  cancelled: 'cancelled',
  tool_call: 'tools',
  tool_result: 'tools',
  step: 'tools',
  progress: 'progress',
  queued: 'progress',
  retry: 'progress',
  reasoning: 'progress'
}

/** Whether a reader is told events of a type at all. */
export function isTold (known: KnownEvents, type: string): boolean {
  const group = GROUPS[type]
  return group === undefined || known.has(group)
}

/**
 * Reads what a reader says it knows: names of groups, separated by commas, or `*`.
 * @param otherwise what a reader knows that says nothing.
 * @throws {ServiceError} bad_request, if a name is none.
 */
export function readKnownEvents (text: string | null | undefined, otherwise: KnownEvents = PLAIN): KnownEvents {
  if (text === null || text === undefined) return otherwise
  const names = text.split(',').map(name => name.trim()).filter(Boolean)
  const unknown = names.find(name => name !== '*' && !isGroup(name))
  if (unknown !== undefined) {
    throw errors.badRequest(`"${unknown.slice(0, 40)}" is no kind of event: ${EVENTS_HEADER} takes ${EVENT_GROUPS.join(', ')}, or *.`)
  }
  return names.includes('*') ? ALL_EVENTS : new Set(names.filter(isGroup))
}

function isGroup (name: string): name is EventGroup {
  return (EVENT_GROUPS as readonly string[]).includes(name)
}
