import { pipeline, Readable } from 'node:stream'
import { constants, createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { Dispatcher } from 'undici'
import type { Deadline } from '../../../lib/deadline.js'
import { ToolError } from '../tool.js'
import { explainFailure } from './failure.js'

interface Limits { host: string, maxBytes: number, deadline: Deadline }

/**
 * Reads the body of a response, decompressed while it arrives, up to a limit. Closing the stream, for whatever reason,
 * closes the connection and clears the deadline.
 */
export function readBody (answer: Dispatcher.ResponseData, limits: Limits): Readable {
  return Readable.from(readChunks(answer, limits), { objectMode: false }).once('close', () => {
    // Destroying a body before its end is an error of the connection, which nothing needs to handle.
    answer.body.on('error', () => {}).destroy()
    limits.deadline.clear()
  })
}

async function * readChunks (answer: Dispatcher.ResponseData, { host, maxBytes, deadline }: Limits): AsyncGenerator<Buffer, void, void> {
  let bytes = 0
  try {
    for await (const chunk of decode(answer, { host, maxBytes })) {
      bytes += chunk.length
      refuseBeyond(bytes, { host, maxBytes })
      yield chunk
    }
  } catch (error) {
    throw explainFailure(error, host, deadline.signal)
  }
}

function refuseBeyond (bytes: number, { host, maxBytes }: Pick<Limits, 'host' | 'maxBytes'>): void {
  if (bytes > maxBytes) throw new ToolError(`${host} sent more than the ${maxBytes} bytes that are read of an answer.`)
}

function decode ({ headers, body }: Dispatcher.ResponseData, limits: Pick<Limits, 'host' | 'maxBytes'>): Readable {
  const { host } = limits
  const encoding = String(headers['content-encoding'] ?? '').trim().toLowerCase()
  if (encoding === '' || encoding === 'identity') return body
  const decoder = createDecoder(encoding)
  if (!decoder) throw new ToolError(`${host} sent its answer in an encoding that was not asked for.`)
  // Errors reach the reader through the decoder. Compressed bytes count too: those of empty members become nothing.
  return pipeline(body, async function * (chunks: AsyncIterable<Buffer>) {
    let bytes = 0
    for await (const chunk of chunks) {
      bytes += chunk.length
      refuseBeyond(bytes, limits)
      yield chunk
    }
  }, decoder, () => {})
}

/** Flushes each chunk as it arrives, and accepts a body that ends early. */
function createDecoder (encoding: string) {
  const zlib = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH }
  switch (encoding) {
    case 'gzip':
    case 'x-gzip': return createGunzip(zlib)
    case 'deflate': return createInflate(zlib)
    case 'br': return createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH, finishFlush: constants.BROTLI_OPERATION_FLUSH })
    default: return undefined
  }
}
