import type { Agent } from './agent.ts'
import type { FunctionResult, Message, ResponseFormat } from './schemas.ts'

/** The parts of a request that make it the same request when its Idempotency-Key is used again. */
export interface ComparedRequest {
  agentId: string
  messages: Message[]
  functionResults?: FunctionResult[]
  /** The configuration that came with the request, not the stored one. */
  agent?: Agent
  responseFormat?: ResponseFormat
}

/**
 * The text whose SHA-256 is stored with a run as its request hash. A key that the edge function used is recognized by the
 * service and the other way round, so both must hash the same text. Changing it makes every stored key a reused one.
 */
export function requestText ({ agentId, messages, functionResults, agent, responseFormat }: ComparedRequest): string {
  return JSON.stringify([agentId, messages, functionResults, agent, ...(responseFormat ? [responseFormat] : [])])
}
