import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { readAccessOf } from '#shared/http/caller.ts'
import { UUID } from '#shared/uuid.ts'
import { errorAnswers, ListedRun, Run, RunStatus, Uuid } from '#shared/schemas.ts'
import { RunStep } from '../contract/schemas.js'
import { FOLLOW_SCHEMA, followRun } from '../http/sse/follow-run.js'

const RunParams = Type.Object({ id: Uuid })

const RunQuery = Type.Object({
  status: Type.Optional(RunStatus),
  agentId: Type.Optional(Uuid),
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
  cursor: Type.Optional(Uuid)
})

/** What is no id is no run's. */
const NO_RUN = '00000000-0000-4000-8000-000000000000'

/** A browser's EventSource can send a ticket, and no header. */
const EventsQuery = Type.Object({ ...FOLLOW_SCHEMA.querystring.properties, ticket: Type.Optional(Type.String()) })

const StepList = Type.Object({ steps: Type.Array(RunStep) })
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

  app.get('/api/runs/:id/steps', {
    onRequest: app.requireUser,
    schema: { params: RunParams, response: { 200: StepList, ...errorAnswers } }
  }, async request => ({ steps: await app.runs.steps(readAccessOf(request.caller!), request.params.id) }))

  app.get('/api/runs/:id/events', {
    onRequest: [requireTicketOrUser, app.countConnection],
    config: { execution: true },
    schema: { ...FOLLOW_SCHEMA, params: RunParams, querystring: EventsQuery }
  }, async (request, reply) => {
    const { caller, params: { id: runId }, query, headers } = request
    return followRun(request, reply, { access: readAccessOf(caller!), runId, query, headers })
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
