import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { parseConfig } from '../../src/config/config.js'
import { listen } from '../../src/process/listen.js'

const OUTSIDE = Object.values(networkInterfaces()).flat().find(address => address?.family === 'IPv4' && !address.internal)?.address

function createApp (t: Test): FastifyInstance {
  const app = Fastify()
  app.get('/', async request => ({ address: request.socket.remoteAddress }))
  t.teardown(() => app.close())
  return app
}

/** The answer of an address; undefined if nothing listens there. */
async function ask (host: string, port: string): Promise<{ address: string } | undefined> {
  return fetch(`http://${host}:${port}/`).then(response => response.json() as Promise<{ address: string }>, () => undefined)
}

async function occupy (t: Test, host: string, port = 0): Promise<Server | undefined> {
  const server = createServer().listen(port, host)
  t.teardown(() => { server.close() })
  return once(server, 'listening').then(() => server, () => undefined)
}

t.test('in embedded mode the service listens on the loopback addresses of both families, and on no other', async t => {
  const hasIpv6 = await occupy(t, '::1') !== undefined
  const app = createApp(t)
  const sockets = new WebSocketServer({ server: app.server })
  sockets.on('connection', socket => socket.close(1000, 'Hello'))
  const url = await listen(app, parseConfig({ PORT: '0' }))
  t.match(url, /^http:\/\/localhost:\d+$/)
  const { port } = new URL(url)
  t.same(await ask('127.0.0.1', port), { address: '127.0.0.1' })
  if (hasIpv6) {
    t.same(await ask('[::1]', port), { address: '::1' })
    const [code, reason] = await once(new WebSocket(`ws://[::1]:${port}/`), 'close')
    t.same([code, String(reason)], [1000, 'Hello'], 'WebSockets too')
  } else t.comment('LEFT OUT: this machine has no ::1')
  if (OUTSIDE) t.equal(await ask(OUTSIDE, port), undefined)
  await app.close()
  for (const host of ['127.0.0.1', '[::1]']) t.equal(await ask(host, port), undefined, 'it ends on both')
})

t.test('a connection to the second address does not hold up the end, and an answer under way comes', async t => {
  if (await occupy(t, '::1') === undefined) return t.comment('LEFT OUT: this machine has no ::1')
  const app = Fastify()
  let answer = () => {}
  const asked = new Promise<void>(resolve => {
    app.get('/slow', () => {
      resolve()
      return new Promise(resolve => { answer = () => resolve({ late: true }) })
    })
  })
  const { port } = new URL(await listen(app, parseConfig({ PORT: '0' })))
  const answering = fetch(`http://[::1]:${port}/slow`)
  await asked
  const closed = app.close()
  answer()
  t.same(await (await answering).json(), { late: true })
  await closed
})

t.test('another program on one of the loopback addresses is told, since callers of localhost could meet it', async t => {
  const other = await occupy(t, '::1')
  if (!other) return t.comment('LEFT OUT: this machine has no ::1')
  const { port } = other.address() as { port: number }
  await t.rejects(listen(createApp(t), parseConfig({ PORT: `${port}` })), { code: 'EADDRINUSE' })
})

t.test('with HOST the service listens where it says', async t => {
  const { port } = new URL(await listen(createApp(t), parseConfig({ PORT: '0', HOST: '::' })))
  t.ok(await ask('127.0.0.1', port))
  if (OUTSIDE) t.ok(await ask(OUTSIDE, port))
  const only = new URL(await listen(createApp(t), parseConfig({ PORT: '0', HOST: '127.0.0.1' })))
  t.equal(await ask('[::1]', only.port), undefined)
})
