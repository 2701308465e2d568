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
  const code = await new Promise(resolve => {
    peer._receiver.prependListener('error', (error: { code?: string }) => {
      resolve(error.code)
      peer.close(1009, 'because')
    })
    client.send('x'.repeat(201))
  })
  t.equal(code, 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'and the error of its parser can be heard before its own listener closes')
  const [status, reason] = await once(client, 'close')
  t.equal(status, 1009)
  t.equal(String(reason), 'because')
})
