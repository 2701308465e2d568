import type { Begun, FirstOwner } from '../../_shared/database/functions.ts'
import { toKnownMessages } from '../../_shared/messages.ts'
import { requestText } from '../../_shared/request-text.ts'
import type { ExecuteBody } from '../../_shared/schemas.ts'
import type { RequestContext } from '../context.ts'
import { sha256 } from '../sha256.ts'
import { LEASE_SECONDS } from './leases.ts'

/** Begins a run and reserves one credit, or joins the run that the Idempotency-Key has begun, here or at the service. */
export async function begin (
  { config, database, fields }: RequestContext, userId: string, body: ExecuteBody, key: string | null, owner: Omit<FirstOwner, 'p_lease_seconds'>
): Promise<Begun> {
  const { agentId, messages } = body
  const begun = await database.call('begin_run', {
    p_user_id: userId,
    p_agent_id: agentId,
    p_request_hash: await hashRequest(body),
    p_input: { messages: toKnownMessages(messages), responseFormat: body.response_format },
    p_lease_seconds: LEASE_SECONDS,
    p_idempotency_key: key,
    p_agent: null,
    p_models: [config.model],
    ...owner
  })
  fields.runId = begun.run.runId
  return begun
}

/** The hash by which an Idempotency-Key recognizes a repeated request, here and in the service. */
export function hashRequest ({ agentId, messages, response_format: responseFormat }: ExecuteBody): Promise<string> {
  return sha256(requestText({ agentId, messages, responseFormat }))
}
