/** What all keys of this service begin with. */
export const PREFIX = 'jeesi'

/** The stream of a run's events. */
export function streamKey (runId: string): string {
  return `${PREFIX}:run:${runId}`
}
