import type { Row, RowTable, WritableTable } from '../contract/rows.js'
import type { Database } from '../database/port.js'

/** The rows that a user reads and writes where no REST interface of Supabase does it: whose each is, the database decides. */
export class Rows {
  constructor (private readonly database: Pick<Database, 'call'>) {}

  /** A user's rows, 500 at the most. @param agentId of `agents`: this one alone, wholly; of others: this agent's. */
  list (userId: string, table: RowTable, agentId?: string): Promise<{ rows: Row[] }> {
    return this.database.call('list_rows', { p_user_id: userId, p_table: table, p_agent_id: agentId ?? null })
  }

  /** Makes a row, or changes the one whose `id` it has. Throws `not_found`, `agent_not_found`, `forbidden`, and `bad_request` for what is too large. */
  async save (userId: string, table: WritableTable, row: Row): Promise<Row> {
    return (await this.database.call('save_row', { p_user_id: userId, p_table: table, p_row: row })).row
  }

  /** Throws `not_found`. */
  delete (userId: string, table: WritableTable, id: string): Promise<{ deleted: true }> {
    return this.database.call('delete_row', { p_user_id: userId, p_table: table, p_id: id })
  }
}
