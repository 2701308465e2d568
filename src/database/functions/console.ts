import type { AdminAction, AdminFigures, DemoUser, HeavyAgent, Row, RowTable, WritableTable } from '../../contract/rows.js'
import type { Credits, LedgerEntry } from '../../contract/schemas.js'

/** The SQL functions for the pages of users and admins. */
export interface ConsoleFunctions {
  /** A user's rows, 500 at the most; of `agents` also those that others have published, or with an agent that one wholly. */
  list_rows: { args: { p_user_id: string, p_table: RowTable, p_agent_id?: string | null }, result: { rows: Row[] } }
  /** Makes a row, or changes the one whose id it has. Raises `not_found`, `agent_not_found`, `forbidden`, `unauthorized`, `bad_request`. */
  save_row: { args: { p_user_id: string, p_table: WritableTable, p_row: Row }, result: { row: Row } }
  /** Raises `not_found`. */
  delete_row: { args: { p_user_id: string, p_table: WritableTable, p_id: string }, result: { deleted: true } }
  /** Users whom the embedded mode lets sign in. */
  list_demo_users: { args: { p_limit: number }, result: { users: DemoUser[] } }
  /** A user's balance, and a page of its ledger, newest first. Raises `bad_request`. */
  get_ledger: {
    args: { p_user_id: string, p_limit: number, p_after?: string | null }
    result: { credits: Credits, entries: LedgerEntry[], next: string | null }
  }
  /** A page of what admins did, newest first; by number. Raises `forbidden`. */
  admin_list_actions: { args: { p_admin_id: string, p_limit: number, p_after?: number | null }, result: { actions: AdminAction[], next: number | null } }
  /** What was run a day, and who has runs. Raises `forbidden`. */
  admin_figures: { args: { p_admin_id: string, p_days: number, p_limit: number }, result: AdminFigures }
  /** Raises `forbidden`, `agent_not_found`. */
  admin_set_heavy: { args: { p_admin_id: string, p_agent_id: string, p_heavy: boolean }, result: HeavyAgent }
}
