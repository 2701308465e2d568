/** The name of the BullMQ queue. */
export const QUEUE_NAME = 'runs'

/** The data of a job. Its id is the run's id, its priority the run's round; who owns the run, the database knows. */
export interface RunJob {
  userId: string
  /** When the job was added, in milliseconds since 1970 with fractions. */
  at: number
  /** The Redis process that accepted the job, by its `run_id`. */
  server: string
  /** Whether the run was queued before and Redis has lost its job. */
  isAgain?: boolean
}

/** A run in the queue. */
export interface QueuedRun { runId: string, userId: string }
