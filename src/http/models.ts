import type { FastifyInstance } from 'fastify'
import type { Caller } from '#shared/http/caller.ts'
import type { Model } from '../contract/openai-schemas.js'

const MAX_MODELS = 1_000

/**
 * The agents that a caller may execute, as OpenAI's API lists models: at most 1,000.
 * @param agentId only this one, if it is among them.
 * @throws {ServiceError} database_unavailable
 */
export async function listModels (app: FastifyInstance, { userId, apiKeyId }: Caller, agentId?: string): Promise<Model[]> {
  const { models } = await app.database.call('list_models', {
    p_user_id: userId, p_api_key_id: apiKeyId, p_limit: MAX_MODELS, ...(agentId ? { p_agent_id: agentId } : {})
  })
  return models.map(({ id, name, createdAt }) => ({
    id, object: 'model' as const, created: Math.floor(Date.parse(createdAt) / 1000), owned_by: 'jeesi', name
  }))
}
