import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors, ServiceError } from '#shared/errors.ts'
import { JsonScanner } from '#shared/http/json.ts'
import { HEAVY_COST, ownTurn } from './turns.js'

export interface BodyOptions {
  /** Bytes. */
  readonly limit: number
  /** Counts what a body costs against its caller. Throws `rate_limited`. */
  countCost (request: FastifyRequest, cost: number): Promise<void>
}

/**
 * Creates the parser of bodies. The caller is known by then. What the body costs is counted before it is read, as far as
 * its length says it, and for the rest before it is parsed.
 * @throws {ServiceError} body_too_large, rate_limited, bad_request; server_busy while it is read (body-memory.ts); Fastify's errors for what is no JSON.
 */
export function createBodyParser (app: FastifyInstance, { limit, countCost }: BodyOptions) {
  const parse = app.getDefaultJsonParser('error', 'error')

  return async function parseBody (request: FastifyRequest, payload: Readable): Promise<unknown> {
    const announced = Number(request.headers['content-length'] ?? 0)
    if (announced > limit) throw errors.bodyTooLarge(limit)
    await countCost(request, announced)
    const scanner = new JsonScanner()
    const text = await readText(payload, scanner)
    await countCost(request, scanner.cost - announced)
    if (scanner.cost > HEAVY_COST) await ownTurn()
    return new Promise((resolve, reject) => {
      parse(request, text, (error, body) => { if (error) reject(error); else resolve(body) })
    })
  }

  async function readText (payload: Readable, scanner: JsonScanner): Promise<string> {
    const pieces: Buffer[] = []
    let bytes = 0
    try {
      // To destroy the request would cut the connection before the answer.
      for await (const piece of payload.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        bytes += piece.length
        if (bytes > limit) throw errors.bodyTooLarge(limit)
        scanner.scan(piece)
        pieces.push(piece)
      }
      return Buffer.concat(pieces).toString()
    } catch (error) {
      throw error instanceof ServiceError ? error : errors.badRequest('The body broke off.')
    }
  }
}
