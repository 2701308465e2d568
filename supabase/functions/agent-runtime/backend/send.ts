import type { FoundAgent } from '../../_shared/database/functions.ts'
import { EVENTS_HEADER } from '../../_shared/reader/known-events.ts'
import type { ExecuteBody, Run } from '../../_shared/schemas.ts'
import { type TraceContext, traceHeaders } from '../../_shared/traces/trace-context.ts'

/** A run that this function has begun for a backend to adopt. */
export interface ForwardedRun {
  userId: string
  agent: FoundAgent
  run: Run
  /** The run was begun by an earlier request. That request ends it if the backend cannot be reached. */
  joined: boolean
  backend: string
  secret: string
  body: ExecuteBody
  /** The trace of the request. */
  trace?: TraceContext
}

const RETRY_PAUSE_MS = 250

/**
 * Sends a run to its backend. A connection that breaks before there is an answer is tried once more: the run is adopted
 * once, and joined the second time.
 */
export async function send (forwarded: ForwardedRun, signal: AbortSignal): Promise<Response> {
  try {
    return await post(forwarded, signal)
  } catch (error) {
    if (signal.aborted) throw error
    await new Promise(resolve => setTimeout(resolve, RETRY_PAUSE_MS))
    return post(forwarded, signal)
  }
}

function post ({ userId, agent, run, backend, secret, body, trace }: ForwardedRun, signal: AbortSignal): Promise<Response> {
  return fetch(`${backend}/api/agent/execute-validated`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-railway-secret': secret,
      'x-run-id': run.runId,
      // Callers that know less are told less by this function, which resumes behind them.
      [EVENTS_HEADER]: '*',
      // For backends that do not know x-run-id: they do not run a repeated request twice.
      'idempotency-key': run.runId,
      ...traceHeaders(trace)
    },
    body: JSON.stringify({
      userId,
      agentId: agent.agentId,
      agentConfig: {
        name: agent.name,
        system_prompt: agent.systemPrompt,
        ai_model: agent.model,
        temperature: agent.temperature,
        max_tokens: agent.maxTokens,
        knowledge_base: agent.knowledgeBase
      },
      messages: body.messages,
      response_format: body.response_format,
      stream: body.stream ?? true
    }),
    // The secret must not be sent to another address.
    redirect: 'manual',
    signal
  })
}
