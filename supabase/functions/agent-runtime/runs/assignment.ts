import type { Agent, CachedAnswer } from '../../_shared/agent.ts'
import type { Rates } from '../../_shared/price.ts'
import type { Message, ResponseFormat, Run } from '../../_shared/schemas.ts'
import type { TraceContext } from '../../_shared/traces/trace-context.ts'
import type { Tracer } from '../../_shared/traces/tracer.ts'
import type { WebhookOptions } from '../functions/send-webhooks.ts'
import type { Gateway } from '../gateway/gateway.ts'

/** Everything that a run in this isolate needs. */
export interface Assignment {
  run: Run
  agent: Agent
  messages: Message[]
  responseFormat?: ResponseFormat
  rates?: Rates
  cached?: CachedAnswer | null
  gateway: Gateway
  defaultModel: string
  /** When the request that began the run has to end, in milliseconds since 1970. */
  deadline: number
  /** How long a run may last, in milliseconds. */
  maxRunMs: number
  /** Whether there is a service that would take the run over. */
  hasBackend: boolean
  webhooks: WebhookOptions
  tracer?: Tracer
  /** As it was stored with the run. */
  traceContext?: TraceContext
}
