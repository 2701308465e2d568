import type { FindRun } from '#shared/database/functions.ts'
import type { ResponseDetails } from '../../contract/responses.js'
import type { StoredItem } from '../../contract/responses-input.js'

/** The SQL functions about what clients of OpenAI's Responses keep. Those that find a response raise `response_not_found`. */
export interface ResponseFunctions {
  /** Keeps it once; what is there stays, and is returned. Raises `run_not_found`. */
  store_response: {
    args: { p_user_id: string, p_run_id: string, p_previous_id: string | null, p_input: readonly StoredItem[], p_details: ResponseDetails }
    result: KeptResponse
  }
  get_response: { args: FindRun & { p_with_input?: boolean }, result: KeptResponse & { input: StoredItem[] | null } }
  /** The responses of the conversation that this one ends, oldest first. Raises `previous_response_not_found`, `response_under_way`, `conversation_too_long`. */
  get_previous_responses: { args: FindRun & { p_limit: number, p_max_bytes: number }, result: { responses: PreviousResponse[] } }
  /** Deletes one, with the texts of its run. Raises `response_under_way`. */
  delete_response: { args: FindRun, result: { deleted: true } }
}

export interface KeptResponse {
  /** The run of the response before; it may be gone. */
  previousId: string | null
  details: ResponseDetails
}

export interface PreviousResponse {
  runId: string
  input: StoredItem[]
  response: string
}
