import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { errorAnswers, Run, RunStatus, Uuid } from '../schemas.js'

const RunParams = Type.Object({ id: Uuid })

const RunQuery = Type.Object({
  status: Type.Optional(RunStatus),
  agentId: Type.Optional(Uuid),
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
  cursor: Type.Optional(Type.String({ maxLength: 200 }))
})

const RunList = Type.Object({ runs: Type.Array(Run), nextCursor: Type.Union([Type.String(), Type.Null()]) })

/** A user's own runs. */
const runs: FastifyPluginAsyncTypebox = async app => {
  app.addHook('onRequest', app.requireUser)

  app.get('/api/runs', {
    schema: { querystring: RunQuery, response: { 200: RunList, ...errorAnswers } }
  }, async request => app.runs.list({ ...request.query, userId: request.caller!.userId }))

  app.get('/api/runs/:id', {
    schema: { params: RunParams, response: { 200: Run, ...errorAnswers } }
  }, async request => app.runs.get(request.caller!.userId, request.params.id))
}

export default runs
