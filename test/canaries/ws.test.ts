import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'

t.test('ws reads the size limit of a connection anew for every frame', async t => {
  const http = createServer().listen(0, '127.0.0.1')
  const server = new WebSocketServer({ server: http, maxPayload: 10_000, allowSynchronousEvents: false })
  t.teardown(() => { http.close() })
  await once(http, 'listening')
  const client = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`)
  t.teardown(() => client.terminate())
  const [peer] = await once(server, 'connection')
  peer.on('error', () => {})
  peer._receiver._maxPayload = 100
  if (client.readyState !== client.OPEN) await once(client, 'open')
  const received = once(peer, 'message')
  client.send('x'.repeat(100))
  await received
  peer._receiver._maxPayload = 200
  const larger = once(peer, 'message')
  client.send('x'.repeat(200))
  await larger
  client.send('x'.repeat(201))
  const [code] = await once(client, 'close')
  t.equal(code, 1009)
})
