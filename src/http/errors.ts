import { randomUUID } from 'node:crypto'
import { type ServerResponse, STATUS_CODES } from 'node:http'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { ConnectionError, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { errors, loggedSentence, ServiceError } from '#shared/errors.ts'
import { invalid } from '#shared/http/validation.ts'
import { toRpcError } from '../contract/mcp/schemas.js'
import { shouldRetry, statusOf, toChatError } from '../contract/openai-chat.js'
import type { Hardening } from './hardening.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The headers that harden every answer. */
    hardening: Hardening
  }
}

/** How the errors of addresses that begin so are said, where clients expect another form. */
const ERROR_FORMATS: Array<[prefix: string, say: (error: ServiceError, requestId: string) => { status: number, headers: Record<string, string>, body: object }]> = [
  ['/v1/', error => ({ status: statusOf(error), headers: { 'x-should-retry': String(shouldRetry(error)) }, body: toChatError(error) })],
  ['/mcp', (error, requestId) => ({ status: error.statusCode, headers: challengeOf(error), body: toRpcError(error, requestId) })]
]

/** How a caller says who it is. */
function challengeOf ({ statusCode }: ServiceError): Record<string, string> {
  return statusCode === 401 ? { 'www-authenticate': 'Bearer' } : {}
}

/** Answers a request with an error: the one place where an error becomes an HTTP response. */
export function renderError (error: ServiceError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const address = request.routeOptions.url ?? request.url
  const say = ERROR_FORMATS.find(([prefix]) => address.startsWith(prefix))?.[1]
  const { status, headers, body } = say?.(error, request.id) ?? { status: error.statusCode, headers: {}, body: toBody(error, request.id) }
  if (error.retryAfter !== undefined) reply.header('retry-after', Math.ceil(error.retryAfter))
  if (error.allow) reply.header('allow', error.allow.join(', '))
  // The rest of what is too large is not read.
  if (error.code === errors.bodyTooLarge.code) reply.header('connection', 'close')
  return reply.code(status).headers(headers).type('application/json').send(body)
}

/** Translates whatever a handler threw into an error of this service: Fastify's own errors get its codes and sentences. */
export function translateHttpError (error: FastifyError, bodyLimit: number): ServiceError {
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

/** An error as the line of a request has it. */
export interface Refusal { code: string, statusCode: number, reason?: string }

/**
 * What is logged of an error. The framework's own sentences, which quote addresses and headers, are left out.
 * @param error as it was thrown.
 */
export function refusalOf (failure: ServiceError, error: FastifyError | ServiceError = failure): Refusal {
  const { code, statusCode } = failure
  const isOwn = error instanceof ServiceError || error.validation !== undefined || code !== errors.badRequest.code
  return { code, statusCode, reason: isOwn ? loggedSentence(failure) : undefined }
}

/** Answers what Fastify refuses before any hook has run: a URL that cannot be decoded. */
export function answerFrameworkError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  renderError(errors.badRequest(error.message), request, reply.headers(request.server.hardening))
}

/** Answers bytes that are no HTTP request, or no whole one: the parser gave up before there was one. */
export function answerClientError (this: FastifyInstance, error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  // A request whose answer has begun and whose body never came.
  const { _httpMessage: answer } = socket as Socket & { _httpMessage?: ServerResponse }
  if (answer?.headersSent) socket.destroy()
  else answerConnection(socket, translateClientError(error.code), this.hardening)
}

/** Writes an answer where there is no response that could be sent, and ends the connection. */
export function answerConnection (socket: Writable, failure: ServiceError, hardening: Hardening): void {
  const body = JSON.stringify(toBody(failure, randomUUID()))
  const headers = {
    ...hardening,
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close'
  }
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  if (socket.writable) socket.write(`HTTP/1.1 ${failure.statusCode} ${STATUS_CODES[failure.statusCode]}\r\n${head}\r\n${body}`)
  if (socket instanceof Socket) socket.destroySoon()
  else socket.end()
}

function translateClientError (code: string): ServiceError {
  if (code === 'HPE_HEADER_OVERFLOW') return errors.headersTooLarge()
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return errors.requestTimeout()
  return errors.badRequest('The request is not valid HTTP.')
}

function toBody ({ message, code, statusCode, runId, retryAfter, details }: ServiceError, requestId: string) {
  return { error: message, code, statusCode, requestId, runId, retryAfter: retryAfter && Math.ceil(retryAfter), details }
}
