/** The SQL functions about who may use the service. */
export interface AccessFunctions {
  /** Which of these callers have ended: their user is gone, their key is off, or their session is over. Positions from 0 on. */
  find_ended_callers: { args: { p_callers: CallerRow[] }, result: number[] }
  /** The agents that a caller may choose from, newest first; or the one that is named, if the caller may run it. Raises `unauthorized`. */
  list_models: { args: { p_user_id: string, p_api_key_id: string | null, p_limit: number, p_agent_id?: string }, result: { models: Model[] } }
}

/** An agent as a model of OpenAI's API. */
export interface Model {
  id: string
  name: string
  /** ISO 8601. */
  createdAt: string
}

export interface CallerRow {
  userId: string
  apiKeyId?: string
  sessionId?: string
}
