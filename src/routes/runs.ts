import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { readAccessOf } from '#shared/http/caller.ts'
import { isEventSource } from '#shared/http/sse.ts'
import { ALL_EVENTS, readKnownEvents } from '#shared/reader/known-events.ts'
import { UUID } from '#shared/uuid.ts'
import { errorAnswers, KnownEventsText, ListedRun, Run, RunStatus, Uuid } from '#shared/schemas.ts'
import { RunStream } from '../contract/streams.js'

const RunParams = Type.Object({ id: Uuid })

const RunQuery = Type.Object({
  status: Type.Optional(RunStatus),
  agentId: Type.Optional(Uuid),
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
  cursor: Type.Optional(Uuid)
})

/** What is no id is no run's. */
const NO_RUN = '00000000-0000-4000-8000-000000000000'

/** The last event that a reader has; a browser that reconnects sends it as a header. */
const EventsQuery = Type.Object({ ticket: Type.Optional(Type.String()), after: Type.Integer({ minimum: 0, default: 0 }), events: KnownEventsText })
const EventsHeaders = Type.Object({ 'last-event-id': Type.Optional(Type.Integer({ minimum: 0 })), 'x-stream-events': KnownEventsText })

const RunList = Type.Object({ runs: Type.Array(ListedRun), nextCursor: Type.Union([Type.String(), Type.Null()]) })

/** The caller's runs: all of a user's, or those that a key has begun. */
const runs: FastifyPluginAsyncTypebox = async app => {
  app.get('/api/runs', {
    onRequest: app.requireReader,
    schema: { querystring: RunQuery, response: { 200: RunList, ...errorAnswers } }
  }, async request => app.runs.list({ ...request.query, userId: request.caller!.userId }))

  app.get('/api/runs/:id', {
    onRequest: app.requireUser,
    schema: { params: RunParams, response: { 200: Run, ...errorAnswers } }
  }, async request => app.runs.get(readAccessOf(request.caller!), request.params.id))

  app.get('/api/runs/:id/events', {
    onRequest: [requireTicketOrUser, app.countConnection],
    config: { execution: true },
    schema: {
      params: RunParams,
      querystring: EventsQuery,
      headers: EventsHeaders,
      response: { 200: { content: { 'text/event-stream': { schema: RunStream } } }, 204: Type.Null(), ...errorAnswers }
    }
  }, async (request, reply) => {
    const { id: runId } = request.params
    const after = request.headers['last-event-id'] ?? request.query.after
    request.logFields = { runId, after }
    // Clients of this route are written for this service: they know all events unless they say otherwise.
    const known = readKnownEvents(request.headers['x-stream-events'] ?? request.query.events, ALL_EVENTS)
    const run = await app.runs.resume(readAccessOf(request.caller!), runId, after)
    const asksForEver = isEventSource({ lastEventId: request.headers['last-event-id'], accept: request.headers.accept })
    if (asksForEver && app.runs.hasAll(runId, after)) return reply.code(204).header('x-run-id', runId).send(null)
    return reply.streamRun(run, { after, known })
  })

  app.post('/api/runs/:id/cancel', {
    onRequest: app.requireUser,
    config: { execution: true },
    schema: { params: RunParams, response: { 200: Run, ...errorAnswers } }
  }, async request => {
    const { id: runId } = request.params
    request.logFields = { runId }
    return app.runs.cancel(request.caller!, runId)
  })

  /** Who opens an EventSource can send no header, but an address with a ticket. */
  async function requireTicketOrUser (request: FastifyRequest): Promise<void> {
    const { query, params, headers } = request as FastifyRequest<{ Querystring: { ticket?: unknown }, Params: { id: string } }>
    if (query.ticket === undefined) return app.requireUser(request)
    const isAgain = headers['last-event-id'] !== undefined
    request.caller = await app.useTicket(String(query.ticket), { runId: UUID.test(params.id) ? params.id : NO_RUN, isAgain }, request)
  }
}

export default runs
