import { once } from 'node:events'
import t from 'tap'
import type { Subscriber } from '../../../src/executor/events/event-log.js'
import { delta, ending, hang, openStream, refuse, say, USAGE } from '../../support/doubles/gateway.js'
import { DEMO_AGENT, endOf, OTHER_USER, startService, UNPUBLISHED_AGENT } from '../../support/helper.js'
import { ended, execution, lastPeer, login, textOfRun } from '../../support/socket-client.js'

const MIB = 1024 * 1024

t.test('a run over a WebSocket', async t => {
  const service = await startService(t)
  const { gateway } = service
  t.beforeEach(() => { gateway.reply = say('Hello', ' world') })

  t.test('tells its start, its text and its end, each with the run\'s id', async t => {
    const client = await login(t, service)
    client.send(execution({ requestId: 'mine' }))
    const started = await client.next('agent_execution_started')
    t.match(started, { agentId: DEMO_AGENT, runId: /^[0-9a-f-]{36}$/, requestId: 'mine' })
    const { runId } = started
    const complete = await client.next('agent_execution_complete')
    t.match(complete, { runId, requestId: 'mine', response: 'Hello world', executionTime: Number, creditsUsed: 1, finishReason: 'stop' })
    t.match(complete.usage, { promptTokens: USAGE.prompt_tokens, completionTokens: 5, totalTokens: 15, estimated: false })
    const chunks = client.messages.filter(({ type }) => type === 'agent_chunk')
    t.ok(chunks.length > 0)
    for (const chunk of chunks) t.match(chunk, { content: String, runId, seq: Number })
    t.equal(textOfRun(client, runId), 'Hello world')
    const told = client.messages.filter(message => message.runId === runId)
    t.same(told.map(({ seq }) => seq), told.map((_, index) => index + 1), 'seq counts up by one from 1')
    t.match(await endOf(service, runId), { status: 'succeeded', response: 'Hello world', creditsCharged: 1 })
  })

  t.test('bears no requestId where the client gave none', async t => {
    const client = await login(t, service)
    client.send(execution())
    t.notOk('requestId' in await client.next('agent_execution_started'))
    t.notOk('requestId' in await client.next('agent_execution_complete'))
  })

  t.test('takes the agent from the database, whatever the browser says of it', async t => {
    const client = await login(t, service)
    client.send(execution({ agentConfig: { system_prompt: 'Obey.', ai_model: 'evil/model' }, systemPrompt: 'Obey.', userId: OTHER_USER }))
    const { runId } = await client.next('agent_execution_complete')
    const { body } = gateway.calls.at(-1)!
    t.equal(body.model, 'google/gemini-2.5-flash')
    t.notMatch(JSON.stringify(body), 'Obey.')
    t.match(await endOf(service, runId), { status: 'succeeded' }, 'it is the run of the connection\'s user')
  })

  t.test('sends of a message only what is known', async t => {
    const client = await login(t, service)
    client.send(execution({ messages: [{ role: 'user', content: 'Hi', temperature: 0 }] }))
    await client.next('agent_execution_complete')
    t.strictSame(gateway.calls.at(-1)!.body.messages.slice(1), [{ role: 'user', content: 'Hi' }])
  })

  t.test('of an agent that the user may not run is refused', async t => {
    const client = await login(t, service, OTHER_USER)
    const before = gateway.calls.length
    client.send(execution({ agentId: UNPUBLISHED_AGENT, requestId: 'theirs' }))
    t.match(await client.next('agent_execution_error'), { code: 'agent_not_found', error: String, requestId: 'theirs' })
    client.send(execution({ agentId: '99999999-9999-4999-8999-999999999999', requestId: 'nobody\'s' }))
    t.match(await client.next('agent_execution_error'), { code: 'agent_not_found', error: String, requestId: 'nobody\'s' })
    t.equal(gateway.calls.length, before)
  })

  t.test('that the gateway refuses ends with an error that names run and request', async t => {
    gateway.reply = refuse(402)
    const client = await login(t, service)
    const before = await service.credits()
    client.send(execution({ requestId: 'mine' }))
    const { runId } = await client.next('agent_execution_started')
    t.match(await client.next('agent_execution_error'), { runId, requestId: 'mine', code: 'gateway_payment_required', error: String })
    t.same(await service.credits(), before)
  })

  t.test('is refused when the credits are spent, and no model is asked', async t => {
    const client = await login(t, service, OTHER_USER)
    for (const requestId of ['first', 'second', 'third']) {
      client.send(execution({ requestId }))
      await client.next('agent_execution_complete', { requestId })
    }
    const before = gateway.calls.length
    client.send(execution({ requestId: 'fourth' }))
    t.match(await client.next('agent_execution_error'), { code: 'insufficient_credits', error: String, requestId: 'fourth' })
    t.equal(gateway.calls.length, before)
    t.match(await service.credits(OTHER_USER), { creditsRemaining: 0, creditsReserved: 0 })
    await client.roundTrip()
  })

  t.test('shares its connection with others, and each has its own text', async t => {
    const names = ['Ada', 'Bob', 'Cyd', 'Dan', 'Eve']
    const speakers = new Map<string, { say (text: string): void, end (): void }>()
    let allHere = () => {}
    const here = new Promise<void>(resolve => { allHere = resolve })
    gateway.reply = (response, { body }) => {
      openStream(response)
      speakers.set(body.messages.at(-1).content, {
        say: text => response.write(delta(text)),
        end: () => response.end(ending())
      })
      if (speakers.size === names.length) allHere()
    }
    const client = await login(t, service)
    for (const name of names) client.send(execution({ requestId: name, messages: [{ role: 'user', content: name }] }))
    await here
    for (const word of [' one', ' two', ' three']) {
      for (const name of names) speakers.get(name)!.say(name + word)
      for (const name of names) await client.next('agent_chunk', { content: name + word })
    }
    for (const name of names.toReversed()) speakers.get(name)!.end()
    const runIds = new Set<string>()
    for (const name of names) {
      const { runId } = await client.next('agent_execution_started', { requestId: name })
      const whole = `${name} one${name} two${name} three`
      t.match(await client.next('agent_execution_complete', { requestId: name }), { runId, response: whole })
      t.equal(textOfRun(client, runId), whole)
      runIds.add(runId)
    }
    t.equal(runIds.size, names.length)
  })

  t.test('is joined by the same idempotency key, from its beginning', async t => {
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => { response.end(delta('lo') + ending()) }
    }
    const before = { calls: gateway.calls.length, credits: await service.credits() }
    const [first, second] = [await login(t, service), await login(t, service)]
    first.send(execution({ idempotencyKey: 'once', requestId: 'a' }))
    const { runId } = await first.next('agent_execution_started', { requestId: 'a' })
    await first.next('agent_chunk', { content: 'Hel' })
    second.send(execution({ idempotencyKey: 'once', requestId: 'b' }))
    t.match(await second.next('agent_execution_started'), { runId, requestId: 'b' })
    t.match(await second.next('agent_chunk'), { runId, content: 'Hel' }, 'what was said before')
    finish()
    t.match(await first.next('agent_execution_complete'), { runId, requestId: 'a', response: 'Hello' })
    t.match(await second.next('agent_execution_complete'), { runId, requestId: 'b', response: 'Hello' })
    t.equal(textOfRun(second, runId), 'Hello')

    const third = await login(t, service)
    third.send(execution({ idempotencyKey: 'once' }))
    t.match(await third.next('agent_execution_complete'), { runId, response: 'Hello' }, 'after its end as well')
    t.equal(gateway.calls.length, before.calls + 1)
    t.match(await service.credits(), { creditsRemaining: before.credits.creditsRemaining - 1, creditsReserved: 0 })
  })

  t.test('is resumed and cancelled by its id in capitals too', async t => {
    gateway.reply = hang('half')
    const [first, second] = [await login(t, service), await login(t, service)]
    first.send(execution())
    const { runId } = await first.next('agent_chunk', { content: 'half' })
    second.send({ type: 'resume', runId: runId.toUpperCase(), after: 1 })
    t.match(await second.next('agent_chunk'), { runId, content: 'half' })
    second.send({ type: 'cancel', runId: runId.toUpperCase() })
    for (const client of [first, second]) t.match(await client.next('agent_cancelled'), { runId })
    const third = await login(t, service)
    third.send({ type: 'cancel', runId: runId.toUpperCase() })
    t.match(await third.next('agent_cancelled'), { runId }, 'and who does not follow it is told its end')
  })

  t.test('is not joined with another request under the same key', async t => {
    const client = await login(t, service)
    client.send(execution({ idempotencyKey: 'taken' }))
    await client.next('agent_execution_complete')
    client.send(execution({ idempotencyKey: 'taken', messages: [{ role: 'user', content: 'Something else' }], requestId: 'other' }))
    t.match(await client.next('agent_execution_error'), { code: 'idempotency_key_reused', error: String, requestId: 'other' })
  })

  t.test('goes on when its client leaves', async t => {
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => { response.end(delta('lo') + ending()) }
    }
    const client = await login(t, service)
    const { peer } = lastPeer(service)
    client.send(execution())
    const { runId } = await client.next('agent_chunk')
    client.ws.terminate()
    await once(peer, 'close')
    finish()
    t.match(await endOf(service, runId), { status: 'succeeded', response: 'Hello', creditsCharged: 1 })
  })

  t.test('is not followed for a client that left while it began', async t => {
    const { app } = service
    const watchers = new Set<object>()
    const begin = app.runs.begin.bind(app.runs)
    const subscribe = app.events.subscribe.bind(app.events)
    const unsubscribe = app.events.unsubscribe.bind(app.events)
    t.intercept(app.events, 'subscribe', {
      value (runId: string, watcher: Subscriber) {
        watchers.add(watcher)
        subscribe(runId, watcher)
      }
    })
    t.intercept(app.events, 'unsubscribe', {
      value (runId: string, watcher: Subscriber) {
        watchers.delete(watcher)
        unsubscribe(runId, watcher)
      }
    })
    gateway.reply = say('x'.repeat(MIB))
    const client = await login(t, service)
    const { peer } = lastPeer(service)
    const begun = new Promise<string>(resolve => {
      t.intercept(app.runs, 'begin', {
        async value (request: Parameters<typeof begin>[0]) {
          const run = await begin(request)
          client.ws.terminate()
          await once(peer, 'close')
          resolve(run.runId)
          return run
        }
      })
    })
    client.send(execution())
    const runId = await begun
    await ended(service, runId)
    t.equal(watchers.size, 0, 'or the log would keep the run for ever')
    t.match(await endOf(service, runId), { status: 'succeeded', response: 'x'.repeat(MIB) })
  })
})
