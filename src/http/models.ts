import type { FastifyRequest } from 'fastify'

/** How many agents are listed at the most. */
const MAX_MODELS = 1_000

/** The agents that a caller may choose from, newest first; or the one that is named, if the caller may run it. Throws `unauthorized`. */
export async function listModels ({ server, caller }: FastifyRequest, agentId?: string) {
  const { models } = await server.database.call('list_models', {
    p_user_id: caller!.userId, p_api_key_id: caller!.apiKeyId, p_limit: MAX_MODELS, ...(agentId ? { p_agent_id: agentId } : {})
  })
  return models
}
