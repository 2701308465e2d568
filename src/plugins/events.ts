import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import type { EventLog } from '../executor/events/event-log.js'
import { MemoryEventLog } from '../executor/events/memory-event-log.js'
import { LEASE_SECONDS } from '../executor/run/lease.js'
import { readEnds } from '../executor/run/remote-readers.js'
import type { StreamedRun } from '../http/sse/format.js'
import { OpenAnswers } from '../http/sse/open-answers.js'
import { type StreamOptions, SseStreams } from '../http/sse/streams.js'

declare module 'fastify' {
  interface FastifyInstance {
    events: EventLog
    /** The event streams that are open. */
    streams: SseStreams
    /** Answers about runs that are no event streams of ours, and end with these. */
    openAnswers: OpenAnswers
  }
  interface FastifyReply {
    /** Answers with a run's events as SSE, until the run ends, the client leaves, or the server closes. */
    streamRun (run: StreamedRun, options?: StreamOptions): FastifyReply
    /** Waits for a run's first output, FIRST_OUTPUT_SECONDS at the most. Throws the error of a run that fails before it. */
    waitForOutput (runId: string): Promise<void>
  }
}

/** How long the events of a finished run are kept. */
const KEEP_MS = 10 * 60_000
/** How long a lease must still last for its process to be asked for events: one that lives has renewed it a second or two ago. */
const FRESH_SECONDS = LEASE_SECONDS - 2.5

async function events (app: FastifyInstance): Promise<void> {
  const log = await createLog(app)
  const { sseMaxSeconds, firstOutputSeconds } = app.config
  const streams = new SseStreams(log, sseMaxSeconds * 1000, firstOutputSeconds * 1000)
  const answers = new OpenAnswers(sseMaxSeconds * 1000)
  app.decorate('events', log)
  app.decorate('streams', streams)
  app.decorate('openAnswers', answers)
  app.decorateReply('streamRun', function (this: FastifyReply, run: StreamedRun, options?: StreamOptions) {
    return streams.open(this, run, options)
  })
  app.decorateReply('waitForOutput', function (this: FastifyReply, runId: string) {
    return streams.waitForOutput(this, runId)
  })
  app.shutdown.on('eventStreams', () => {
    streams.close()
    answers.close()
  })
  app.shutdown.on('eventLog', () => log.close())
}

/** With Redis, other processes can read what is emitted here. */
async function createLog ({ redis, database, memory, owner }: FastifyInstance): Promise<EventLog> {
  const options = { maxBytes: memory.eventBytes, keepMs: KEEP_MS }
  if (!redis) return new MemoryEventLog(options)
  const { SharedEventLog } = await import('../redis/event-log.js')
  const log: EventLog = new SharedEventLog(redis.link, redis.streams, {
    ...options,
    owner,
    registry: {
      findOwners: runIds => database.call('get_run_owners', { p_run_ids: runIds, p_fresh_seconds: FRESH_SECONDS }),
      readEnds: runIds => readEnds(database, log, runIds)
    }
  })
  return log
}

export default fp(events, { name: 'events', dependencies: ['database', 'redis', 'memory', 'shutdown'] })
