import { EventEmitter, once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import t from 'tap'
import { holdMemory, takeMemory } from '../../src/http/arriving-memory.js'
import { MemoryShare } from '../../src/lib/memory/memory-share.js'

const LIMITS = { ofCaller: 1, inAll: 2 }
const BUSY = { code: 'server_busy', statusCode: 503, retryAfter: 5 }

t.test('a body waits for the memory of those before it', async t => {
  const share = new MemoryShare(100)
  const first = await takeMemory(share, 'a', 100, new EventEmitter(), LIMITS)
  const second = takeMemory(share, 'b', 100, new EventEmitter(), LIMITS)
  first.release()
  const hold = await second
  t.equal(share.used, 100)
  hold.release()
})

t.test('what is more than may wait is refused, for a time', async t => {
  const share = new MemoryShare(100)
  const first = await takeMemory(share, 'a', 100, new EventEmitter(), LIMITS)
  const waiting = [takeMemory(share, 'b', 1, new EventEmitter(), LIMITS), takeMemory(share, 'c', 1, new EventEmitter(), LIMITS)]
  await t.rejects(takeMemory(share, 'b', 1, new EventEmitter(), LIMITS), BUSY, 'of the caller')
  await t.rejects(takeMemory(share, 'd', 1, new EventEmitter(), LIMITS), BUSY, 'in all')
  first.release()
  for (const hold of await Promise.all(waiting)) hold.release()
})

t.test('a client that has gone waits no longer', async t => {
  const share = new MemoryShare(100)
  const first = await takeMemory(share, 'a', 100, new EventEmitter(), LIMITS)
  const connection = new EventEmitter()
  const waiting = takeMemory(share, 'b', 100, connection, LIMITS)
  connection.emit('close')
  await t.rejects(waiting, BUSY)
  first.release()
  t.equal(share.used, 0)
  t.equal(connection.listenerCount('close'), 0)
})

t.test('memory for an answer is held until the client has taken it, and a client that does not is cut off', async t => {
  const share = new MemoryShare(100)
  const answered = new EventEmitter()
  const server = createServer(async (request, response: ServerResponse) => {
    await holdMemory(share, 'a', 50, response, LIMITS, request.url === '/late' ? 50 : 60_000)
    response.end('x'.repeat(50_000_000))
    response.once('close', () => answered.emit('closed'))
    answered.emit('held')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  for (const [path, reads] of [['/late', false], ['/', true]] as const) {
    const [held, closed] = [once(answered, 'held'), once(answered, 'closed')]
    const client = connect(port, '127.0.0.1').on('error', () => {})
    client.write(`GET ${path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n`)
    await held
    t.equal(share.used, 50)
    if (reads) client.resume()
    await closed
    t.equal(share.used, 0, path)
    client.destroy()
  }
})
