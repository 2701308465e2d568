import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionError, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, ServiceError } from '#shared/errors.ts'
import { invalid } from '#shared/http/validation.ts'

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

/** What is no HTTP: the parser gave up before there was a request. */
export function answerClientError (error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const told = translateClientError(error.code)
  const body = JSON.stringify(toBody(told, randomUUID()))
  if (socket.writable) {
    socket.write(`HTTP/1.1 ${told.statusCode} ${STATUS_CODES[told.statusCode]}\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`)
  }
  socket.destroySoon()
}

function translateClientError (code: string): ServiceError {
  if (code === 'HPE_HEADER_OVERFLOW') return errors.headersTooLarge()
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return errors.requestTimeout()
  return errors.badRequest('The request is not valid HTTP.')
}

function render (error: ServiceError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error.retryAfter !== undefined) reply.header('retry-after', Math.ceil(error.retryAfter))
  return reply.code(error.statusCode).type('application/json').send(toBody(error, request.id))
}

function toBody ({ message, code, statusCode, runId, details }: ServiceError, requestId: string) {
  return { error: message, code, statusCode, requestId, runId, details }
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
