import type { Connection, Submittable } from 'pg'
import { errors } from '#shared/errors.ts'

/** The parts of a pg connection that pg's own queries use and its types omit. */
interface Wire {
  stream: { cork (): void, uncork (): void, destroy (): void }
  /** The texts of the statements that are prepared on this connection, by name. */
  parsedStatements: Record<string, string>
  parse (statement: { name?: string, text: string }): void
  bind (values: { statement?: string, values: unknown[], valueMapper (value: unknown): string | null }): void
  execute (): void
  sync (): void
}

export interface FunctionCallsOptions {
  /** The name of the prepared statement; without a name the statement is prepared for these calls only. */
  name?: string
  /** Milliseconds after which pg fails the query. */
  timeout: number
  /** PostgreSQL's statement timeout for each of the calls, in milliseconds. */
  statementTimeout?: number
}

/**
 * A pg query that calls one SQL function once or several times, in one transaction, by PostgreSQL's extended query
 * protocol. Since each call returns one jsonb value, the query requests no row description and builds no result table.
 */
export class FunctionCalls<T> implements Submittable {
  readonly name: string | undefined
  /** pg reads the timeout from this property. */
  readonly query_timeout: number
  readonly #statementTimeout: number | undefined
  #rows: Array<string | null> = []
  /** pg replaces the callback once the timeout has elapsed. */
  callback: (error: Error | null) => void = () => {}

  /** @param calls the values of each call. */
  constructor (readonly text: string, private readonly calls: unknown[][], { name, timeout, statementTimeout }: FunctionCallsOptions) {
    this.name = name
    this.query_timeout = timeout
    this.#statementTimeout = statementTimeout
  }

  /** The number of calls that succeeded; if a call failed, it is the one after them. */
  get answered (): number {
    return this.#answers.length
  }

  /** The result of each call. @throws {ServiceError} `internal_error` if a result is not JSON. */
  get results (): T[] {
    try {
      return this.#answers.map(json => JSON.parse(json ?? 'null'))
    } catch (cause) {
      throw errors.internal().with({ cause: cause as Error })
    }
  }

  get #answers (): Array<string | null> {
    return this.#statementTimeout === undefined ? this.#rows : this.#rows.slice(1)
  }

  submit (connection: Connection): void {
    const wire = connection as unknown as Wire
    wire.stream.cork()
    try {
      this.#send(wire)
      wire.sync()
    } catch (error) {
      // The values may be too large to serialise. A sync commits the calls before it, which must not happen to part of a group.
      if (this.calls.length > 1) wire.stream.destroy()
      else wire.sync()
      this.callback(error as Error)
    } finally {
      wire.stream.uncork()
    }
  }

  #send (wire: Wire): void {
    const { name, text } = this
    // pg registers the first statement that is prepared under the query's name, so the named one is sent first.
    if (name !== undefined && wire.parsedStatements[name] === undefined) wire.parse({ name, text })
    if (this.#statementTimeout !== undefined) limitStatements(wire, this.#statementTimeout)
    if (name === undefined) wire.parse({ text })
    for (const values of this.calls) {
      wire.bind({ statement: name, values, valueMapper: toText })
      wire.execute()
    }
  }

  handleDataRow ({ fields }: { fields: Array<string | null> }): void {
    this.#rows.push(fields[0]!)
  }

  handleCommandComplete (): void {}

  handleError (error: Error): void {
    this.callback(error)
  }

  handleReadyForQuery (): void {
    this.callback(null)
  }
}

/** Sets the timeout for the rest of the transaction, which is safe behind a transaction pooler too. */
function limitStatements (wire: Wire, milliseconds: number): void {
  wire.parse({ text: `select pg_catalog.set_config('statement_timeout', '${milliseconds}', true)` })
  wire.bind({ values: [], valueMapper: toText })
  wire.execute()
}

function toText (value: unknown): string | null {
  return value === null ? null : String(value)
}
