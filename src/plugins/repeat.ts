import type { FastifyInstance } from 'fastify'

/**
 * Does a thing with the database now and again and again, never twice at a time; a database that is away is the next
 * round's to find back.
 * @returns what ends it, and resolves when the round that is under way has.
 */
export function repeat ({ database, log }: Pick<FastifyInstance, 'database' | 'log'>, ms: number, task: () => Promise<void>): () => Promise<void> {
  let running = Promise.resolve()
  let busy = false
  let failing = false
  const round = () => {
    if (busy) return
    busy = true
    running = task().then(() => { failing = false }, async err => {
      // Of a database that is away the watch tells; of another trouble this does, once and not once a second.
      if (failing || !await database.isUp()) return
      log.warn({ err }, 'the database could not be asked: it is asked again and again')
      failing = true
    }).finally(() => { busy = false })
  }
  const timer = setInterval(round, ms).unref()
  setImmediate(round)
  return () => {
    clearInterval(timer)
    return running
  }
}
