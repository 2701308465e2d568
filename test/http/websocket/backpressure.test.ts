import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import { delta, ending, openStream } from '../../support/doubles/gateway.js'
import { endOf, startService } from '../../support/helper.js'
import { ended, execution, lastPeer, login, textOfRun } from '../../support/socket-client.js'

const MIB = 1024 * 1024

t.test('a client that stops reading', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '1000000' })
  const { gateway } = service

  t.test('lets the run end and the server hold little, and has the whole text when it reads again', async t => {
    const piece = 'All work and no play makes a dull test. '.repeat(1600)
    const count = 384
    gateway.reply = async response => {
      openStream(response)
      for (let i = 0; i < count; i++) {
        if (!response.write(delta(piece))) await once(response, 'drain')
      }
      response.end(ending())
    }
    const client = await login(t, service)
    const { peer } = lastPeer(service)
    client.send(execution())
    const { runId } = await client.next('agent_execution_started')
    client.ws.pause()
    await ended(service, runId)
    t.ok(peer.bufferedAmount > 0, 'the client is behind')
    t.ok(peer.bufferedAmount < MIB, `${peer.bufferedAmount} of ${piece.length * count} bytes are held for it`)
    t.match(await endOf(service, runId), { status: 'succeeded' })
    client.ws.resume()
    const { response } = await client.next('agent_execution_complete')
    t.ok(response === piece.repeat(count))
    t.ok(textOfRun(client, runId) === response)
    t.equal(peer.bufferedAmount, 0)
  })

  t.test('is not answered without end while it goes on asking', async t => {
    const client = await login(t, service)
    const { peer } = lastPeer(service)
    const { _socket: socket } = peer as unknown as { _socket: Socket }
    const question = JSON.stringify({ type: 'no_such_type', requestId: 'x'.repeat(200) })
    client.ws.pause()
    for (let i = 0; i < 60_000; i++) client.send(question)
    // Until the server reads no more of it, be it for lack of will or of messages.
    for (let before = -1; before < socket.bytesRead;) {
      before = socket.bytesRead
      for (let i = 0; i < 20; i++) await service.request('GET', '/health')
    }
    t.ok(peer.bufferedAmount < MIB, `${peer.bufferedAmount} bytes are held for it`)
  })
})
