/** The types of functions that the service runs; it ignores functions of any other type. */
export type FunctionType = 'api_call' | 'conditional' | 'data_transform' | 'webhook' | 'python' | 'mcp'

/** A function of an agent: a row of `agent_functions`. */
export interface AgentFunction {
  name: string
  description?: string | null
  /** A `FunctionType`; rows may hold any other text. */
  type: string
  triggerKeywords: string[]
  config: Record<string, unknown>
}

/** What running an agent needs of it. */
export interface Agent {
  name?: string | null
  systemPrompt?: string | null
  model?: string | null
  temperature?: number | null
  maxTokens?: number | null
  knowledgeBase?: unknown
  /** `python`: the agent is code, at `entrypoint`, and no model is asked. */
  executor?: string | null
  /** `package.module:function`. */
  entrypoint?: string | null
  /** How many times its model may be asked at the most. */
  maxSteps?: number | null
  functions?: AgentFunction[]
}

/** An answer that this agent gave to the same question before. */
export interface CachedAnswer { response: string, finishReason: string | null, model: string | null }
