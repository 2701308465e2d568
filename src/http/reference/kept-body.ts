import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Seconds for which clients may use what they have without asking: after a deploy they have the new one soon. */
const MAX_AGE = 300

/** A body that is the same for everybody until the next deploy. */
export interface KeptBody { readonly type: string, readonly body: Buffer, readonly etag: string }

export function keepBody (type: string, text: string | Buffer): KeptBody {
  const body = Buffer.from(text as string)
  return { type, body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` }
}

/** Answers with a body, or that the client has it. @param headers beside those that let clients keep it. */
export function sendKept (request: FastifyRequest, reply: FastifyReply, { type, body, etag }: KeptBody, headers: Record<string, string> = {}): FastifyReply {
  reply.headers({ 'cache-control': `public, max-age=${MAX_AGE}`, etag, ...headers })
  return hasIt(request, etag) ? reply.code(304).send() : reply.type(`${type}; charset=utf-8`).send(body)
}

/** RFC 9110, 13.1.2: `If-None-Match` compares weakly. */
function hasIt ({ headers }: FastifyRequest, etag: string): boolean {
  const named = (headers['if-none-match'] ?? '').split(',').map(tag => tag.trim().replace(/^W\//, ''))
  return named.includes(etag) || named.includes('*')
}
