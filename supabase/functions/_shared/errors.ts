import { causeCodeOf } from './gateway/cause-code.ts'
import { toStorable } from './text.ts'

/** An error that callers may see: a code for programs, a sentence for people, an HTTP status. */
export class ServiceError extends Error {
  /** Seconds to wait before another try. */
  retryAfter?: number
  /** The run that failed. */
  runId?: string
  /** The methods that an address takes instead. */
  allow?: readonly string[]
  /** The problems of a request, each with its path. */
  details?: Detail[]
  /** What operators and admins read of it: which account at which gateway, what a provider said. Users never do. */
  reason?: string
  /** The HTTP status of the gateway's answer, if it failed by one. */
  gatewayStatus?: number

  /** Such an error is expected and has no stack: capturing one costs more than a refusal may. A `cause` keeps its own. */
  constructor (readonly code: string, readonly statusCode: number, sentence: string, options?: ErrorOptions) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(sentence, options)
    Error.stackTraceLimit = stackTraceLimit
  }

  /** Sets the fields that only some errors have. */
  with (fields: Pick<ServiceError, 'retryAfter' | 'runId' | 'allow' | 'details' | 'reason' | 'gatewayStatus' | 'cause'>): this {
    return Object.assign(this, fields)
  }

  /** Whether the same request may succeed later. */
  get isRetryable (): boolean {
    return this.statusCode === 429 || (this.statusCode >= 502 && !NEEDS_THE_OPERATOR.has(this.code))
  }
}

export interface Detail { path: string, message: string }

const NEEDS_THE_OPERATOR = new Set(['gateway_answer_too_long', 'gateway_image_answer', 'gateway_unauthorized', 'gateway_payment_required', 'not_configured', 'python_unavailable', 'python_failed', 'run_timeout'])

/** What users read where the cause is the operator's concern. */
const NOT_AVAILABLE = 'This agent is not available right now.'

/**
 * Every error of the service and of the edge function, ordered by status, with its sentence for users. Errors that SQL
 * functions raise are not listed: they carry their own code and status.
 */
export const errors = {
  badRequest: define('bad_request', 400, (problem: string) => problem),
  invalidJson: define('invalid_json', 400, (what: string) => `The ${what} is not valid JSON.`),
  unauthorized: define('unauthorized', 401, (problem: string) => problem),
  insufficientCredits: define('insufficient_credits', 402, (needed: number, left: number) =>
    `There are not enough credits to go on with this run (needed: ${needed}, left: ${left}).`),
  sessionRequired: define('forbidden', 403, () => 'This needs an access token: an API key may not do it.'),
  originNotAllowed: define('forbidden', 403, () => 'This API key is not for pages of this origin.'),
  pageNotAllowed: define('forbidden', 403, () => 'Pages of this origin may not ask here.'),
  demoUsersElsewhere: define('forbidden', 403, () => 'Demo users sign in on the machine of the service alone.'),
  visitorRequired: define('forbidden', 403, () => 'Only publishable API keys have visitors.'),
  notFound: define('not_found', 404, () => 'There is nothing at this address.'),
  modelNotFound: define('agent_not_found', 404, (model: string) => `There is no model "${model.slice(0, 100)}": a model is the id of an agent.`),
  responseNotFound: define('response_not_found', 404, () => 'There is no such response.'),
  previousResponseNotFound: define('previous_response_not_found', 404, () =>
    'A response of this conversation is not there: it was deleted, has expired, or was not stored.'),
  methodNotAllowed: define('method_not_allowed', 405, (methods: string) => `This address takes ${methods} only.`),
  requestTimeout: define('request_timeout', 408, () => 'The request did not arrive in time.'),
  runCancelled: define('run_cancelled', 409, () => 'The run was cancelled.'),
  bodyTooLarge: define('body_too_large', 413, (bytes: number) => `The body is larger than ${bytes} bytes.`),
  conversationTooLong: define('conversation_too_long', 413, () => 'This conversation is too long to go on: begin a new one.'),
  unsupportedMediaType: define('unsupported_media_type', 415, () => 'The body must be JSON, with content-type: application/json.'),
  gatewayRejected: define('gateway_rejected', 422, () => 'The model does not accept this request.'),
  tooManyConnections: define('too_many_connections', 429, () => 'Too many connections are open: close one, or try again later.'),
  tooMuchData: define('rate_limited', 429, (seconds: number) => `Too much was sent: try again in ${seconds} seconds.`),
  rateLimited: define('rate_limited', 429, (seconds: number) => `Too many requests: try again in ${seconds} seconds.`),
  gatewayRateLimited: define('gateway_rate_limited', 429, () => 'The model has too much to do: try again later.'),
  headersTooLarge: define('headers_too_large', 431, () => 'The headers of the request are too large.'),
  internal: define('internal_error', 500, () => 'Something went wrong on our side.'),
  backendUnavailable: define('backend_unavailable', 502, () => 'The backend that runs this agent cannot be reached: try again later.'),
  gatewayUnavailable: define('gateway_unavailable', 502, () => 'The model cannot be reached, or broke off: try again later.'),
  answerChanged: define('answer_changed', 502, () => 'A part of this answer was taken back and written anew, which cannot be said here: ask again.'),
  gatewayAnswerTooLong: define('gateway_answer_too_long', 502, () => 'The model did not come to an end.'),
  gatewayEmptyAnswer: define('gateway_empty_answer', 502, () => 'The model gave no answer: try again later.'),
  gatewayImageAnswer: define('gateway_image_answer', 502, () => 'The model answered with an image, which this agent cannot show.'),
  gatewayUnauthorized: define('gateway_unauthorized', 502, () => NOT_AVAILABLE),
  pythonFailed: define('python_failed', 502, (sentence: string) => sentence),
  gatewayPaymentRequired: define('gateway_payment_required', 503, () => NOT_AVAILABLE),
  connectionEnded: define('connection_ended', 503, () => 'The connection ended before the answer was complete. It is still being written: look again later.'),
  databaseUnavailable: define('database_unavailable', 503, () => 'The database cannot be reached: try again later.'),
  databaseNotMigrated: define('database_not_migrated', 503, () => 'The service is being set up: try again later.'),
  keysUnavailable: define('keys_unavailable', 503, () => 'Your session cannot be checked at the moment: try again later.'),
  notConfigured: define('not_configured', 503, () => NOT_AVAILABLE),
  heavyNotConfigured: define('not_configured', 503, () => 'Heavy agent execution not configured'),
  functionsUnavailable: define('not_configured', 503, () => 'This agent uses functions that are not available right now.'),
  pythonUnavailable: define('python_unavailable', 503, () => NOT_AVAILABLE),
  queueFull: define('queue_full', 503, () => 'All slots are taken and the queue is full: try again later.'),
  serverBusy: define('server_busy', 503, () => 'Too much is arriving at once: try again later.'),
  runElsewhere: define('run_elsewhere', 503, () => 'The run is under way elsewhere: try again when it has ended.'),
  shuttingDown: define('shutting_down', 503, () => 'This server is shutting down: try again.'),
  runTimeout: define('run_timeout', 504, (seconds: number) => `The run was ended because it took longer than ${seconds} seconds.`),
  gatewayTimeout: define('gateway_timeout', 504, () => 'The model did not answer in time: try again later.')
} as const

/** An error of the table is a function of the values in its sentence, with its code and status as properties. */
function define<Arguments extends unknown[]> (code: string, status: number, sentence: (...args: Arguments) => string) {
  return Object.assign((...args: Arguments) => new ServiceError(code, status, sentence(...args)), { code, status })
}

/** The error for a method that an address does not take. @param allow those that it takes. */
export function methodNotAllowed (allow: readonly string[]): ServiceError {
  return errors.methodNotAllowed(allow.join(' or ')).with({ allow })
}

/** A stored error as it was thrown. A code that is not in the table has status 500. */
export function restoreError (code: string, sentence: string): ServiceError {
  const status = Object.values(errors).find(error => error.code === code)?.status ?? 500
  return new ServiceError(code, status, sentence)
}

/** What is said of an error to operators and admins, on one line of at most 300 characters; undefined where nothing is known. */
export function reasonOf ({ reason, cause }: ServiceError): string | undefined {
  // An error of several attempts to connect has a code and no message.
  const text = reason ?? (cause instanceof Error ? cause.message || causeCodeOf(cause) || cause.name : undefined)
  return text === undefined ? undefined : toStorable(text.replace(/\s+/g, ' ').trim().slice(0, 300))
}

/** The sentence of an error as the log has it: without what it quotes of the request, and of at most 300 characters. */
export function loggedSentence ({ message }: ServiceError): string {
  return message.replace(/"[^"]*"/g, '"…"').slice(0, 300)
}

/** An error as it is stored with a run: users read its code and its sentence, admins the reason too. */
export interface RunFailure { code: string, message: string, reason?: string }

export function failureOf (error: ServiceError): RunFailure {
  return { code: error.code, message: error.message, reason: reasonOf(error) }
}

/** The error that callers see: a ServiceError itself, `internal_error` for any other. */
export function toServiceError (error: unknown): ServiceError {
  return error instanceof ServiceError ? error : errors.internal().with({ cause: error })
}
