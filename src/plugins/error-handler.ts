import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, isServiceError, type ServiceError } from '../errors.js'
import { describeProblems, summarise, type Detail } from '../validation.js'

/** The one place where an error becomes an answer. */
async function errorHandler (app: FastifyInstance): Promise<void> {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const details = error.validation && describeProblems(error.validation as never)
    const told = details
      ? new errors.badRequest(summarise(details, error.validationContext ?? 'request'))
      : toServiceError(error, app.config.bodyLimit)
    if (told.statusCode === 500) request.log.error({ err: error }, 'unexpected error')
    else if (told.statusCode > 500) request.log.warn({ err: error, code: told.code }, told.message)
    return render(told, details, request, reply)
  })
  app.setNotFoundHandler((request, reply) => render(new errors.notFound(), undefined, request, reply))
}

/** What Fastify refuses before any hook has run: a URL that cannot be decoded. */
export function answerFrameworkError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  render(new errors.badRequest(error.message), undefined, request, reply)
}

function render (error: ServiceError, details: Detail[] | undefined, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error.retryAfter !== undefined) reply.header('retry-after', Math.ceil(error.retryAfter))
  return reply.code(error.statusCode).type('application/json').send({
    error: error.message,
    code: error.code,
    statusCode: error.statusCode,
    requestId: request.id,
    runId: error.runId,
    details
  })
}

/** Fastify's own errors in the words of this service. */
function toServiceError (error: FastifyError, bodyLimit: number): ServiceError {
  if (isServiceError(error)) return error
  const { code, statusCode = 500, message } = error
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new errors.bodyTooLarge(bodyLimit)
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new errors.unsupportedMediaType()
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY' || code === 'FST_ERR_CTP_INVALID_JSON_BODY' || error.name === 'SyntaxError') {
    return new errors.invalidJson()
  }
  if (statusCode === 404) return new errors.notFound()
  if (statusCode >= 400 && statusCode < 500) return new errors.badRequest(message)
  return new errors.internal()
}

export default fp(errorHandler, { name: 'error-handler' })
