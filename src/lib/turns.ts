import { setImmediate as nextTurn } from 'node:timers/promises'

/** Bytes; what costs more is parsed in a turn of the event loop of its own. */
export const HEAVY_COST = 1024 * 1024

let last: Promise<void> = Promise.resolve()

/** Waits for a turn of the event loop of one's own, after all who asked before: jobs that take long each get another turn. */
export async function ownTurn (): Promise<void> {
  last = last.then(() => nextTurn())
  await last
}
