import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'

/** Milliseconds. */
const PATIENCE = 20_000

export interface RawAnswer { status: number, headers: Record<string, string>, body: string }

/** Opens a connection on which anything can be sent; it ends with the test. */
export async function openRaw (t: Test, url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.on('error', () => {})
  socket.setTimeout(PATIENCE, () => socket.destroy(new Error('nothing was answered')))
  return socket
}

/** Sends bytes and reads what is answered until the server ends the connection. */
export async function sendRaw (t: Test, url: string, bytes: string): Promise<RawAnswer> {
  const socket = await openRaw(t, url)
  socket.write(bytes)
  return parseRaw(await text(socket))
}

/** The last answer in what a connection has said. */
function parseRaw (raw: string): RawAnswer {
  const [head = '', body = ''] = raw.split(/\r\n\r\n(?!HTTP)/)
  const [first = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
  return { status: Number(first.split(' ')[1]), headers, body }
}
