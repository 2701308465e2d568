import type { Caller } from '#shared/http/caller.ts'

/** The SQL functions about who may use the service. */
export interface AccessFunctions {
  /** Which of these callers have ended: their user is gone, their key is off, or their session is over. Positions from 0 on. */
  find_ended_callers: { args: { p_callers: CallerRow[] }, result: number[] }
  /** Stores a ticket by its hash. Raises `too_many_tickets`. */
  create_ticket: { args: { p_hash: string, p_caller: TicketCaller, p_seconds: number, p_run_id?: string | null }, result: { expiresAt: string } }
  /** Uses a ticket. Null if it may not be used. */
  use_ticket: { args: { p_hash: string, p_run_id: string | null, p_is_again: boolean }, result: TicketCaller | null }
  /** The agents that a caller may choose from, newest first; or the one that is named, if the caller may run it. Raises `unauthorized`. */
  list_models: { args: { p_user_id: string, p_api_key_id: string | null, p_limit: number, p_agent_id?: string }, result: { models: Model[] } }
}

/** A caller as a ticket keeps it: it does not end with the token that the ticket was made with, but with its key, session or user. */
export type TicketCaller = Omit<Caller, 'expiresAt'>

/** An agent as a model of OpenAI's API, or a tool of MCP. */
export interface Model {
  id: string
  name: string
  /** What its owner says of it, cut at 500 characters; null if nothing. */
  description: string | null
  /** ISO 8601. */
  createdAt: string
}

export interface CallerRow {
  userId: string
  apiKeyId?: string
  sessionId?: string
}
