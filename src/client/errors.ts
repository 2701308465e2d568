/** What the service refuses, or why it cannot be reached. A run that fails does not throw: its last event is `error`. */
export class JeesiError extends Error {
  override readonly name = 'JeesiError'

  /**
   * @param message a sentence for people.
   * @param code as in docs/reference/errors.md; `connection_failed` if there was no answer.
   * @param status of HTTP; 0 where there was none.
   * @param retryAfter seconds.
   */
  constructor (message: string, readonly code: string, readonly status: number, readonly retryAfter?: number, options?: ErrorOptions) {
    super(message, options)
  }

  /** Whether another try may succeed. */
  get isTemporary (): boolean { return this.code === 'connection_failed' || this.status === 408 || this.status === 429 || this.status >= 500 || this.retryAfter !== undefined }
}

export function connectionFailed (cause?: unknown): JeesiError {
  return new JeesiError('The connection to the service failed.', 'connection_failed', 0, undefined, { cause })
}

/** The error of an answer that refuses. A proxy in front of the service may answer otherwise than the service does. */
export async function errorOf (response: Response): Promise<JeesiError> {
  const { error = `The service answered with status ${response.status}.`, code = 'http_error', retryAfter } = await response.json().catch(() => ({})) as { error?: string, code?: string, retryAfter?: number }
  return new JeesiError(String(error), code, response.status, retryAfter)
}
