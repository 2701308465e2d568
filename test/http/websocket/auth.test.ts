import t, { type Test } from 'tap'
import { signAccessToken } from '../../../src/auth/access-token.js'
import { delta, ending, openStream, say } from '../../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, DEMO_USER, JWT_SECRET, OTHER_USER, type Service, startService } from '../../support/helper.js'
import { connect, execution, login, type SocketClient, tickAll } from '../../support/socket-client.js'

const FORMS: Record<string, (t: Test, service: Service, token: string) => Promise<SocketClient>> = {
  'the URL': (t, service, token) => connect(t, service, { token }),
  'the subprotocol': (t, service, token) => connect(t, service, { protocols: ['jeesi', `bearer.${token}`] }),
  async 'the first message' (t, service, token) {
    const client = await connect(t, service)
    client.send({ type: 'auth', token })
    return client
  }
}

t.test('a WebSocket client says who it is', async t => {
  const service = await startService(t)
  const { gateway } = service
  /** All that were shown to the service. */
  const tokens = [DEMO_KEY]
  t.beforeEach(() => { gateway.reply = say('Hello', ' world') })

  for (const [form, open] of Object.entries(FORMS)) {
    t.test(`with a token in ${form}, and may run agents`, async t => {
      const token = await signAccessToken(JWT_SECRET, OTHER_USER)
      tokens.push(token)
      const client = await open(t, service, token)
      t.match(await client.next('connected'), { type: 'connected', message: String, userId: OTHER_USER })
      t.equal(client.ws.protocol, form === 'the subprotocol' ? 'jeesi' : '', 'the token is never the protocol that is agreed on')
      client.send(execution())
      t.match(await client.next('agent_execution_complete'), { response: 'Hello world' })
    })

    t.test(`and is refused for a bad token in ${form}`, async t => {
      const bad = {
        'signed with another secret': await signAccessToken('another secret that nobody knows of', DEMO_USER),
        expired: await signAccessToken(JWT_SECRET, DEMO_USER, '-1h'),
        'no token at all': 'garbage-that-is-no-token',
        'an unknown API key': 'jeesi_no_such_key'
      }
      for (const [why, token] of Object.entries(bad)) {
        tokens.push(token)
        const client = await open(t, service, token)
        t.match(await client.closed, { code: 1008, reason: /\w+ \w+/ }, why)
        t.same(client.messages, [], 'nothing is told but the reason')
      }
    })
  }

  t.test('with an API key as well', async t => {
    const client = await connect(t, service, { token: DEMO_KEY })
    t.match(await client.next('connected'), { userId: DEMO_USER })
  })

  t.test('and is refused for an empty token', async t => {
    const client = await connect(t, service, { token: '' })
    t.match(await client.closed, { code: 1008, reason: /\w+ \w+/ })
    const beside = await connect(t, service, { token: '', protocols: ['jeesi', `bearer.${DEMO_KEY}`] })
    t.match(await beside.next('connected'), { userId: DEMO_USER }, 'unless a good one is beside it')
  })

  t.test('within ten seconds, or is closed', async t => {
    const before = Date.now()
    const client = await connect(t, service)
    tickAll(service, before + 9_999)
    t.match(await client.roundTrip(), { type: 'pong' }, 'there is still time')
    tickAll(service, Date.now() + 10_001)
    t.match(await client.closed, { code: 1008, reason: /\w+ \w+/ })
  })

  t.test('before it may run agents, or is told so and closed', async t => {
    const before = gateway.calls.length
    const client = await connect(t, service)
    client.send(execution({ requestId: 'early' }))
    t.match(await client.next('agent_execution_error'), { code: 'unauthorized', error: String, requestId: 'early' })
    t.match(await client.closed, { code: 1008, reason: /before a token/ })
    t.equal(gateway.calls.length, before)
  })

  t.test('and then its time is no longer counted', async t => {
    const client = await connect(t, service)
    client.send({ type: 'auth', token: await signAccessToken(JWT_SECRET, DEMO_USER) })
    await client.next('connected')
    tickAll(service, Date.now() + 10_001)
    t.match(await client.roundTrip(), { type: 'pong' })
  })

  t.test('and need not wait for the answer before it sends what is large', async t => {
    const messages = [{ role: 'user', content: 'Hi'.repeat(500_000) }]
    for (const open of [FORMS['the URL']!, FORMS['the first message']!]) {
      const client = await open(t, service, DEMO_KEY)
      client.send(execution({ messages }))
      t.match(await client.next('agent_execution_complete'), { response: 'Hello world' })
    }
  })

  t.test('and cannot become another user', async t => {
    const client = await login(t, service)
    client.send({ type: 'auth', token: await signAccessToken(JWT_SECRET, OTHER_USER) })
    t.match(await client.closed, { code: 1008, reason: /another user/ })
    t.same(client.messages.map(({ type }) => type), ['connected'])
  })

  t.test('and may say so again with a newer token', async t => {
    const client = await login(t, service)
    client.send({ type: 'auth', token: await signAccessToken(JWT_SECRET, DEMO_USER, '24h') })
    t.match(await client.next('connected'), { userId: DEMO_USER })
  })

  t.test('and no log has it, nor the URL that held it', async t => {
    await service.app.close()
    const logs = service.logs.join('')
    t.match(logs, '[AGENT-EXECUTE] WebSocket agent_execute', 'what was done is in the log')
    t.notMatch(logs, 'token=')
    t.notMatch(logs, 'bearer.')
    t.same(tokens.filter(token => logs.includes(token)), [])
    t.ok(tokens.length > 12)
  })
})

t.test('when the token of a connection expires', async t => {
  const service = await startService(t)
  const { gateway } = service
  t.beforeEach(() => { gateway.reply = say('Hello', ' world') })

  /** A connection whose token of half an hour is an hour old; the clock stands still from there on. */
  async function expire (t: Test, client: SocketClient): Promise<number> {
    const later = Date.now() + 3_600_000
    t.intercept(Date, 'now', { value: () => later })
    tickAll(service, later)
    t.same(await client.next('auth_required'), { type: 'auth_required' })
    return later
  }
  const loginShortly = async (t: Test) => login(t, service, DEMO_USER, { token: await signAccessToken(JWT_SECRET, DEMO_USER, '30m') })

  t.test('nothing is said a moment before', async t => {
    const client = await loginShortly(t)
    tickAll(service, Date.now() + 1_790_000)
    await client.roundTrip()
    t.same(client.messages.map(({ type }) => type), ['connected', 'pong'])
  })

  t.test('a run under way goes on to its end, and no other begins', async t => {
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => { response.end(delta('lo') + ending()) }
    }
    const client = await loginShortly(t)
    client.send(execution())
    await client.next('agent_chunk', { content: 'Hel' })
    await expire(t, client)
    const before = gateway.calls.length
    client.send(execution({ requestId: 'late' }))
    t.match(await client.next('agent_execution_error'), { code: 'unauthorized', error: String, requestId: 'late' })
    t.equal(gateway.calls.length, before)
    finish()
    t.match(await client.next('agent_execution_complete'), { response: 'Hello' })
  })

  t.test('no run begins even before the client was told', async t => {
    const client = await loginShortly(t)
    const later = Date.now() + 3_600_000
    t.intercept(Date, 'now', { value: () => later })
    client.send(execution({ requestId: 'late' }))
    t.match(await client.next('agent_execution_error'), { code: 'unauthorized', requestId: 'late' })
  })

  t.test('the client is told once, and closed after sixty seconds', async t => {
    const client = await loginShortly(t)
    const later = await expire(t, client)
    tickAll(service, later + 1_000)
    tickAll(service, later + 59_999)
    t.match(await client.roundTrip(), { type: 'pong' }, 'there is still time')
    t.same(client.messages.filter(({ type }) => type === 'auth_required').length, 1)
    tickAll(service, later + 60_000)
    t.match(await client.closed, { code: 1008, reason: /expired/ })
  })

  t.test('a newer token of the same user sets all right', async t => {
    const client = await loginShortly(t)
    const later = await expire(t, client)
    client.send({ type: 'auth', token: await signAccessToken(JWT_SECRET, DEMO_USER) })
    t.match(await client.next('connected'), { userId: DEMO_USER })
    tickAll(service, later + 60_001)
    client.send(execution())
    t.match(await client.next('agent_execution_complete'), { response: 'Hello world' })
  })

  t.test('another user\'s token does not', async t => {
    const client = await loginShortly(t)
    await expire(t, client)
    client.send({ type: 'auth', token: await signAccessToken(JWT_SECRET, OTHER_USER) })
    t.match(await client.closed, { code: 1008, reason: /another user/ })
  })

  t.test('nor does one that has expired too', async t => {
    const client = await loginShortly(t)
    await expire(t, client)
    client.send({ type: 'auth', token: await signAccessToken(JWT_SECRET, DEMO_USER, '40m') })
    t.match(await client.closed, { code: 1008, reason: /expired/ })
  })
})

t.test('a WebSocket client with a key that may be seen', async t => {
  const service = await startService(t)
  const ORIGIN = 'https://shop.example'
  const body = { name: 'Shop', publishable: true, agentIds: [DEMO_AGENT], origins: [ORIGIN], requestsPerDay: 20 }
  const { body: { key } } = await service.request('POST', '/api/keys', { body })
  const meet = async (headers: Record<string, string> = { 'x-api-key': key }) =>
    (await service.request('POST', '/api/visitors', { headers: { ...headers, origin: ORIGIN } })).body.token as string
  const executed = async (client: SocketClient) => {
    client.send(execution())
    return (await client.next('agent_execution_complete')).runId as string
  }

  t.test('comes from pages of the key\'s origins alone', async t => {
    for (const origin of ['https://evil.example', undefined]) {
      const client = await connect(t, service, { token: key, origin })
      t.match(await client.closed, { code: 1008, reason: /origin/ })
    }
    const client = await connect(t, service, { token: key, origin: ORIGIN })
    t.match(await client.next('connected'), { userId: DEMO_USER })
    await executed(client)
  })

  t.test('follows and cancels its own runs alone, by a visitor\'s token in each place', async t => {
    const token = await meet()
    const ann = await connect(t, service, { token, origin: ORIGIN })
    const runId = await executed(ann)
    const again = await connect(t, service, { protocols: ['jeesi', `bearer.${token}`], origin: ORIGIN })
    again.send({ type: 'resume', runId })
    t.match(await again.next('agent_execution_complete'), { runId })
    for (const other of [await meet(), key, DEMO_KEY]) {
      const client = await connect(t, service, { origin: ORIGIN })
      client.send({ type: 'auth', token: other })
      await client.next('connected')
      for (const type of ['resume', 'cancel']) {
        client.send({ type, runId })
        t.match(await client.next('agent_execution_error'), { code: 'run_not_found', runId })
      }
    }
  })

  t.test('renews its token, and becomes no other visitor, key or session', async t => {
    const token = await meet()
    const client = await connect(t, service, { token, origin: ORIGIN })
    await client.next('connected')
    client.send({ type: 'auth', token: await meet({ authorization: `Bearer ${token}` }) })
    await client.next('connected')
    for (const other of [await meet(), DEMO_KEY, await signAccessToken(JWT_SECRET, DEMO_USER)]) {
      const changing = await connect(t, service, { token, origin: ORIGIN })
      await changing.next('connected')
      changing.send({ type: 'auth', token: other })
      t.match(await changing.closed, { code: 1008, reason: /another/ })
    }
  })
})
