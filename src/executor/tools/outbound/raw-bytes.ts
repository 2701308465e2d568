import type { Socket } from 'node:net'
import { ToolError } from '../tool.js'

/**
 * Bytes on the wire of one response, with its heads, the extensions of its chunks, and the records of TLS: more than
 * twice the largest body that is read.
 */
const MAX_RAW_BYTES = 10 * 1024 * 1024

/**
 * Closes a socket whose server sends more than a response may have, even if nothing of it reaches the body. A response
 * begins after something was written.
 */
export function limitRawBytes (socket: Socket, host: string, max = MAX_RAW_BYTES): void {
  let written = socket.bytesWritten
  let seen = socket.bytesRead
  let begin = seen
  socket.on('readable', () => {
    if (socket.bytesWritten !== written) {
      written = socket.bytesWritten
      begin = seen
    }
    seen = socket.bytesRead
    if (seen - begin > max) socket.destroy(new ToolError(`${host} sent more than the ${max} bytes that are read of a connection.`))
  })
}
