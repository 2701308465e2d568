import type { FindRun } from '#shared/database/functions.ts'
import type { Claim, ClaimedRun, EmittedEvents, RecordedEvents, RunOwner, StepEntry, StepRecord, StoredInput, WaitingRun } from '#shared/database/runs.ts'
import type { ListedRun, Run, RunStatus } from '#shared/schemas.ts'
import type { RunStep } from '../../contract/schemas.js'

/** The SQL functions with which the service executes runs, and lists them. */
export interface RunFunctions {
  /** A page of a user's runs, newest first, with the beginnings of their responses. `p_after` is the `next` of the page before. Raises `bad_request`. */
  list_runs: {
    args: { p_user_id: string, p_limit: number, p_status?: RunStatus | null, p_agent_id?: string | null, p_after?: string | null }
    result: RunPage
  }
  /** Keeps which chat a run answers, and by which version of the protocol; once. Raises `run_not_found`. */
  note_chat: {
    args: {
      p_user_id: string
      p_run_id: string
      p_chat_id: string
      p_protocol: string
      /** What the page calls the run, and what it has sent with it, which is kept with the latest run of the chat alone. */
      p_page_run?: string | null
      p_messages?: unknown
    }
    result: { noted: true }
  }
  /** A page was told the end of such a run. */
  note_chat_told: { args: { p_run_id: string }, result: { noted: true } }
  /** The latest run that answers a chat, or else the run of this id; null if there is none that the caller may read. */
  find_chat_run: {
    args: { p_user_id: string, p_chat_id: string, p_api_key_id?: string | null, p_visitor?: string | null, /** Only one that has not ended. */ p_unfinished?: boolean }
    /** `told`: whether a page was told its end; `pageRun`: what the page calls the run. All are null of a run that answers no chat. */
    result: { run: Run, protocol: string | null, told: boolean | null, pageRun: string | null } | null
  }
  /** What a page has sent with a run, and of how many bytes of JSON; null where nothing is kept. `messages` is null where it has more than `p_max_bytes`. */
  get_chat_messages: {
    args: { p_user_id: string, p_run_id: string, p_max_bytes: number, p_api_key_id?: string | null, p_visitor?: string | null }
    result: { bytes: number, messages: unknown[] | null } | null
  }
  /** A queued run has got its slot. Raises `stale_attempt`. */
  start_run: { args: { p_run_id: string, p_attempt: number }, result: Run }
  /** What an attempt is made with. Raises `stale_attempt`. */
  get_run_input: { args: { p_run_id: string, p_attempt: number }, result: StoredInput }
  /** Stores a step that has ended. Raises `run_not_found`, `stale_attempt`. */
  record_step: { args: RecordStep, result: { reserved: number, isEnough: boolean } }
  /** The finished steps of a user's run, the first 500; a key's only of its own. Raises `run_not_found`. */
  list_steps: { args: FindRun, result: { steps: RunStep[] } }
  /** Claims a run that has no living owner, unless its user has too many runs under way. */
  claim_run: { args: ClaimLimits & { p_run_id: string, p_max_per_user: number }, result: Claim }
  /** Claims several runs as `claim_run` does, by their ids. `keepFirst` is `p_keep_first` of each. */
  claim_queued_runs: {
    args: Omit<ClaimLimits, 'p_keep_first'> & { p_runs: ReadonlyArray<{ runId: string, keepFirst: boolean }>, p_max_per_user: number }
    result: Record<string, Claim>
  }
  /** Claims runs that have no living owner, at most `p_limit`. */
  claim_runs: {
    args: ClaimLimits & { p_limit: number, /** Only runs whose owner died. */ p_lapsed?: boolean }
    /** `outstanding`: whether any run is unfinished; `others`: whether another process is known to live. */
    result: { claimed: ClaimedRun[], outstanding: boolean, others: boolean }
  }
  /** A process could not go on with the run: it rests, and ends as failed when that was so too often. */
  rest_run: { args: { p_run_id: string, p_reason: string, p_max_crashes?: number }, result: { ended: boolean } }
  /** Runs without an owner: those that were released, and with `p_queued` those that still wait for their first owner. */
  list_waiting_runs: { args: { p_limit: number, p_queued: boolean }, result: { runs: WaitingRun[], outstanding: boolean } }
  /** The events of steps that were recorded after the given event, by run id. */
  get_told_steps: { args: { p_cursors: Record<string, number> }, result: RecordedEvents[] }
  /** Whose runs are, of those that exist. A lease with less than `p_fresh_seconds` left is none. */
  get_run_owners: { args: { p_run_ids: string[], p_fresh_seconds: number }, result: RunOwner[] }
  /** Erases the texts of runs that ended more than `p_days` ago, at most `p_limit`. */
  erase_old_runs: { args: { p_days: number, p_limit: number }, result: { erased: number } }
  /** The same of users and agents with a shorter period, of the next periods behind `p_after`. */
  erase_by_periods: { args: { p_days: number, p_limit: number, p_after?: number }, result: { next: number | null, more: boolean } }
}

/** `next` is null on the last page. */
export interface RunPage<R = ListedRun & { userId: string }> { runs: R[], next: string | null }

export interface ClaimLimits {
  p_owner: string
  p_lease_seconds: number
  /** Whether the owner can run agents that are written in Python. */
  p_python?: boolean
  /** After so many crashes a run is ended as failed. */
  p_max_crashes?: number
  /** Whether a run's first owner makes attempt 1; otherwise it makes a later one. */
  p_keep_first?: boolean
  /** For how many bytes of inputs the owner has memory; by default any. */
  p_room?: number | null
  /** Inputs of more bytes are not returned; those of less need no room. By default every one is returned. */
  p_inline_bytes?: number | null
}

export interface RecordStep {
  p_run_id: string
  p_attempt: number
  p_number: number
  p_step: StepEntry
  p_record: StepRecord
  /** What the run may cost by the end of its next step. */
  p_credits?: number
  p_told?: EmittedEvents | null
}
