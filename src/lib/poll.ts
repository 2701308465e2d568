import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'

/** All that ends one after the other has to fit what the process gets to close. */
const END_MS = 500

/**
 * Does a thing that asks the database again and again, never twice at a time; a database that is away is the next
 * round's to find back.
 * @param ms from one beginning to the next.
 * @returns what ends it, and waits for a round that is under way, but not for a database that does not answer.
 */
export function poll (app: FastifyInstance, ms: number, task: () => Promise<void>): () => Promise<void> {
  let running = Promise.resolve()
  let busy = false
  let failing = false
  const round = () => {
    if (busy) return
    busy = true
    running = task().then(() => { failing = false }, async err => {
      // Of a database that is away the watch tells; of another trouble this does, once and not once a second.
      if (failing || !await app.database.isUp()) return
      app.log.warn({ err }, 'the database could not be asked: it is asked again and again')
      failing = true
    }).finally(() => { busy = false })
  }
  const timer = setInterval(round, ms).unref()
  setImmediate(round)
  return () => {
    clearInterval(timer)
    return Promise.race([running, delay(END_MS, undefined, { ref: false })])
  }
}
