import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** The headers by which a request offers to go on in another protocol (RFC 9110 7.8, RFC 7540 3.2.1), and their names in `Connection`. */
const OFFERS = new Set(['upgrade', 'http2-settings'])

/** Whether a request that wants to go on in another protocol means a WebSocket. */
export function isWebSocket ({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.trim().toLowerCase() === 'websocket'
}

/**
 * Declines an offer of a protocol that the service does not speak, such as `h2c`: the request is answered as if it had made
 * none, as RFC 9110 wants it. Node has taken its parser from the connection after the head, so the head is put back without
 * the offer, and the connection is given to the server anew.
 * @param rest what has arrived after the head.
 */
export function declineUpgrade (server: Server, request: IncomingMessage, socket: Socket, rest: Buffer): void {
  const { _httpMessage: answer } = socket as Socket & { _httpMessage?: ServerResponse | null }
  // Requests before this one on the same connection are answered first; until then nobody listens for its errors.
  if (answer) {
    const destroy = () => socket.destroy()
    socket.on('error', destroy)
    answer.once('close', () => {
      socket.off('error', destroy)
      declineUpgrade(server, request, socket, rest)
    })
  } else if (!socket.destroyed) {
    socket.unshift(Buffer.concat([headWithoutOffer(request), rest]))
    server.emit('connection', socket)
  }
}

function headWithoutOffer ({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  let head = `${method} ${url} HTTP/${httpVersion}\r\n`
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    const isConnection = name.toLowerCase() === 'connection'
    const value = isConnection ? withoutOffers(rawHeaders[at + 1]!) : rawHeaders[at + 1]!
    if (!OFFERS.has(name.toLowerCase()) && !(isConnection && value === '')) head += `${name}: ${value}\r\n`
  }
  return Buffer.from(`${head}\r\n`, 'latin1')
}

function withoutOffers (connection: string): string {
  return connection.split(',').map(option => option.trim()).filter(option => !OFFERS.has(option.toLowerCase())).join(', ')
}
