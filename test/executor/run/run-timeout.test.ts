import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { delta, openStream } from '../../support/doubles/gateway.js'
import { createDataDir, endOf, startService } from '../../support/helper.js'
import { createAgents, findPython } from '../../support/python.js'

const FAILED = { status: 'failed', error: { code: 'run_timeout', message: 'The run was ended because it took longer than 0.5 seconds.' } }

t.test('a run that takes longer than MAX_RUN_SECONDS', async t => {
  const dataDir = await createDataDir(t)
  const python = await findPython(t)
  const agents = await createAgents(dataDir, ['agents:endless_generator'])
  const service = await startService(t, { DATA_DIR: dataDir, MAX_RUN_SECONDS: '0.5', MAX_RUNS_PER_USER: '1', ...(python ? { PYTHON_BIN: python } : {}) })

  t.test('fails with a sentence, keeps its text, and costs what it has used', async t => {
    service.gateway.reply = response => { openStream(response).write(delta('Some words')) }
    const called = service.gateway.nextCall()
    const { events, text, headers } = await service.execute()
    t.match(events.at(-1), { type: 'error', error: FAILED.error.message, code: 'run_timeout', retryable: false })
    t.equal(text, 'Some words')
    await (await called).closed
    t.match(await endOf(service, headers.get('x-run-id')!), { ...FAILED, response: 'Some words', creditsCharged: 1 })
    t.match(await service.credits(), { creditsReserved: 0 })
  })

  t.test('costs nothing if the model has said nothing, and is a status for who has read nothing yet', async t => {
    const { creditsRemaining } = await service.credits()
    service.gateway.reply = response => { openStream(response) }
    const { status, body } = await service.request('POST', '/api/agent/execute', { body: { agentId: '22222222-2222-4222-8222-222222222222', stream: false, messages: [{ role: 'user', content: 'Hi' }] } })
    t.match([status, body], [504, { code: 'run_timeout', error: FAILED.error.message }])
    t.match(await service.credits(), { creditsRemaining, creditsReserved: 0 })
  })

  t.test('is not one that has waited for so long: the time counts from its start', async t => {
    service.gateway.reply = response => { openStream(response).write(delta('x')) }
    const [first, second] = await Promise.all([service.execute(), service.execute()])
    const runs = await Promise.all([first, second].map(({ headers }) => endOf(service, headers.get('x-run-id')!)))
    for (const run of runs) {
      t.match(run, { ...FAILED, response: 'x' })
      t.ok(Date.parse(run.finishedAt!) - Date.parse(run.startedAt!) >= 450, 'each had its time')
    }
  })

  t.test('is ended where it is written in Python, too', async t => {
    if (!python) return t.comment('LEFT OUT: no Python')
    const told = await service.execute({ agentId: agents['agents:endless_generator'] })
    t.match(told.events.at(-1), { type: 'error', code: 'run_timeout' })
    t.match(await endOf(service, told.headers.get('x-run-id')!), FAILED)
  })
})

t.test('a run that was taken over counts from its first start, and costs the steps that are recorded', async t => {
  const dataDir = await createDataDir(t)
  const first = await startService(t, { DATA_DIR: dataDir })
  first.gateway.reply = response => { openStream(response).write(delta('Some words')) }
  const called = first.gateway.nextCall()
  const { body: { runId } } = await first.request('POST', '/api/agent/execute', { body: { agentId: '22222222-2222-4222-8222-222222222222', background: true, messages: [{ role: 'user', content: 'Hi' }] } })
  await called
  await first.app.close()
  const pglite = await PGlite.create(join(dataDir, 'postgres'))
  await pglite.query("update public.agent_runs set started_at = now() - interval '25 hours', credits_used = 1 where id = $1", [runId])
  await pglite.close()

  // The same gateway: the run may be taken over before the service listens.
  const next = await startService(t, { DATA_DIR: dataDir }, first.gateway.url)
  t.match(await endOf(next, runId), { status: 'failed', attempt: 2, error: { code: 'run_timeout', message: /86400 seconds/ }, creditsCharged: 1 })
  t.match(await next.credits(), { creditsRemaining: 99, creditsReserved: 0 })
})
