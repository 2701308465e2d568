import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import { errors } from '#shared/errors.ts'
import { readAccessOf } from '#shared/http/caller.ts'
import { errorAnswers, IdempotencyHeaders, Run } from '#shared/schemas.ts'
import { UiStream } from '../../contract/streams.js'
import { toMessages, type UiProtocol } from '../../contract/ui-messages.js'
import { UiChatBody } from '../../contract/ui-schemas.js'
import { consumeBody } from '../../http/body-memory.js'
import { UI_HEADERS, UI_NOTHING } from '../../http/sse/ui-format.js'

const stream = { content: { 'text/event-stream': { schema: UiStream } } }
/** The page's id of a chat, or the id of a run. */
const ChatParams = Type.Object({ id: Type.String() })

/** Chats of the AI SDK: its UI message stream. */
const chat: FastifyPluginAsyncTypebox = async app => {
  app.post('/api/chat', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: { headers: IdempotencyHeaders, body: UiChatBody, response: { 200: stream, ...errorAnswers } }
  }, async (request, reply) => {
    const { id: chatId, agentId, messages, ui = 5 } = request.body
    const protocol = String(ui) as UiProtocol
    const { userId, apiKeyId, visitor } = request.caller!
    const run = await consumeBody(request, async () => app.runs.begin({
      kind: 'ai_sdk', userId, apiKeyId, visitor, agentId, messages: toMessages(messages), idempotencyKey: request.headers['idempotency-key'], trace: request.trace
    }))
    request.logFields = { runId: run.runId, agentId }
    await app.chats.note(request.caller!, run.runId, chatId ?? run.runId, protocol)
    return follow(reply, run, protocol)
  })

  app.get('/api/chat/:id/stream', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: {
      params: ChatParams,
      querystring: Type.Object({ startIndex: Type.Optional(Type.Integer()) }),
      response: { 200: stream, 204: Type.Null(), ...errorAnswers }
    }
  }, async (request, reply) => {
    const { startIndex } = request.query
    const access = readAccessOf(request.caller!)
    const found = await app.chats.find(access, request.params.id)
    request.logFields = { runId: found?.run.runId, startIndex }
    if (startIndex === undefined && !(found && app.chats.isOpen(found))) return reply.code(204).send(null)
    if (!found) {
      // A page that has nothing of a run asks whether there is one; with a number it cannot be answered by 204.
      if (startIndex! <= 0) return reply.headers(UI_HEADERS).send(UI_NOTHING)
      throw errors.notFound()
    }
    const run = await app.runs.resume(access, found.run.runId, 0)
    // The last chunks alone would be half a message: a page that asks for them is told all, from the first on.
    if (startIndex! < 0) reply.header('x-workflow-stream-tail-index', '-1')
    return follow(reply, run, found.protocol, Math.max(0, startIndex ?? 0))
  })

  app.post('/api/chat/:id/stop', {
    config: { execution: true },
    onRequest: app.requireUser,
    schema: { params: ChatParams, response: { 200: Run, 204: Type.Null(), ...errorAnswers } }
  }, async (request, reply) => {
    const stopped = await app.chats.stop(request.caller!, request.params.id)
    request.logFields = { runId: stopped?.runId }
    return stopped ?? reply.code(204).send(null)
  })

  /** @param startIndex how many chunks of the run the page has. */
  function follow (reply: FastifyReply, run: Run, protocol: UiProtocol, startIndex = 0): FastifyReply {
    // The connection may break before that: then the page has only a part.
    if (reply.request.method !== 'HEAD') reply.raw.once('finish', () => { if (app.events.hasEnded(run.runId)) app.chats.noteTold(run.runId) })
    return reply.header('x-workflow-run-id', run.runId).streamRun({ ...run, ui: { protocol, startIndex } }, { format: 'uiMessages' })
  }
}

export default chat
