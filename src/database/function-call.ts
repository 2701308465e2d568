import type { Connection, Submittable } from 'pg'
import { errors } from '../errors.js'

/** What pg's own queries use of a connection, and its types do not know. */
interface Wire {
  stream: { cork (): void, uncork (): void }
  /** The texts of the statements that were prepared on it, by their names. */
  parsedStatements: Record<string, string>
  parse (statement: { name?: string, text: string }): void
  bind (values: { statement?: string, values: unknown[], valueMapper (value: unknown): string | null }): void
  execute (): void
  sync (): void
}

/**
 * One call of an SQL function that returns jsonb, by PostgreSQL's extended query protocol: a query for pg that knows what
 * comes of it, and so asks for no description of it and makes no table of it.
 */
export class FunctionCall<T> implements Submittable {
  #json: string | null = null
  /** Set by pg, too: to be told nothing more once the time is up. */
  callback: (error: Error | null) => void = () => {}

  /**
   * @param name of the statement, which is prepared where it is not yet; undefined: it is prepared for this call.
   * @param query_timeout milliseconds; pg looks at it by this name.
   */
  constructor (
    readonly text: string,
    private readonly values: unknown[],
    readonly query_timeout: number,
    readonly name?: string
  ) {}

  /** What the function returned. @throws {ServiceError} `internal_error` where that is no JSON. */
  get result (): T {
    try {
      return JSON.parse(this.#json ?? 'null')
    } catch (cause) {
      throw errors.internal().with({ cause: cause as Error })
    }
  }

  submit (connection: Connection): void {
    const wire = connection as unknown as Wire
    const { name, text, values } = this
    wire.stream.cork()
    try {
      if (name === undefined || wire.parsedStatements[name] === undefined) wire.parse({ name, text })
      wire.bind({ statement: name, values, valueMapper: toText })
      wire.execute()
    } catch (error) {
      // There may be no room for such values.
      this.callback(error as Error)
    } finally {
      wire.sync()
      wire.stream.uncork()
    }
  }

  handleDataRow ({ fields }: { fields: Array<string | null> }): void {
    this.#json = fields[0]!
  }

  handleCommandComplete (): void {}

  handleError (error: Error): void {
    this.callback(error)
  }

  handleReadyForQuery (): void {
    this.callback(null)
  }
}

function toText (value: unknown): string | null {
  return value === null ? null : String(value)
}
