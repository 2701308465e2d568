/** The SQL functions for schedules, their firings, and the delivery of their results. All times are ISO, in UTC, by the database's clock. */
export interface ScheduleFunctions {
  /** The schedules that are due next, within some seconds or (null) at any time, and those without a planned time. */
  list_schedules: { args: { p_within_seconds: number | null, p_limit: number }, result: ListedSchedules }
  /** Those of the schedules that are switched on, as many as one call returns; `left` are the ids that it did not come to. */
  get_schedules: { args: { p_ids: string[] }, result: { now: string, schedules: Schedule[], left: string[] } }
  /** Stores when a schedule is due next, unless it was edited meanwhile. */
  plan_schedule: {
    args: { p_schedule_id: string, p_cron: string | null, p_timezone: string | null, p_next: string }
    result: { planned: boolean }
  }
  /** Stops a faulty schedule and shows its user the reason. `told` is false if the schedule was edited meanwhile. */
  fault_schedule: { args: { p_schedule_id: string, p_since: string, p_error: string }, result: { told: boolean } }
  /** Fires a schedule that is due at `p_due`, for the time `p_for`. Null: another process has fired it, or it was edited. */
  fire_schedule: { args: FireSchedule, result: Firing | null }
  /** Claims firings whose run has not begun, and whose lease has ended. */
  claim_firings: { args: { p_lease_seconds: number, p_limit: number }, result: Firing[] }
  postpone_firing: { args: { p_id: string, p_seconds: number }, result: { postponed: boolean } }
  /** `p_refused`: the schedule is to blame, and rests if that was so several times in a row. */
  fail_firing: { args: { p_id: string, p_error: string, p_refused?: boolean }, result: { failed: boolean } }
  /** Claims results that are to be delivered now, at most `p_per_user` of a user with those that are being sent, by user id. */
  claim_deliveries: {
    args: { p_lease_seconds: number, p_limit: number, p_sending?: Record<string, number>, p_per_user?: number }
    result: ClaimedDelivery[]
  }
  /** Stores the outcome of a try, unless a later one has begun. `p_seconds` is the pause before the next. */
  record_delivery: { args: RecordDelivery, result: { recorded: boolean } }
}

/** When a schedule is due, as its user wrote it: neither part has to be valid. */
export interface Timing { id: string, cron: string | null, timezone: string | null }

/** Where the results of a schedule are sent, as its user wrote it. */
export interface OutputPlace {
  /** store, webhook or api_call; null is store. */
  action: string | null
  /**
   * `output_config`: {url, method, headers} of both, {extra_data} of a webhook, {title_template, publish_status, extra_fields}
   * of an api_call, as the platform's page writes them; and with the names that agents' functions use {headers_json,
   * body_template} of an api_call, {webhook_url, payload_template, secret} of a webhook.
   */
  config: unknown
}

/** A schedule as its user wrote it: none of its parts has to be valid. */
export interface Schedule extends Timing, OutputPlace {
  userId: string | null
  agentId: string | null
  prompt: string | null
  /** The config is larger than the service accepts, and null here. */
  isTooLarge: boolean
  /** When the schedule is due next, whoever has said so. Null: it is not planned yet, or is faulty. */
  nextRunAt: string | null
  /** Since when the schedule waits to be planned. */
  unplannedSince: string | null
}

export interface ListedSchedules {
  now: string
  /** `turn`: the how manieth of its user's it is. */
  timed: Array<Timing & { nextRunAt: string, turn: number }>
  unplanned: string[]
  /** Whether any schedule is on and has, or is going to have, a next time. */
  isScheduled: boolean
  /** When the first firing without a run is to begin, or the first result is to be sent. Null: there is none. */
  leftAt: string | null
}

export interface FireSchedule {
  p_schedule_id: string
  p_due: string
  p_for: string
  p_next: string
  p_content: string
  p_lease_seconds: number
}

/** A firing whose run has not begun yet. */
export interface Firing {
  id: string
  scheduleId: string
  userId: string
  agentId: string
  content: string
  startedAt: string
  now: string
}

/** A result that the caller is to deliver, with what its content is made from. */
export interface ClaimedDelivery extends OutputPlace {
  /** The same at each try, so that receivers can recognise repetitions. */
  id: string
  scheduleId: string
  runId: string
  agentId: string
  agentName: string | null
  userId: string
  /** The number of this try, from 1. */
  tries: number
  /** What the agent answered. */
  result: string
  scheduledFor: string
  completedAt: string
  prompt: string | null
  timezone: string | null
}

export interface RecordDelivery {
  p_id: string
  p_tries: number
  /** Null: the result is not to be delivered any more. */
  p_status: string | null
  p_error?: string | null
  p_seconds?: number
  /** What the schedule's user sees of this try. */
  p_result?: OutputResult | null
}

/** What became of a result that was sent, as the platform's page shows it. */
export type OutputResult = { success: boolean, status: number } | { success: false, error: string }
