/** An error that a caller may see: a code for programs, a sentence for people, an HTTP status. */
export class ServiceError extends Error {
  /** Seconds after which to try again. */
  retryAfter?: number
  /** The run that failed. */
  runId?: string
  /** What is wrong where in a request. */
  details?: Detail[]

  constructor (readonly code: string, readonly statusCode: number, sentence: string, options?: ErrorOptions) {
    super(sentence, options)
  }

  /** Adds what only some errors have. */
  with (fields: Pick<ServiceError, 'retryAfter' | 'runId' | 'details' | 'cause'>): this {
    return Object.assign(this, fields)
  }

  /** Whether a caller who tries the same again may have more luck. */
  get isRetryable (): boolean {
    return this.statusCode === 429 || (this.statusCode >= 502 && !NEEDS_THE_OPERATOR.has(this.code))
  }
}

export interface Detail { path: string, message: string }

const NEEDS_THE_OPERATOR = new Set(['gateway_answer_too_long', 'gateway_unauthorized', 'gateway_payment_required', 'not_configured', 'python_unavailable', 'python_failed'])

/** Every error of this service. Those of the database's functions come from there, with code and status. */
export const errors = {
  badRequest: define('bad_request', 400, (problem: string) => problem),
  invalidJson: define('invalid_json', 400, (what: string) => `The ${what} is not valid JSON.`),
  unauthorized: define('unauthorized', 401, (problem: string) => problem),
  insufficientCredits: define('insufficient_credits', 402, () => 'There are not enough credits to go on with this run.'),
  sessionRequired: define('forbidden', 403, () => 'This needs an access token: API keys are not for administration.'),
  notFound: define('not_found', 404, () => 'There is nothing at this address.'),
  requestTimeout: define('request_timeout', 408, () => 'The request did not arrive in time.'),
  runCancelled: define('run_cancelled', 409, () => 'The run was cancelled.'),
  bodyTooLarge: define('body_too_large', 413, (bytes: number) => `The body is larger than ${bytes} bytes.`),
  unsupportedMediaType: define('unsupported_media_type', 415, () => 'The body must be JSON, with content-type: application/json.'),
  gatewayRejected: define('gateway_rejected', 422, (reason: string) => `The AI gateway refused the request: ${reason}`),
  rateLimited: define('rate_limited', 429, (seconds: number) => `Too many requests: try again in ${seconds} seconds.`),
  gatewayRateLimited: define('gateway_rate_limited', 429, () => 'The AI gateway is throttling requests: try again later.'),
  headersTooLarge: define('headers_too_large', 431, () => 'The headers of the request are too large.'),
  internal: define('internal_error', 500, () => 'Something went wrong on our side.'),
  gatewayUnavailable: define('gateway_unavailable', 502, () => 'The AI gateway cannot be reached, or broke off.'),
  gatewayAnswerTooLong: define('gateway_answer_too_long', 502, () => 'The model did not come to an end.'),
  gatewayUnauthorized: define('gateway_unauthorized', 502, () => 'The AI gateway does not accept the key of this service.'),
  pythonFailed: define('python_failed', 502, (sentence: string) => sentence),
  gatewayPaymentRequired: define('gateway_payment_required', 503, () => 'The account of this platform at the AI gateway is empty.'),
  databaseUnavailable: define('database_unavailable', 503, () => 'The database cannot be reached: try again later.'),
  databaseNotMigrated: define('database_not_migrated', 503, () => 'The database lacks the migrations of this service: apply supabase/migrations.'),
  keysUnavailable: define('keys_unavailable', 503, () => 'The keys that access tokens are signed with cannot be fetched: try again later.'),
  notConfigured: define('not_configured', 503, (variable: string) => `This server has no ${variable}, which this route needs.`),
  pythonUnavailable: define('python_unavailable', 503, () => 'This agent is written in Python, which this server cannot run.'),
  queueFull: define('queue_full', 503, () => 'All slots are taken and the queue is full: try again later.'),
  shuttingDown: define('shutting_down', 503, () => 'This server is shutting down: try again.'),
  gatewayTimeout: define('gateway_timeout', 504, () => 'The AI gateway did not answer in time.')
} as const

function define<Arguments extends unknown[]> (code: string, status: number, sentence: (...args: Arguments) => string) {
  return Object.assign((...args: Arguments) => new ServiceError(code, status, sentence(...args)), { code, status })
}

/** A stored error as it was thrown. */
export function restoreError (code: string, sentence: string): ServiceError {
  const status = Object.values(errors).find(error => error.code === code)?.status ?? 500
  return new ServiceError(code, status, sentence)
}

/** What callers are told of an error that was none of ours. */
export function toServiceError (error: unknown): ServiceError {
  return error instanceof ServiceError ? error : errors.internal().with({ cause: error })
}
