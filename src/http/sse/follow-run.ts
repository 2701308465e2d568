import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { RunAccess } from '#shared/http/caller.ts'
import { isEventSource } from '#shared/http/sse.ts'
import { ALL_EVENTS, readKnownEvents } from '#shared/reader/known-events.ts'
import { errorAnswers, KnownEventsText } from '#shared/schemas.ts'
import { RunStream } from '../../contract/streams.js'

/** Of a route that follows a run. The last event that a reader has a browser that reconnects sends as a header. */
export const FOLLOW_SCHEMA = {
  querystring: Type.Object({ after: Type.Integer({ minimum: 0, default: 0 }), events: KnownEventsText }),
  headers: Type.Object({ 'last-event-id': Type.Optional(Type.Integer({ minimum: 0 })), 'x-stream-events': KnownEventsText }),
  response: { 200: { content: { 'text/event-stream': { schema: RunStream } } }, 204: Type.Null(), ...errorAnswers }
}

/** A run that is to be followed, and what the reader has of it and knows. */
export interface Followed {
  access: RunAccess
  runId: string
  query: { after: number, events?: string }
  headers: { 'last-event-id'?: number, 'x-stream-events'?: string, accept?: string }
}

/** Streams the events of a run that may be read, from the one on that the reader does not have. Throws `run_not_found`. */
export async function followRun (request: FastifyRequest, reply: FastifyReply, { access, runId, query, headers }: Followed): Promise<FastifyReply> {
  const { runs } = request.server
  const after = headers['last-event-id'] ?? query.after
  request.logFields = { runId, after }
  // Clients of these routes are written for this service: they know all events unless they say otherwise.
  const known = readKnownEvents(headers['x-stream-events'] ?? query.events, ALL_EVENTS)
  const run = await runs.resume(access, runId, after)
  const asksForEver = isEventSource({ lastEventId: headers['last-event-id'], accept: headers.accept })
  if (asksForEver && runs.hasAll(run.runId, after)) return reply.code(204).header('x-run-id', run.runId).send(null)
  return reply.streamRun(run, { after, known })
}
