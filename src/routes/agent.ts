import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerOf } from '#shared/final-event.ts'
import { type KnownEvents, readKnownEvents } from '#shared/reader/known-events.ts'
import { errorAnswers, ExecuteAnswer, ExecuteBody, ExecuteHeaders, ExecuteValidatedBody, KnownEventsText, Run, ValidatedHeaders } from '#shared/schemas.ts'
import { RunStream } from '../contract/streams.js'
import { consumeBody } from '../http/body-memory.js'

const response = {
  200: {
    content: {
      'application/json': { schema: ExecuteAnswer },
      'text/event-stream': { schema: RunStream }
    }
  },
  202: Run,
  ...errorAnswers
}
const StreamQuery = Type.Object({ events: KnownEventsText })
const config = { execution: true }

/** Executes agents: begins a run and watches it. Watching may end before the run does. */
const agent: FastifyPluginAsyncTypebox = async app => {
  app.post('/api/agent/execute', {
    config,
    onRequest: [app.requireUser, app.countConnection],
    schema: { headers: ExecuteHeaders, querystring: StreamQuery, body: ExecuteBody, response }
  }, async (request, reply) => {
    const { agentId, messages, response_format: responseFormat, stream, background } = request.body
    const known = readKnownEvents(request.headers['x-stream-events'] ?? request.query.events)
    const { userId, apiKeyId, visitor } = request.caller!
    const run = await consumeBody(request, () => app.runs.begin({
      kind: 'execute', userId, apiKeyId, visitor, agentId, messages, responseFormat, idempotencyKey: request.headers['idempotency-key'], trace: request.trace
    }))
    if (background) return inBackground(request, reply, run)
    return watch(request, reply, run, known, stream)
  })

  app.post('/api/agent/execute-validated', {
    // All users of the platform call through the edge function: one rate limit would be shared by them.
    config: { ...config, rateLimit: false },
    onRequest: app.requireBackendSecret,
    preHandler: async (request, reply) => app.countConnectionOf(request.body.userId, reply),
    schema: { headers: ValidatedHeaders, querystring: StreamQuery, body: ExecuteValidatedBody, response }
  }, async (request, reply) => {
    const { userId, agentId, agentConfig, messages, functionResults, response_format: responseFormat, stream } = request.body
    const known = readKnownEvents(request.headers['x-stream-events'] ?? request.query.events)
    const run = await consumeBody(request, () => app.runs.begin({
      kind: 'edge',
      userId,
      agentId,
      messages,
      functionResults,
      responseFormat,
      agent: {
        name: agentConfig.name,
        systemPrompt: agentConfig.system_prompt,
        model: agentConfig.ai_model,
        temperature: agentConfig.temperature,
        maxTokens: agentConfig.max_tokens,
        knowledgeBase: agentConfig.knowledge_base
      },
      idempotencyKey: request.headers['idempotency-key'],
      runId: request.headers['x-run-id'],
      trace: request.trace
    }))
    return watch(request, reply, run, known, stream)
  })

  async function watch (request: FastifyRequest, reply: FastifyReply, run: Run, known: KnownEvents, stream = true) {
    const { runId } = run
    noteRun(request, reply, run)
    if (!stream) return answerOf(await app.runs.finalEvent(runId))
    // A plain reader takes every 2xx for an answer; others can resume from their head on, and read errors in the stream.
    if (known.size === 0) await reply.waitForOutput(runId)
    return reply.streamRun(run, { known })
  }
}

/** Answers with the run at once; the client asks for its progress at `/api/runs/:id`. */
function inBackground (request: FastifyRequest, reply: FastifyReply, run: Run) {
  noteRun(request, reply, run)
  return reply.code(202).header('location', `/api/runs/${run.runId}`).send(run as never)
}

function noteRun (request: FastifyRequest, reply: FastifyReply, { runId, agentId }: Run): void {
  request.logFields = { runId, agentId }
  reply.header('x-run-id', runId)
}

export default agent
