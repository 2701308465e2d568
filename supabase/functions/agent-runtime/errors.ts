/** An error that a caller may see: a code for programs, a sentence for people, an HTTP status. */
export class EdgeError extends Error {
  /** Seconds after which to try again. */
  retryAfter?: number
  runId?: string
  details?: Detail[]

  constructor (readonly code: string, readonly statusCode: number, sentence: string) {
    super(sentence)
  }

  /** Adds what only some errors have. */
  with (fields: Pick<EdgeError, 'retryAfter' | 'runId' | 'details' | 'cause'>): this {
    return Object.assign(this, fields)
  }

  /** Whether a caller who tries the same again may have more luck. */
  get isRetryable (): boolean {
    return this.statusCode === 429 || (this.statusCode >= 502 && !NEEDS_THE_OPERATOR.has(this.code))
  }
}

export interface Detail { path: string, message: string }

const NEEDS_THE_OPERATOR = new Set(['gateway_unauthorized', 'gateway_payment_required', 'not_configured', 'python_unavailable'])

/** Every error of this function, in the words of the service; those of the database come from there, with code and status. */
export const errors = {
  badRequest: define('bad_request', 400, (problem: string) => problem),
  invalidJson: define('invalid_json', 400, () => 'The body is not valid JSON.'),
  unauthorized: define('unauthorized', 401, (problem: string) => problem),
  notFound: define('not_found', 404, () => 'There is nothing at this address.'),
  runCancelled: define('run_cancelled', 409, () => 'The run was cancelled.'),
  bodyTooLarge: define('body_too_large', 413, (bytes: number) => `The body is larger than ${bytes} bytes.`),
  gatewayRejected: define('gateway_rejected', 422, (reason: string) => `The AI gateway refused the request: ${reason}`),
  gatewayRateLimited: define('gateway_rate_limited', 429, () => 'The AI gateway is throttling requests: try again later.'),
  internal: define('internal_error', 500, () => 'Something went wrong on our side.'),
  backendUnavailable: define('backend_unavailable', 502, () => 'The backend that runs this agent cannot be reached: try again later.'),
  gatewayUnavailable: define('gateway_unavailable', 502, () => 'The AI gateway cannot be reached, or broke off.'),
  gatewayUnauthorized: define('gateway_unauthorized', 502, () => 'The AI gateway does not accept the key of this service.'),
  databaseUnavailable: define('database_unavailable', 503, () => 'The database cannot be reached: try again later.'),
  databaseNotMigrated: define('database_not_migrated', 503, () => 'The database lacks the migrations of this service: apply supabase/migrations.'),
  gatewayPaymentRequired: define('gateway_payment_required', 503, () => 'The account of this platform at the AI gateway is empty.'),
  keysUnavailable: define('keys_unavailable', 503, () => 'Access tokens cannot be checked at the moment: try again later.'),
  heavyNotConfigured: define('not_configured', 503, () => 'Heavy agent execution not configured'),
  notConfigured: define('not_configured', 503, (variable: string) => `This function has no ${variable}, which this request needs.`),
  runElsewhere: define('run_elsewhere', 503, () => 'The run is under way elsewhere: try again when it has ended.'),
  gatewayTimeout: define('gateway_timeout', 504, () => 'The AI gateway did not answer in time.')
} as const

function define<Arguments extends unknown[]> (code: string, status: number, sentence: (...args: Arguments) => string) {
  return Object.assign((...args: Arguments) => new EdgeError(code, status, sentence(...args)), { code, status })
}

/** A stored error as it was thrown. */
export function restoreError (code: string, sentence: string): EdgeError {
  const status = Object.values(errors).find(error => error.code === code)?.status ?? 500
  return new EdgeError(code, status, sentence)
}

/** What callers are told of an error that was none of ours. */
export function toEdgeError (error: unknown): EdgeError {
  return error instanceof EdgeError ? error : errors.internal().with({ cause: error })
}

/** What a request needs of the environment. */
export function required<T> (value: T | undefined, variable: string): T {
  if (value === undefined) throw errors.notConfigured(variable)
  return value
}
