import type { Connection, Submittable } from 'pg'
import { errors } from '#shared/errors.ts'

/** What pg's own queries use of a connection, and its types do not know. */
interface Wire {
  stream: { cork (): void, uncork (): void, destroy (): void }
  /** The texts of the statements that were prepared on it, by their names. */
  parsedStatements: Record<string, string>
  parse (statement: { name?: string, text: string }): void
  bind (values: { statement?: string, values: unknown[], valueMapper (value: unknown): string | null }): void
  execute (): void
  sync (): void
}

export interface FunctionCallsOptions {
  /** Of the statement, which is prepared where it is not yet; undefined: it is prepared for this time. */
  name?: string
  /** Milliseconds until it is given up. */
  timeout: number
  /** Milliseconds that PostgreSQL may take for each of the calls. */
  statementTimeout?: number
}

/**
 * Calls of one SQL function that returns jsonb, in one transaction, by PostgreSQL's extended query protocol: a query for
 * pg that knows what comes of it, and so asks for no description of it and makes no table of it.
 */
export class FunctionCalls<T> implements Submittable {
  readonly name: string | undefined
  /** pg looks at it by this name. */
  readonly query_timeout: number
  readonly #statementTimeout: number | undefined
  #rows: Array<string | null> = []
  /** Set by pg, too: to be told nothing more once the time is up. */
  callback: (error: Error | null) => void = () => {}

  /** @param calls the values of each call. */
  constructor (readonly text: string, private readonly calls: unknown[][], { name, timeout, statementTimeout }: FunctionCallsOptions) {
    this.name = name
    this.query_timeout = timeout
    this.#statementTimeout = statementTimeout
  }

  /** How many of the calls were answered; one that failed comes after them. */
  get answered (): number {
    return this.#answers.length
  }

  /** What the function returned, for each call. @throws {ServiceError} `internal_error` where that is no JSON. */
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
      // There may be no room for such values. What a sync follows is committed: of a group nothing may be.
      if (this.calls.length > 1) wire.stream.destroy()
      else wire.sync()
      this.callback(error as Error)
    } finally {
      wire.stream.uncork()
    }
  }

  #send (wire: Wire): void {
    const { name, text } = this
    // pg takes the first statement that is prepared for the one with the name.
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

/** For the rest of the transaction: what is set so is gone with it, behind a transaction pooler too. */
function limitStatements (wire: Wire, milliseconds: number): void {
  wire.parse({ text: `select pg_catalog.set_config('statement_timeout', '${milliseconds}', true)` })
  wire.bind({ values: [], valueMapper: toText })
  wire.execute()
}

function toText (value: unknown): string | null {
  return value === null ? null : String(value)
}
