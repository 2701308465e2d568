import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerOf } from '#shared/final-event.ts'
import { accessArguments, readAccessOf } from '#shared/http/caller.ts'
import { EVENT_GROUPS, type KnownEvents } from '#shared/reader/known-events.ts'
import { OpenAIError, RepeatableHeaders } from '../../contract/openai-schemas.js'
import { responseIdOf } from '../../contract/responses.js'
import { pageOf, toToldItems } from '../../contract/responses-input.js'
import { DeletedResponse, Response, ResponseItems, ResponsesBody } from '../../contract/responses-schemas.js'
import { ResponseStream } from '../../contract/streams.js'
import { consumeBody } from '../../http/body-memory.js'
import { beginResponse, headOf } from '../../http/responses/begin.js'
import { holdInput } from '../../http/responses/conversation.js'
import { describeResponse, findResponse } from '../../http/responses/describe.js'

/** Runs go on where they are streamed from: a client is not sent elsewhere before its connection has to end. */
const KNOWN: KnownEvents = new Set(EVENT_GROUPS.filter(group => group !== 'reconnect'))
const errorAnswers = { '4xx': OpenAIError, '5xx': OpenAIError }
const answers = {
  200: { content: { 'application/json': { schema: Response }, 'text/event-stream': { schema: ResponseStream } } },
  ...errorAnswers
}
const params = Type.Object({ id: Type.String() })

/** Other parameters of a query are ignored, as `include` is. */
const RetrieveQuery = Type.Object({
  stream: Type.Boolean({ default: false }),
  starting_after: Type.Optional(Type.Integer({ minimum: 0 }))
})

const InputItemsQuery = Type.Object({
  after: Type.Optional(Type.String()),
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
  order: Type.Unsafe<'asc' | 'desc'>({ type: 'string', enum: ['asc', 'desc'], default: 'desc' })
})

/** Responses, as OpenAI's API has them: each is a run, with what its client has kept beside it. */
const responses: FastifyPluginAsyncTypebox = async app => {
  app.addHook('onRequest', async (request, reply) => { reply.header('x-request-id', request.id) })

  app.post('/v1/responses', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: { headers: RepeatableHeaders, body: ResponsesBody, response: answers }
  }, async (request, reply) => {
    const { stream } = request.body
    const { run, head } = await consumeBody(request, () => beginResponse(request, reply, request.body, request.headers))
    noteRun(request, reply, run.runId)
    if (stream) return reply.streamRun({ ...run, asResponse: { head } }, { format: 'responses', known: KNOWN })
    if (head.details.background) return describeResponse(app.events, run, head)
    const final = await app.runs.finalEvent(run.runId)
    answerOf(final)
    return describeResponse(app.events, run, head, final)
  })

  app.get('/v1/responses/:id', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: { params, querystring: RetrieveQuery, response: answers }
  }, async (request, reply) => {
    const { stream, starting_after: startingAfter } = request.query
    const access = readAccessOf(request.caller!)
    const { kept, runId } = await findResponse(app, request.params.id, access)
    noteRun(request, reply, runId)
    const run = await app.runs.resume(access, runId, 0)
    const head = headOf(run, kept)
    return stream
      ? reply.streamRun({ ...run, asResponse: { head, startingAfter } }, { format: 'responses', known: KNOWN })
      : describeResponse(app.events, run, head)
  })

  await app.register(management)
}

/** What may be done with a response that there is. */
const management: FastifyPluginAsyncTypebox = async app => {
  app.post('/v1/responses/:id/cancel', {
    config: { execution: true },
    onRequest: app.requireUser,
    schema: { params, response: { 200: Response, ...errorAnswers } }
  }, async (request, reply) => {
    const { kept, runId } = await findResponse(app, request.params.id, request.caller!)
    noteRun(request, reply, runId)
    const run = await app.runs.cancel(request.caller!, runId)
    return describeResponse(app.events, run, headOf(run, kept))
  })

  app.delete('/v1/responses/:id', {
    config: { execution: true },
    onRequest: app.requireUser,
    schema: { params, response: { 200: DeletedResponse, ...errorAnswers } }
  }, async (request, reply) => {
    const caller = request.caller!
    const { runId } = await findResponse(app, request.params.id, caller)
    noteRun(request, reply, runId)
    await app.runs.cancel(caller, runId)
    await app.database.call('delete_response', { p_run_id: runId, ...accessArguments(caller) })
    app.events.evict(runId)
    return { id: responseIdOf(runId), object: 'response' as const, deleted: true as const }
  })

  app.get('/v1/responses/:id/input_items', {
    onRequest: [app.requireUser, app.countConnection],
    schema: { params, querystring: InputItemsQuery, response: { 200: ResponseItems, ...errorAnswers } }
  }, async (request, reply) => {
    await holdInput(request, reply)
    const { kept, runId } = await findResponse(app, request.params.id, readAccessOf(request.caller!), true)
    return pageOf(toToldItems(runId, kept.input ?? []), request.query)
  })
}

function noteRun (request: FastifyRequest, reply: FastifyReply, runId: string): void {
  request.logFields = { runId }
  reply.header('x-run-id', runId)
}

export default responses
