import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import { delta, hang, openStream } from '../../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, DEMO_USER, endOf, startService } from '../../support/helper.js'
import { openRaw } from '../../support/raw-http.js'
import { connect, execution, lastPeer, login } from '../../support/socket-client.js'
import { until } from '../../support/until.js'

t.test('the messages of a WebSocket', async t => {
  const service = await startService(t)

  t.test('a ping is answered with a pong and the time', async t => {
    const client = await login(t, service)
    const { type, timestamp } = await client.roundTrip()
    t.equal(type, 'pong')
    t.equal(new Date(timestamp).toISOString(), timestamp)
  })

  const BAD: Record<string, [string | Buffer | object, string]> = {
    'is not JSON': ['Hello', 'invalid_json'],
    'is empty': ['', 'invalid_json'],
    'is cut off': ['{"type":"ping"', 'invalid_json'],
    'is binary': [Buffer.from('{"type":"ping"}'), 'bad_request'],
    'is null': ['null', 'bad_request'],
    'is a number': ['5', 'bad_request'],
    'is a list': ['[{"type":"ping"}]', 'bad_request'],
    'is a string': ['"ping"', 'bad_request'],
    'has no type': [{}, 'bad_request'],
    'has a type that is no string': [{ type: ['ping'] }, 'bad_request'],
    'has an unknown type': [{ type: 'agent_explode' }, 'bad_request'],
    'has the type __proto__': [{ type: '__proto__' }, 'bad_request'],
    'has the type constructor': [{ type: 'constructor' }, 'bad_request'],
    'has the type toString': [{ type: 'toString' }, 'bad_request'],
    'has its type in its prototype': ['{"__proto__":{"type":"ping"}}', 'bad_request'],
    'lacks the agent': [execution({ agentId: undefined }), 'bad_request'],
    'names an agent by no uuid': [execution({ agentId: '1; drop table agents' }), 'bad_request'],
    'lacks the conversation': [execution({ messages: undefined }), 'bad_request'],
    'has an empty conversation': [execution({ messages: [] }), 'bad_request'],
    'has a conversation that is none': [execution({ messages: 'Hi' }), 'bad_request'],
    'has a message with an unknown role': [execution({ messages: [{ role: 'root', content: 'Hi' }] }), 'bad_request'],
    'has a message whose content is a number': [execution({ messages: [{ role: 'user', content: 5 }] }), 'bad_request'],
    'has a requestId that is a number': [execution({ requestId: 5 }), 'bad_request'],
    'has an idempotency key that is empty': [execution({ idempotencyKey: '' }), 'bad_request'],
    'has an idempotency key that no header could hold': [execution({ idempotencyKey: 'a\nb' }), 'bad_request'],
    'authenticates without a token': [{ type: 'auth' }, 'bad_request'],
    'authenticates with a token that is a number': [{ type: 'auth', token: 5 }, 'bad_request']
  }

  t.test('one that is bad is answered with an error, and the connection stays', async t => {
    const client = await login(t, service)
    for (const [what, [message, code]] of Object.entries(BAD)) {
      client.send(message)
      const { error, ...rest } = await client.next('error')
      t.match(rest, { type: 'error', code }, `one that ${what}`)
      t.match(error, /^[A-Za-z]\S* .*\.$/, `a sentence for people: ${error}`)
      t.match(await client.roundTrip(), { type: 'pong' })
    }
    t.equal(service.gateway.calls.length, 0, 'no model was asked')
  })

  t.test('the first that is bad before authentication is answered, and closes the connection', async t => {
    for (const [what, [message, code]] of Object.entries(BAD)) {
      const client = await connect(t, service)
      t.match(await client.roundTrip(), { type: 'pong' })
      client.send(message)
      client.send({ type: 'ping' })
      t.match(await client.next('error'), { code }, `one that ${what}`)
      t.match(await client.closed, { code: 1008, reason: /before a token/ })
      t.same(client.messages.map(({ type }) => type), ['pong', 'error'], 'what comes after it is not answered')
    }
  })

  t.test('before authentication have 16 KB at the most', async t => {
    const client = await connect(t, service)
    const padded = (length: number) => `{"type":"ping","x":"${'x'.repeat(length)}"}`
    client.send(padded(16_000))
    t.match(await client.next('pong'), { type: 'pong' })
    client.send(padded(17_000))
    t.match(await client.closed, { code: 1009, reason: 'a message has 16384 bytes at the most before a token' })
  })

  t.test('many that are refused close the connection, which a few do not', async t => {
    const client = await login(t, service)
    for (let i = 0; i < 100; i++) client.send('Hello')
    for (let i = 0; i < 100; i++) await client.next('error')
    t.match(await client.roundTrip(), { type: 'pong' })
    client.send('Hello')
    t.match(await client.closed, { code: 1008, reason: /refused/ }, 'a tenth of what a caller may send')
  })

  t.test('many at once are all answered', async t => {
    const client = await login(t, service)
    for (let i = 0; i < 300; i++) client.send({ type: 'ping' })
    for (let i = 0; i < 300; i++) await client.next('pong')
    t.equal(client.messages.filter(({ type }) => type === 'pong').length, 300)
  })
})

t.test('a message over the size limit closes its connection with 1009, and no other', async t => {
  const service = await startService(t, { BODY_LIMIT: '2000' })
  const bystander = await login(t, service)
  const frame = (size: number) => JSON.stringify({ type: 'ping', padding: 'x'.repeat(size) })
  for (const size of [2_000, 100_000, 5_000_000]) {
    const client = await login(t, service)
    client.send(frame(1_900))
    t.match(await client.next('pong'), { type: 'pong' }, 'one within the limit is read')
    client.send(frame(size))
    t.match(await client.closed, { code: 1009, reason: 'a message has 2000 bytes at the most' }, `one of ${size} bytes is not`)
    t.match(await bystander.roundTrip(), { type: 'pong' })
  }
})

t.test('a client that goes on to send what is too large reads why it is closed, and is not cut', async t => {
  const service = await startService(t, { BODY_LIMIT: '2000' })
  const socket = await openRaw(t, service.url)
  const said: Buffer[] = []
  socket.on('data', piece => said.push(piece))
  const broke = new Promise<Error | undefined>(resolve => socket.on('error', resolve).on('end', () => resolve(undefined)))
  socket.write(`GET /ws?token=${DEMO_KEY} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  while (!Buffer.concat(said).includes('"connected"')) await once(socket, 'data')
  // A text of 20 MB, masked by zeros: the end of it is on its way when the service refuses its beginning.
  const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  head.writeBigUInt64BE(20_000_000n, 2)
  socket.write(Buffer.concat([head, Buffer.alloc(20_000_000, 'x')]))
  t.equal(await broke, undefined)
  t.ok(Buffer.concat(said).includes('\x03\xf1a message has 2000 bytes at the most', 0, 'latin1'), 'the code 1009 and a reason')
})

t.test('a client whose frames are none reads that too, and is told nothing else', async t => {
  const service = await startService(t)
  for (const [frame, code] of [[[0xf1, 0x80, 0, 0, 0, 0], 1002], [[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007]] as const) {
    const client = await login(t, service)
    const { _socket: socket } = client.ws as unknown as { _socket: Socket }
    socket.write(Buffer.from(frame))
    t.match(await client.closed, { code })
  }
})

t.test('messages count as requests of their user', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '5' })
  const client = await login(t, service)
  for (let i = 0; i < 5; i++) t.match(await client.roundTrip(), { type: 'pong' })
  for (const message of [{ type: 'ping' }, 'Hello']) {
    client.send(message)
    t.match(await client.next('error'), { code: 'rate_limited', error: String })
  }
  client.send(execution())
  client.send({ type: 'ping' })
  await client.next('error')
  t.equal(service.gateway.calls.length, 0, 'no model was asked')
  t.equal((await service.request('GET', '/api/credits')).status, 429, 'over HTTP as well')
  t.equal(client.ws.readyState, client.ws.OPEN, 'the connection stays')
})

t.test('protocol pings', async t => {
  const service = await startService(t)

  t.test('keep a peer that answers them', async t => {
    const client = await login(t, service)
    const { session } = lastPeer(service)
    for (let i = 0; i < 5; i++) {
      const pinged = once(client.ws, 'ping')
      session.ping()
      await pinged
      t.match(await client.roundTrip(), { type: 'pong' })
    }
  })

  t.test('end a peer that misses two', async t => {
    const client = await login(t, service, DEMO_USER, { autoPong: false })
    const { session, peer } = lastPeer(service)
    session.ping()
    session.ping()
    t.match(await client.roundTrip(), { type: 'pong' }, 'two may still be on their way')
    const closed = once(peer, 'close')
    session.ping()
    await closed
    t.match(await client.closed, { code: 1006 })
    t.equal(service.app.sessions.has(session), false, 'and it is forgotten')
  })

  t.test('forgive a peer that answers in between', async t => {
    const client = await login(t, service, DEMO_USER, { autoPong: false })
    const { session } = lastPeer(service)
    for (let i = 0; i < 3; i++) {
      session.ping()
      session.ping()
      client.ws.pong()
      t.match(await client.roundTrip(), { type: 'pong' })
    }
  })
})

t.test('when the server closes', async t => {
  const service = await startService(t)
  service.gateway.reply = hang('Hel')
  const [running, idle, nobody] = [await login(t, service), await login(t, service), await connect(t, service)]
  running.send(execution({ requestId: 'mine' }))
  const { runId } = await running.next('agent_chunk')
  await service.app.close()
  for (const client of [running, idle, nobody]) t.match(await client.closed, { code: 1012, reason: /\w+ \w+/ })
  t.match(await running.next('agent_reconnect'), { runId, after: 2 }, 'where to go on was told before')
})

t.test('a client that does not answer the goodbye does not keep the server from closing', async t => {
  const service = await startService(t)
  const client = await login(t, service)
  client.ws.pause()
  await service.app.close()
  t.equal(await until(async () => service.app.websocketServer.clients.size, size => size === 0), 0)
})

t.test('a plain request for /ws is answered as every address at which there is nothing', async t => {
  const service = await startService(t)
  const { status, body } = await service.request('GET', '/ws')
  t.equal(status, 404)
  t.match(body, { error: String, code: 'not_found', statusCode: 404, requestId: String })
})

t.test('a run that was begun over a WebSocket is the same as any', async t => {
  const service = await startService(t)
  service.gateway.reply = response => { openStream(response).write(delta('Hel')) }
  const client = await login(t, service)
  client.send(execution())
  const { runId } = await client.next('agent_chunk')
  const { body } = await service.request('GET', `/api/runs/${runId}`)
  t.match(body, { runId, agentId: DEMO_AGENT, status: 'running', response: 'Hel' })
  await service.app.executor.cancel(runId)
  t.match(await client.next('agent_cancelled'), { runId })
  t.match(await endOf(service, runId), { status: 'cancelled' })
})
