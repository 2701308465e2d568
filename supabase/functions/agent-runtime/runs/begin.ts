import type { BeginRun, Begun, FirstOwner } from '../../_shared/database/functions.ts'
import { repeatLost } from '../../_shared/database/repeat.ts'
import { accessArguments, type RunAccess } from '../../_shared/http/caller.ts'
import { toKnownMessages } from '../../_shared/messages.ts'
import { requestText } from '../../_shared/request-text.ts'
import type { ExecuteBody } from '../../_shared/schemas.ts'
import { estimatePrompt } from '../../_shared/usage.ts'
import type { RequestContext } from '../context.ts'
import { sha256 } from '../sha256.ts'
import { LEASE_SECONDS } from './leases.ts'

/** Begins a run and reserves its credits, or joins the run that the Idempotency-Key has begun, here or at the service. */
export async function begin (
  { config, database, fields, leases, trace }: RequestContext, caller: RunAccess, body: ExecuteBody, key: string | null, owner: Omit<FirstOwner, 'p_lease_seconds'>
): Promise<Begun> {
  const { agentId, messages: sent } = body
  const messages = toKnownMessages(sent)
  const runId = crypto.randomUUID()
  const args: BeginRun = {
    ...accessArguments(caller),
    p_agent_id: agentId,
    p_request_hash: await hashRequest(body),
    p_input: { messages, responseFormat: body.response_format, kind: 'edge', traceContext: trace?.context },
    p_lease_seconds: LEASE_SECONDS,
    p_idempotency_key: key,
    p_agent: null,
    p_models: [config.model],
    p_run_id: runId,
    p_prompt_tokens: estimatePrompt(messages),
    ...owner
  }
  leases.expected.add(runId)
  try {
    const begun = await repeatLost(() => database.call('begin_run', args))
    fields.runId = begun.run.runId
    if (!begun.joined) trace?.onBegun?.(begun.run.runId)
    return begun
  } finally {
    leases.expected.delete(runId)
  }
}

/** The hash by which an Idempotency-Key recognizes a repeated request, here and in the service. */
export function hashRequest ({ agentId, messages, response_format: responseFormat }: ExecuteBody): Promise<string> {
  return sha256(requestText({ agentId, messages, responseFormat }))
}
