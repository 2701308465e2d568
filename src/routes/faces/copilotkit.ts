import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { SSE_HEADERS } from '#shared/http/sse.ts'
import { refuse } from '#shared/http/refuse.ts'
import { errorAnswers, Uuid } from '#shared/schemas.ts'
import { RunAgentBody, RuntimeInfo, Stopped, ThreadId } from '../../contract/ag-ui/schemas.js'
import { AgUiStream } from '../../contract/streams.js'
import { beginThreadRun, findThreadRun, STREAM, stopThread } from '../../http/ag-ui/threads.js'
import { consumeBody } from '../../http/body-memory.js'
import { listModels } from '../../http/models.js'

const stream = { content: { 'text/event-stream': { schema: AgUiStream } } }
const AgentParams = Type.Object({ agentId: Uuid })
/** The release of CopilotKit's runtime whose routes these are. */
const RUNTIME_VERSION = '1.75.0'
const NONE = { list: false, inspect: false, mutations: false, realtimeMetadata: false } as const
const FEATURES = {
  mode: 'sse', audioFileTranscriptionEnabled: false, threadEndpoints: NONE, suggestions: false, a2uiEnabled: false, openGenerativeUIEnabled: false, telemetryDisabled: true
} as const

/** What pages of CopilotKit ask of their runtime. */
const copilotkit: FastifyPluginAsyncTypebox = async app => {
  app.get('/copilotkit/info', {
    onRequest: app.requireUser,
    schema: { response: { 200: RuntimeInfo, ...errorAnswers } }
  }, async request => {
    const models = await listModels(request)
    const agents = Object.fromEntries(models.map(({ id, name }) => [id, { name: id, description: name, className: 'JeesiAgent' }]))
    return { version: RUNTIME_VERSION, agents, ...FEATURES }
  })

  app.post('/copilotkit/agent/:agentId/run', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: { params: AgentParams, body: RunAgentBody, response: { 200: stream, ...errorAnswers } }
  }, async (request, reply) => {
    const { agentId } = request.params
    const { run, reader } = await consumeBody(request, () => beginThreadRun(request, agentId, request.body, true))
    request.logFields = { runId: run.runId, agentId }
    return reply.streamRun({ ...run, agUi: reader }, STREAM)
  })

  app.post('/copilotkit/agent/:agentId/connect', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: { params: AgentParams, body: RunAgentBody, response: { 200: stream, ...errorAnswers } }
  }, async (request, reply) => {
    const { agentId } = request.params
    const found = await consumeBody(request, () => findThreadRun(request, reply, agentId, request.body))
    request.logFields = { runId: found?.run.runId, agentId }
    // A thread of which nothing is known is an empty stream.
    return found ? reply.streamRun({ ...found.run, agUi: found.reader }, { ...STREAM, opened: () => found.hold?.release() }) : reply.headers(SSE_HEADERS).send('')
  })

  app.post('/copilotkit/agent/:agentId/stop/:threadId', {
    config: { execution: true },
    onRequest: app.requireUser,
    schema: { params: Type.Object({ agentId: Uuid, threadId: ThreadId }), response: { 200: Stopped, ...errorAnswers } }
  }, async request => {
    const { agentId, threadId } = request.params
    const { run, ...stopped } = await stopThread(request, agentId, threadId, readRunId(request.body))
    request.logFields = { runId: run?.runId, agentId }
    return stopped
  })
}

/** The run that a page names; it may send no body at all, and name the body's type all the same. */
function readRunId (body: unknown): string | undefined {
  if (body === undefined || body === null) return undefined
  const { runId } = body as { runId?: unknown }
  if (runId === undefined || typeof runId === 'string') return runId
  return refuse('runId', 'must be a text')
}

export default copilotkit
