import createError, { type FastifyError } from '@fastify/error'

/** An error with a code and a status that callers may see. */
export type ServiceError = FastifyError & {
  statusCode: number
  /** Seconds after which to try again. */
  retryAfter?: number
  /** The run that failed. */
  runId?: string
}

function define<Arguments extends unknown[] = []> (code: string, sentence: string, status: number) {
  return createError(code, sentence, status) as unknown as new (...args: Arguments) => ServiceError
}

/**
 * Every error a caller can get: its code, the sentence people read, and its HTTP status. `%s` takes the
 * constructor's argument.
 */
export const errors = {
  badRequest: define<[string]>('bad_request', '%s', 400),
  invalidJson: define('invalid_json', 'The body is not valid JSON.', 400),
  invalidMessage: define('invalid_json', 'The message is not valid JSON.', 400),
  unauthorized: define<[string]>('unauthorized', '%s', 401),
  insufficientCredits: define('insufficient_credits', 'There are not enough credits for this run.', 402),
  forbidden: define('forbidden', 'You may not do this.', 403),
  notFound: define('not_found', 'There is nothing at this address.', 404),
  runNotFound: define('run_not_found', 'There is no such run.', 404),
  runCancelled: define('run_cancelled', 'The run was cancelled.', 409),
  bodyTooLarge: define<[number]>('body_too_large', 'The body is larger than %d bytes.', 413),
  unsupportedMediaType: define('unsupported_media_type', 'The body must be JSON, with content-type: application/json.', 415),
  gatewayRejected: define<[string]>('gateway_rejected', 'The AI gateway refused the request: %s', 422),
  rateLimited: define<[number]>('rate_limited', 'Too many requests: try again in %d seconds.', 429),
  gatewayRateLimited: define('gateway_rate_limited', 'The AI gateway is throttling requests: try again later.', 429),
  internal: define('internal_error', 'Something went wrong on our side.', 500),
  gatewayUnavailable: define('gateway_unavailable', 'The AI gateway cannot be reached, or broke off.', 502),
  gatewayUnauthorized: define('gateway_unauthorized', 'The AI gateway does not accept the key of this service.', 502),
  gatewayPaymentRequired: define('gateway_payment_required', 'The account of this platform at the AI gateway is empty.', 503),
  databaseUnavailable: define('database_unavailable', 'The database cannot be reached: try again later.', 503),
  keysUnavailable: define('keys_unavailable', 'The keys that access tokens are signed with cannot be fetched: try again later.', 503),
  backendSecretMissing: define('not_configured', 'This server has no RAILWAY_BACKEND_SECRET, so it cannot take validated requests.', 503),
  queueFull: define('queue_full', 'All slots are taken and the queue is full: try again later.', 503),
  shuttingDown: define('shutting_down', 'This server is shutting down: try again.', 503),
  interrupted: define('interrupted', 'The server was shut down before the run had ended.', 503),
  gatewayTimeout: define('gateway_timeout', 'The AI gateway did not answer in time.', 504)
} as const

/** Makes an error whose code, status and sentence come from elsewhere: a database function, a stored run. */
export function serviceError (code: string, message: string, statusCode: number): ServiceError {
  const NamedError = define<[string]>(code, '%s', statusCode)
  return new NamedError(message)
}

export function isServiceError (error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'statusCode' in error &&
    typeof error.code === 'string' && /^[a-z_]+$/.test(error.code)
}

/** Whether a caller who tries the same again may have more luck. */
export function isRetryable (error: ServiceError): boolean {
  return error.statusCode === 429 || (error.statusCode >= 502 && !NEEDS_THE_OPERATOR.has(error.code))
}

const NEEDS_THE_OPERATOR = new Set(['gateway_unauthorized', 'gateway_payment_required', 'not_configured', 'python_unavailable'])

/** The status that belongs to a code, for a run's stored error. */
export function statusOf (code: string): number {
  const known = Object.values(errors).map(Known => new (Known as new (arg?: unknown) => ServiceError)(''))
  return known.find(error => error.code === code)?.statusCode ?? 500
}
