import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors, ServiceError } from '#shared/errors.ts'
import { JsonScanner } from '#shared/http/json.ts'
import { HEAVY_COST, ownTurn } from '../lib/turns.js'

/** What programs say of a body whose type nobody has told them: `fetch` of a text, and `curl -d`. It is read where it is JSON. */
const DEFAULT_TYPES = new Set(['', 'text/plain', 'application/x-www-form-urlencoded'])

export interface BodyOptions {
  /** Bytes. */
  readonly limit: number
  /** Counts what a body costs against its caller. Throws `rate_limited`. */
  countCost (request: FastifyRequest, cost: number): Promise<void>
}

/**
 * Creates the parser of bodies. The caller is known by then. What the body costs is counted before it is read, as far as
 * its length says it, and for the rest before it is parsed.
 * @throws {ServiceError} body_too_large, rate_limited, bad_request; server_busy while it is read (body-memory.ts); Fastify's errors for
 * what is no JSON; unsupported_media_type if nobody has said that it is.
 */
export function createBodyParser (app: FastifyInstance, { limit, countCost }: BodyOptions) {
  const parse = app.getDefaultJsonParser('error', 'error')

  return async function parseBody (request: FastifyRequest, payload: Readable): Promise<unknown> {
    const isJson = isNamedJson(request)
    if (!isJson && !isUntyped(request) && hasBody(request)) throw errors.unsupportedMediaType()
    const announced = Number(request.headers['content-length'] ?? 0)
    if (announced > limit) throw errors.bodyTooLarge(limit)
    await countCost(request, announced)
    const scanner = new JsonScanner()
    const text = await readText(payload, scanner)
    await countCost(request, scanner.cost - announced)
    // Some programs name a type wherever there could be a body.
    if (text === '' && !request.routeOptions.schema?.body) return undefined
    if (scanner.cost > HEAVY_COST) await ownTurn()
    return new Promise((resolve, reject) => {
      parse(request, text, (error, body) => { if (error) reject(isJson ? error : errors.unsupportedMediaType()); else resolve(body) })
    })
  }

  /** By events: an iterator of the stream costs as much as the rest of reading a small body. */
  function readText (payload: Readable, scanner: JsonScanner): Promise<string> {
    const pieces: Buffer[] = []
    let bytes = 0
    return new Promise((resolve, reject) => {
      const onData = (piece: Buffer) => {
        bytes += piece.length
        try {
          if (bytes > limit) throw errors.bodyTooLarge(limit)
          scanner.scan(piece)
          pieces.push(piece)
        } catch (error) {
          leave()
          reject(error)
        }
      }
      const onEnd = () => {
        leave()
        resolve(Buffer.concat(pieces).toString())
      }
      const onBreak = (error?: Error) => {
        leave()
        reject(error instanceof ServiceError ? error : errors.badRequest('The body broke off.'))
      }
      // The rest is not read: to destroy the request would cut the connection before the answer.
      const leave = () => {
        payload.off('data', onData).off('end', onEnd).off('error', onBreak).off('close', onBreak)
        payload.pause()
      }
      if (payload.errored || payload.destroyed) return onBreak(payload.errored ?? undefined)
      payload.on('data', onData).on('end', onEnd).on('error', onBreak).on('close', onBreak)
    })
  }
}

function typeOf ({ headers }: FastifyRequest): string {
  return (headers['content-type'] ?? '').replace(/;.*$/s, '').trim().toLowerCase()
}

function isNamedJson (request: FastifyRequest): boolean {
  return /^(application|text)\/(.+\+)?json$/.test(typeOf(request))
}

function isUntyped (request: FastifyRequest): boolean {
  return DEFAULT_TYPES.has(typeOf(request))
}

function hasBody ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
