import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { errorAnswers, Uuid } from '#shared/schemas.ts'
import { RunAgentBody } from '../../contract/ag-ui/schemas.js'
import { AgUiStream } from '../../contract/streams.js'
import { beginThreadRun, STREAM } from '../../http/ag-ui/threads.js'
import { consumeBody } from '../../http/body-memory.js'

const stream = { content: { 'text/event-stream': { schema: AgUiStream } } }

/** Agents as those of AG-UI. */
const agUi: FastifyPluginAsyncTypebox = async app => {
  app.post('/ag-ui/:agentId', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: { params: Type.Object({ agentId: Uuid }), body: RunAgentBody, response: { 200: stream, ...errorAnswers } }
  }, async (request, reply) => {
    const { agentId } = request.params
    const { run, reader } = await consumeBody(request, () => beginThreadRun(request, agentId, request.body, false))
    request.logFields = { runId: run.runId, agentId }
    return reply.streamRun({ ...run, agUi: reader }, STREAM)
  })
}

export default agUi
