/** A function of an agent: a row of `agent_functions`. */
export interface AgentFunction {
  name: string
  description?: string | null
  /** A `FunctionType`; rows may hold any other text, and such a function fails. */
  type: string
  triggerKeywords: string[]
  config: Record<string, unknown>
}

/** The configuration of an agent that a run needs. */
export interface Agent {
  name?: string | null
  systemPrompt?: string | null
  model?: string | null
  temperature?: number | null
  maxTokens?: number | null
  knowledgeBase?: unknown
  /** `model`, the default, or `python`: the agent is the function at `entrypoint` and calls no model by itself. */
  executor?: string | null
  /** `package.module:function`. */
  entrypoint?: string | null
  /** The highest number of model calls in one run. */
  maxSteps?: number | null
  functions?: AgentFunction[]
}

/** An earlier answer of the same agent to the same question. */
export interface CachedAnswer { response: string, finishReason: string | null, model: string | null }
