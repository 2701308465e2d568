import type { FastifyError, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors, reasonOf } from '#shared/errors.ts'
import { refusalOf, renderError, translateHttpError } from '../http/errors.js'

/** Turns every error into an answer; the log gets the cause of what callers cannot mend. */
async function errorHandler (app: FastifyInstance): Promise<void> {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const failure = translateHttpError(error, app.config.bodyLimit)
    if (failure.statusCode === 500) request.log.error({ err: error }, 'unexpected error')
    else if (failure.statusCode > 500) request.log.warn({ err: error, code: failure.code, reason: reasonOf(failure) }, failure.message)
    request.refusal = refusalOf(failure, error)
    return renderError(failure, request, reply)
  })
  app.setNotFoundHandler((request, reply) => renderError(errors.notFound(), request, reply))
}

export default fp(errorHandler, { name: 'error-handler', dependencies: ['request-context'] })
