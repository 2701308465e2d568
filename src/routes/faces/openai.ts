import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { errors } from '#shared/errors.ts'
import { answerOf } from '#shared/final-event.ts'
import type { Run } from '#shared/schemas.ts'
import { UUID } from '#shared/uuid.ts'
import { toChatCompletion } from '../../contract/openai-chat.js'
import { ChatBody, ChatCompletion, OpenAIError, OpenAIModel, OpenAIModels, RepeatableHeaders } from '../../contract/openai-schemas.js'
import { ChatStream } from '../../contract/streams.js'
import { consumeBody } from '../../http/body-memory.js'
import { listModels } from '../../http/models.js'

const errorAnswers = { '4xx': OpenAIError, '5xx': OpenAIError }

/** Chat completions and models, as OpenAI's API has them: agents are the models. */
const openai: FastifyPluginAsyncTypebox = async app => {
  app.addHook('onRequest', async (request, reply) => { reply.header('x-request-id', request.id) })

  app.post('/v1/chat/completions', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: {
      headers: RepeatableHeaders,
      body: ChatBody,
      response: {
        200: { content: { 'application/json': { schema: ChatCompletion }, 'text/event-stream': { schema: ChatStream } } },
        ...errorAnswers
      }
    }
  }, async (request, reply) => {
    const { model, messages, stream, stream_options: options, response_format: responseFormat } = request.body
    if (!UUID.test(model)) throw errors.modelNotFound(model)
    const { userId, apiKeyId, visitor } = request.caller!
    const asked = { kind: 'chat_completions' as const, userId, apiKeyId, visitor, agentId: model, messages, responseFormat: responseFormat ?? undefined, trace: request.trace }
    const run = await consumeBody(request, () => app.runs.beginOrRepeat(asked, request.headers, reply.elapsedTime))
    const { runId, agentId } = run
    request.logFields = { runId, agentId }
    reply.header('x-run-id', runId)
    if (!stream) return complete(app, run)
    await reply.waitForOutput(runId)
    return reply.streamRun(run, { format: options?.include_usage ? 'chatWithUsage' : 'chat', known: KNOWN })
  })

  app.get('/v1/models', {
    onRequest: app.requireUser,
    schema: { response: { 200: OpenAIModels, ...errorAnswers } }
  }, async request => ({ object: 'list' as const, data: (await listModels(request)).map(toModel) }))

  app.get('/v1/models/:id', {
    onRequest: app.requireUser,
    schema: { params: Type.Object({ id: Type.String() }), response: { 200: OpenAIModel, ...errorAnswers } }
  }, async request => {
    const { id } = request.params
    const [model] = UUID.test(id) ? await listModels(request, id) : []
    if (!model) throw errors.modelNotFound(id)
    return toModel(model)
  })
}

function toModel ({ id, name, createdAt }: { id: string, name: string, createdAt: string }) {
  return { id, object: 'model' as const, created: Math.floor(Date.parse(createdAt) / 1000), owned_by: 'jeesi', name }
}

/** Clients are told reasoning, and of the other kinds of progress nothing. */
const KNOWN = new Set(['progress'] as const)

async function complete (app: FastifyInstance, run: Run) {
  const answer = answerOf(await app.runs.finalEvent(run.runId))
  return toChatCompletion(run, answer, reasoningIn(app, run.runId))
}

/** What the model thought, as far as this process has it. */
function reasoningIn ({ events }: FastifyInstance, runId: string): string {
  const told: Array<{ seq: number, content: string }> = []
  for (const { seq, event } of events.entries(runId)) {
    if (event.type === 'reasoning') told.push({ seq, content: event.content })
    if (event.type === 'rewind') while (told.length > 0 && told.at(-1)!.seq > event.to) told.pop()
  }
  return told.map(({ content }) => content).join('')
}

export default openai
