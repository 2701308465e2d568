import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, ServiceError } from '../errors.js'
import { invalid } from '../validation.js'

/** The one place where an error becomes an answer. */
async function errorHandler (app: FastifyInstance): Promise<void> {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const told = translate(error, app.config.bodyLimit)
    if (told.statusCode === 500) request.log.error({ err: error }, 'unexpected error')
    else if (told.statusCode > 500) request.log.warn({ err: error, code: told.code }, told.message)
    return render(told, request, reply)
  })
  app.setNotFoundHandler((request, reply) => render(errors.notFound(), request, reply))
}

/** What Fastify refuses before any hook has run: a URL that cannot be decoded. */
export function answerFrameworkError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  render(errors.badRequest(error.message), request, reply)
}

function render (error: ServiceError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error.retryAfter !== undefined) reply.header('retry-after', Math.ceil(error.retryAfter))
  return reply.code(error.statusCode).type('application/json').send({
    error: error.message,
    code: error.code,
    statusCode: error.statusCode,
    requestId: request.id,
    runId: error.runId,
    details: error.details
  })
}

/** Fastify's own errors in the words of this service. */
function translate (error: FastifyError, bodyLimit: number): ServiceError {
  if (error instanceof ServiceError) return error
  if (error.validation) return invalid(error.validation as never, error.validationContext ?? 'request')
  const { code, statusCode = 500, message } = error
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return errors.bodyTooLarge(bodyLimit)
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return errors.unsupportedMediaType()
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY' || code === 'FST_ERR_CTP_INVALID_JSON_BODY' || error.name === 'SyntaxError') {
    return errors.invalidJson('body')
  }
  if (statusCode === 404) return errors.notFound()
  if (statusCode >= 400 && statusCode < 500) return errors.badRequest(message)
  return errors.internal()
}

export default fp(errorHandler, { name: 'error-handler' })
