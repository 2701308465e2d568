/** The SQL functions about who may use the service. */
export interface AccessFunctions {
  /** Which of these callers have ended: their user is gone, their key is off, or their session is over. Positions from 0 on. */
  find_ended_callers: { args: { p_callers: CallerRow[] }, result: number[] }
}

export interface CallerRow {
  userId: string
  apiKeyId?: string
  sessionId?: string
}
