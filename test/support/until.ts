import { setTimeout as delay } from 'node:timers/promises'

/** Between two looks at what has no event: who looks all the time takes the service its processor. */
export const LOOK_MS = 10

/** Calls `ask` until the answer is wanted. Throws with the last answer after a while. */
export async function until<T> (ask: () => Promise<T>, isWanted: (answer: T) => boolean, seconds = 20): Promise<T> {
  const end = performance.now() + seconds * 1000
  for (;;) {
    const answer = await ask()
    if (isWanted(answer)) return answer
    if (performance.now() > end) throw new Error(`in ${seconds} s only ${JSON.stringify(answer)}`)
    await delay(LOOK_MS)
  }
}
