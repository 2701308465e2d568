import { type Readable, Transform, type TransformCallback } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { BODY_COST, UNCOUNTED_BODY } from '../lib/memory/memory-budget.js'
import type { Hold, MemoryShare } from '../lib/memory/memory-share.js'
import { takeMemory, WAITING_BODIES } from './arriving-memory.js'
import { callerKey } from './client-address.js'

/** A body in memory. */
export interface HeldBody extends Hold {
  /** Whether a handler works on it, even if the client has left. */
  isInUse: boolean
}

/** Takes the memory of bodies before they are read, and keeps it until nothing needs them. */
export class BodyMemory {
  /** @param maxBytes of a body. */
  constructor (private readonly share: MemoryShare, private readonly maxBytes: number) {}

  /** Whether a request may have a body that counts. */
  counts ({ headers }: FastifyRequest): boolean {
    return headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > UNCOUNTED_BODY
  }

  /**
   * Waits until there is memory for a request's body. If its length is unknown it is taken for the largest once it turns
   * out not to be small: with parts of it in memory, several bodies could wait for each other.
   * @returns the stream to read the body from.
   * @throws {ServiceError} server_busy
   */
  async admit (request: FastifyRequest, reply: FastifyReply, payload: Readable): Promise<Readable> {
    if (request.headers['transfer-encoding'] !== undefined) return this.#count(request, reply, payload)
    const length = Number(request.headers['content-length'])
    // A body that is too large is refused without being read.
    if (length <= this.maxBytes) await this.#take(request, reply, length)
    return payload
  }

  async #take (request: FastifyRequest, reply: FastifyReply, bytes: number): Promise<void> {
    const hold = await takeMemory(this.share, callerKey(request), bytes * BODY_COST, reply.raw, WAITING_BODIES)
    const body: HeldBody = Object.assign(hold, { isInUse: false })
    request.heldBody = body
    reply.raw.once('close', () => { if (!body.isInUse) body.release() })
    if (reply.raw.closed) body.release()
  }

  /** Passes on a body of unknown length; from UNCOUNTED_BODY on only once there is memory for the largest. */
  #count (request: FastifyRequest, reply: FastifyReply, payload: Readable): Readable {
    let bytes = 0
    const passOn = (chunk: Buffer, done: TransformCallback) => {
      stream.receivedEncodedLength += chunk.length
      done(null, chunk)
    }
    const stream = Object.assign(new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        bytes += chunk.length
        if (bytes <= UNCOUNTED_BODY || request.heldBody) return passOn(chunk, done)
        this.#take(request, reply, this.maxBytes).then(() => passOn(chunk, done), done)
      }
    }), { receivedEncodedLength: 0 })
    payload.on('error', error => stream.destroy(error))
    return payload.pipe(stream)
  }
}

/** Does what needs a request's body, and drops the body: a stream that answers may last for an hour. */
export async function consumeBody<T> (request: FastifyRequest, use: () => Promise<T>): Promise<T> {
  const { heldBody } = request
  if (heldBody) heldBody.isInUse = true
  try {
    return await use()
  } finally {
    request.body = undefined
    heldBody?.release()
  }
}
