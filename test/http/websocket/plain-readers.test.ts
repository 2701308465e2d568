import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { MARK } from '#shared/reader/plain-text.ts'
import { delta, hang, inTurn, openStream, type Reply, say } from '../../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_USER, startService } from '../../support/helper.js'
import { LOOK_MS } from '../../support/until.js'
import { connect, execution, login, textOfRun } from '../../support/socket-client.js'

/** Says these pieces, and breaks off after they were read. */
function breakOff (...pieces: string[]): Reply {
  return (response, call, number) => {
    hang(...pieces)(response, call, number)
    setTimeout(() => response.destroy(), 50)
  }
}

t.test('a WebSocket client that says nothing about events', async t => {
  const service = await startService(t)
  const { gateway } = service
  t.beforeEach(() => { gateway.calls.length = 0 })
  const plain = () => login(t, service, DEMO_USER, { events: '' })

  t.test('is told no letter twice, and needs no message that it does not know', async t => {
    gateway.reply = inTurn(breakOff('Hel'), say('Hello', ' world'))
    const client = await plain()
    client.send(execution({ requestId: 'mine' }))
    const { runId } = await client.next('agent_execution_complete', { response: 'Hello world', requestId: 'mine' })
    t.equal(textOfRun(client, runId), 'Hello world')
    t.strictSame([...new Set(client.messages.map(({ type }) => type))], ['connected', 'agent_execution_started', 'agent_chunk', 'agent_execution_complete'])
  })

  t.test('has a mark where the second try goes another way', async t => {
    gateway.reply = inTurn(breakOff('Yes'), say('No'))
    const client = await plain()
    client.send(execution())
    const { runId } = await client.next('agent_execution_complete', { response: 'No' })
    t.equal(textOfRun(client, runId), `Yes${MARK}No`)
  })

  t.test('resumes after anything that it was told', async t => {
    gateway.reply = inTurn(breakOff('Hel'), say('Hello', ' world'))
    const client = await plain()
    client.send(execution())
    const { runId } = await client.next('agent_execution_complete')
    const before = client.messages.filter(({ seq }) => seq)
    for (const [index, { seq }] of before.entries()) {
      if (index === before.length - 1) continue
      const later = await plain()
      later.send({ type: 'resume', runId, after: seq })
      await later.next('agent_execution_complete', { runId })
      const seen = before.slice(0, index + 1).map(({ content = '' }) => content).join('')
      t.equal(seen + textOfRun(later, runId), 'Hello world', `after ${seq}`)
    }
  })

  t.test('is told that it was cancelled by an error, whether it follows the run or not', async t => {
    gateway.reply = hang('half')
    const [client, other, knowing] = [await plain(), await plain(), await login(t, service)]
    client.send(execution({ requestId: 'mine' }))
    const { runId } = await client.next('agent_chunk')
    knowing.send({ type: 'resume', runId })
    await knowing.next('agent_chunk')
    client.send({ type: 'cancel', runId })
    t.match(await client.next('agent_execution_error'), { code: 'run_cancelled', runId, requestId: 'mine', seq: Number })
    t.match(await knowing.next('agent_cancelled'), { runId })
    other.send({ type: 'cancel', runId })
    t.match(await other.next('agent_execution_error'), { code: 'run_cancelled', runId })
  })

  t.test('says what it knows in the URL, and otherwise in each message', async t => {
    const client = await plain()
    gateway.reply = inTurn(breakOff('Hel'), say('Hello'))
    client.send(execution({ events: 'rewind, progress' }))
    const { runId } = await client.next('agent_execution_complete')
    const types = (from: typeof client) => [...new Set(from.messages.map(({ type }) => type))]
    t.ok(types(client).includes('agent_rewind'))
    t.ok(types(client).includes('agent_retry'))
    const knowing = await login(t, service)
    knowing.send({ type: 'resume', runId })
    await knowing.next('agent_rewind')
    await knowing.next('agent_execution_complete')
    knowing.send({ type: 'resume', runId, events: '' })
    await knowing.next('agent_execution_complete')
    t.equal(knowing.messages.filter(({ type }) => type === 'agent_rewind').length, 1, 'a message says it anew')
  })

  t.test('is refused a name that is none', async t => {
    const client = await plain()
    client.send(execution({ events: 'everything', requestId: 'mine' }))
    t.match(await client.next('agent_execution_error'), { code: 'bad_request', error: /"everything" is no kind of event/, requestId: 'mine' })
    t.equal(gateway.calls.length, 0)
    await t.rejects(connect(t, service, { events: 'everything' }), /400/)
  })
})

t.test('a server that ends tells plain clients which runs they will not hear the end of, and closes with 1012', async t => {
  const service = await startService(t)
  let finish = () => {}
  service.gateway.reply = (response, { body }) => {
    if (body.messages.at(-1).content === 'Hi') finish = () => say('Hello')(response, undefined as never, 1)
    else openStream(response).write(delta('half'))
  }
  const [plain, knowing] = [await login(t, service, DEMO_USER, { events: '' }), await login(t, service)]
  const arriving = service.gateway.nextCall()
  plain.send(execution({ requestId: 'over' }))
  await arriving
  finish()
  await plain.next('agent_execution_complete')
  for (const client of [plain, knowing]) client.send(execution({ requestId: 'mine', messages: [{ role: 'user', content: 'Talk' }] }))
  const { runId } = await plain.next('agent_chunk', { content: 'half' })
  await knowing.next('agent_chunk')
  await service.app.close()
  t.match(await plain.next('agent_execution_error'), { code: 'connection_ended', error: /before the answer was complete/, runId, requestId: 'mine', retryable: true })
  t.match(await plain.closed, { code: 1012 })
  t.match(await knowing.closed, { code: 1012 })
  t.equal(plain.messages.filter(({ type }) => type === 'agent_execution_error').length, 1)
  t.notOk(plain.messages.some(({ type }) => type === 'agent_reconnect'))
  t.ok(knowing.messages.some(({ type }) => type === 'agent_reconnect'))
  t.notOk(knowing.messages.some(({ type }) => type === 'agent_execution_error'))
})

t.test('a plain client stays where a run goes on elsewhere, and is told the rest', async t => {
  const { app, ...service } = await startService(t)
  service.gateway.reply = hang('Hel')
  const client = await login(t, { app, ...service }, DEMO_USER, { events: '' })
  client.send(execution())
  const { runId } = await client.next('agent_chunk')
  app.executor.abandon(runId)
  while (app.events.last(runId) !== undefined) await delay(LOOK_MS)
  app.events.ingest(runId, 1_000_000_001, [
    { type: 'started', runId, agentId: DEMO_AGENT, attempt: 2 }, { type: 'rewind', to: 0 }, { type: 'chunk', content: 'Hello' },
    { type: 'error', error: 'It is over.', code: 'internal_error', runId, retryable: false }
  ])
  t.match(await client.next('agent_execution_error'), { error: 'It is over.' })
  t.equal(textOfRun(client, runId), 'Hello')
})
