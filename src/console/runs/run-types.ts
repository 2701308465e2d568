export interface Usage { promptTokens: number, completionTokens: number, totalTokens: number, estimated: boolean }

/** A run as the service answers with it. */
export interface RunRow {
  runId: string
  agentId: string
  userId?: string
  status: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  attempt: number
  response: string
  finishReason: string | null
  usage: Usage | null
  creditsReserved: number
  creditsCharged: number
  error: { code: string, message: string } | null
  cached?: boolean
  createdAt: string
  startedAt: string | null
  finishedAt: string | null
  /** Admins read it: why it failed, in the words of what failed. */
  reason?: string | null
}

export interface Step { step: number, attempt: number, kind: 'model' | 'tool', name: string | null, finishReason: string | null, usage: Usage | null, startedAt: string | null, finishedAt: string }
export interface GatewayFailure { attempt: number, at: string, code: string, status?: number, reason?: string, cause?: string, model: string }

/** A run as admins see it. */
export interface InspectedRun extends RunRow { userId: string, model: string | null, crashes: number, failures: GatewayFailure[], steps: Step[] }

export interface RunPage { runs: RunRow[], nextCursor: string | null }

/** Milliseconds from the start, or the request, to the end or now. */
export function durationOf ({ createdAt, startedAt, finishedAt }: RunRow, now = Date.now()): number {
  return (finishedAt ? Date.parse(finishedAt) : now) - Date.parse(startedAt ?? createdAt)
}
