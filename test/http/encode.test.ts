import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import type { Bytes } from '../../src/executor/events/event-log.js'
import { toHttpChunk, toTextFrame } from '../../src/http/bytes.js'
import { encodeSseChunk } from '../../src/http/sse/encode.js'
import { encodeSocket } from '../../src/http/websocket/encode.js'
import { often } from '../support/scope.js'

const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', '\u0000', '\u007f', '\u2028', 'é', '😀') }))

/** What a socket is given of it. */
function onTheWire (bytes: Bytes): Buffer {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
}

/** The messages that a client reads of frames that a server wrote past its library. */
async function receive (frames: Buffer): Promise<string[]> {
  const messages: string[] = []
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  server.on('connection', (socket, { socket: connection }) => connection.write(frames, () => socket.close(1000)))
  await once(server, 'listening')
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  client.on('message', data => messages.push(String(data)))
  const [code] = await once(client, 'close')
  server.close()
  return code === 1000 ? messages : [`closed with ${code}`]
}

t.test('a chunk of text is encoded as JSON would be', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(text, content => {
    assert.deepEqual(onTheWire(encodeSseChunk(7, { type: 'chunk', content })), onTheWire(toHttpChunk(`id: 7\ndata: ${JSON.stringify({ type: 'chunk', content })}\n\n`)))
    const expected = JSON.stringify({ type: 'agent_chunk', content, runId: 'a', seq: 7 })
    assert.deepEqual(onTheWire(encodeSocket(7, { type: 'chunk', content }, 'a')), onTheWire(toTextFrame(expected)))
  }), { numRuns: often(1000) }))
})

t.test('a chunk of HTTP has its length in bytes before it', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(text, content => {
    const bytes = Buffer.from(content)
    assert.deepEqual(onTheWire(toHttpChunk(content)), Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]))
  }), { numRuns: often(1000) }))
})

t.test('a WebSocket client reads each frame as the message it was, of any length and script', async t => {
  const texts = [0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 70_000].flatMap(length => ['x'.repeat(length), 'é'.repeat(length), '😀'.repeat(length / 2)])
  const received = await receive(Buffer.concat(texts.map(text => onTheWire(toTextFrame(text)))))
  t.equal(received.length, texts.length)
  for (const [index, text] of texts.entries()) t.ok(received[index] === text, `${text.slice(0, 1)} × ${text.length}`)
})
