/** The prefix of all keys of this service. */
export const PREFIX = 'jeesi'

/** A key that exists for as long as Redis has not lost its data. */
export const MARKER = `${PREFIX}:marker`
/** The stream of requests to cancel runs. */
export const CANCELS = `${PREFIX}:cancels`
/** The round of the queue that is being served. */
export const SERVED_ROUND = `${PREFIX}:round`
/** A hash of each user's last round in the queue. */
export const USER_ROUNDS = `${PREFIX}:rounds`

/** The channel that shows whether this service may use channels. */
export const PROBE_CHANNEL = `${PREFIX}:probe`
/** The channel by which all processes are told something. Databases of one server share its channels. */
export function inboxesKey (database: number): string {
  return `${PREFIX}:inboxes:${database}`
}

/** The channel by which a process hears from others. */
export function inboxKey (name: string): string {
  return `${PREFIX}:inbox:${name}`
}

/** The stream of a run's events while no process has them in memory: it waits, or its process has released it. */
export function streamKey (runId: string): string {
  return `${PREFIX}:run:${runId}`
}

/** The stream that interrupts the blocking read of a process. */
export function wakeKey (name: string): string {
  return `${PREFIX}:wake:${name}`
}

/** The sorted set of a user's runs that wait for another run of the user to end. */
export function parkedKey (userId: string): string {
  return `${PREFIX}:parked:${userId}`
}
