import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { errorAnswers, Uuid } from '#shared/schemas.ts'
import { ApiKey, CreatedApiKey, KeyBody, Visitor } from '../contract/api-keys.js'

const KeyParams = Type.Object({ id: Uuid })
const KeyList = Type.Object({ keys: Type.Array(ApiKey) })

/** A user's API keys, and the visitors of publishable ones. */
const keys: FastifyPluginAsyncTypebox = async app => {
  app.get('/api/keys', {
    onRequest: app.requireSession,
    schema: { response: { 200: KeyList, ...errorAnswers } }
  }, async request => app.apiKeys.list(request.caller!.userId))

  app.post('/api/keys', {
    onRequest: app.requireSession,
    schema: { body: KeyBody, response: { 201: CreatedApiKey, ...errorAnswers } }
  }, async (request, reply) => {
    const { userId } = request.caller!
    const created = await app.apiKeys.create(userId, request.body)
    request.log.info({ userId, apiKeyId: created.id, publishable: created.publishable }, 'an API key was made')
    // The answer alone has the key: nothing on the way keeps it.
    return reply.code(201).header('cache-control', 'no-store').send(created)
  })

  app.delete('/api/keys/:id', {
    onRequest: app.requireSession,
    schema: { params: KeyParams, response: { 200: ApiKey, ...errorAnswers } }
  }, async request => {
    const { userId } = request.caller!
    const revoked = await app.apiKeys.revoke(userId, request.params.id)
    request.log.info({ userId, apiKeyId: revoked.id }, 'an API key was revoked')
    return revoked
  })

  app.post('/api/visitors', {
    onRequest: app.requireUser,
    schema: { response: { 201: Visitor, ...errorAnswers } }
  }, async (request, reply) => {
    const visitor = await app.apiKeys.visitorToken(request.caller!)
    return reply.code(201).header('cache-control', 'no-store').send(visitor)
  })
}

export default keys
