import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { createDataDir, endOf, openEvents, PYTHON_AGENT, readStream, type Service, startService, typesOf } from '../../support/helper.js'
import { allGone, createAgents, createFolder, findPython } from '../../support/python.js'
import { connect } from '../../support/socket-client.js'

const NO_USAGE = { promptTokens: 0, completionTokens: 0, totalTokens: 0, estimated: false }
const AGENTS = [
  'plain', 'nothing', 'generator', 'many_small', 'raises', 'killed', 'dies', 'dies_once', 'steps', 'tidy', 'sleeps', 'stubborn', 'structured',
  'hundred_megabytes', 'no_such_function'
]

t.test('agents in Python', async t => {
  const PYTHON_BIN = await findPython(t)
  if (!PYTHON_BIN) return
  const DATA_DIR = await createDataDir(t)
  const ids = await createAgents(DATA_DIR, [...AGENTS.map(name => `agents:${name}`), null])
  const service = await startService(t, { DATA_DIR, PYTHON_BIN, LOG_LEVEL: 'info' })
  const { execute, request, url } = service

  const asked = (name: string, prompt = '') => ({ agentId: ids[`agents:${name}`], messages: [{ role: 'user', content: prompt }] })
  const begin = async (name: string, prompt = ''): Promise<string> =>
    (await request('POST', '/api/agent/execute', { body: { ...asked(name, prompt), background: true } })).body.runId
  /** What something costs. */
  const priceOf = async <T>(run: () => Promise<T>): Promise<[T, number]> => {
    const before = await service.credits()
    const result = await run()
    const after = await service.credits()
    t.equal(after.creditsReserved, 0)
    return [result, before.creditsRemaining - after.creditsRemaining]
  }

  t.test('a run has the events of any other, no model, no tokens, and costs a credit', async t => {
    const calls = service.gateway.calls.length
    const [told, price] = await priceOf(() => execute(asked('generator')))
    t.equal(told.text, '0 1 2 3 4 end')
    t.match(told.events[0], { type: 'started', attempt: 1 })
    t.match(told.events.at(-1), { type: 'done', response: '0 1 2 3 4 end', usage: NO_USAGE, creditsUsed: 1, finishReason: 'stop' })
    t.equal(price, 1)
    t.equal(service.gateway.calls.length, calls)
    t.match((await request('GET', '/ready')).body, { status: 'ready', python: 'up' })
  })

  t.test('the seeded one works through a text and tells how far it is', async t => {
    const told = await execute({ agentId: PYTHON_AGENT })
    t.match(told.text, /^4\.\d MB of text.+words.+The most frequent words:/s)
    const progress = told.events.flatMap(event => event.type === 'progress' ? event.fraction! : [])
    t.ok(progress.length >= 2)
    t.same(progress, progress.toSorted((a, b) => a - b))
    t.equal(progress.at(-1), 1)
    t.ok(typesOf(told).lastIndexOf('progress') < typesOf(told).lastIndexOf('chunk'), 'its report comes after all of it')
  })

  t.test('it is given the prompt and its own configuration, and answers JSON to who wants no stream', async t => {
    const { body } = await request('POST', '/api/agent/execute', { body: { ...asked('structured', 'Hi'), stream: false } })
    t.match(body, { response: '{"prompt": "Hi", "agent": "A", "é": [1, null]}', creditsUsed: 1, usage: NO_USAGE })
  })

  t.test('without output it succeeds and costs nothing', async t => {
    const [told, price] = await priceOf(() => execute(asked('nothing')))
    t.match(told.events.at(-1), { type: 'done', response: '', creditsUsed: 0 })
    t.equal(price, 0)
  })

  t.test('what it says in small pieces is told in few events', async t => {
    const told = await execute(asked('many_small'))
    t.equal(told.text, 'x'.repeat(200_000))
    t.ok(told.events.length < 2_000, `${told.events.length}`)
  })

  t.test('its text is told again from the database as it was, and its progress without the words, which may quote the question', async t => {
    const folder = await createFolder(t)
    for (const n of [0, 1, 2]) writeFileSync(join(folder, `${n}`), '')
    const told = await execute(asked('steps', folder))
    t.ok(typesOf(told).includes('progress'))
    const runId = told.headers.get('x-run-id')!
    service.app.events.evict(runId)
    const wordless = told.events.map(event => event.type === 'progress' ? { ...event, message: undefined } : event)
    const again = (await readStream(await openEvents(url, runId))).events
    t.same(again, JSON.parse(JSON.stringify(wordless)))
  })

  t.test('a WebSocket hears of its progress', async t => {
    const folder = await createFolder(t)
    for (const n of [0, 1, 2]) writeFileSync(join(folder, `${n}`), '')
    const client = await connect(t, service, { token: 'jeesi_demo_key_for_local_use_only' })
    client.send({ type: 'agent_execute', ...asked('steps', folder) })
    t.match(await client.next('agent_progress'), { fraction: 1 / 3, message: 'step 0', runId: String, seq: Number })
    t.match(await client.next('agent_execution_complete'), { response: 'word 0. word 1. word 2. ' })
  })

  t.test('its exception is the run\'s failure, in words and without its traceback', async t => {
    const [told, price] = await priceOf(() => execute(asked('raises')))
    t.match(told.events.at(-1), { type: 'error', code: 'python_failed', error: 'ValueError: no such thing: \ufffd', retryable: false })
    t.notMatch(told.raw, /Traceback/)
    const lines = service.logs.map(line => JSON.parse(line)).filter(({ message }) => message === '[PYTHON] failed')
    t.match(lines, [{ level: 'warn', runId: told.headers.get('x-run-id'), entrypoint: 'agents:raises', exception: 'ValueError', file: 'agents.py', line: Number, function: 'raises' }])
    t.notMatch(service.logs.join(''), /no such thing/, 'its words, which may quote the question, are not in the log')
    t.equal(price, 1, 'for it had said something')
    const refused = await priceOf(() => request('POST', '/api/agent/execute', { body: { ...asked('no_such_function'), stream: false } }))
    t.match(refused, [{ status: 502, body: { code: 'python_failed', error: 'The Python module agents has no function no_such_function.' } }, 0])
    const withoutEntrypoint = await priceOf(() => execute({ agentId: ids.null }))
    t.match(withoutEntrypoint[0].events.at(-1), { code: 'python_failed', error: 'The agent is written in Python and has no entrypoint.' })
    t.equal(withoutEntrypoint[1], 0)
  })

  t.test('too much output fails the run and is not tried again', async t => {
    const told = await execute(asked('hundred_megabytes'))
    t.match(told.events.at(-1), { code: 'python_failed', error: 'It said more than 8388608 characters.' })
    t.notOk(typesOf(told).includes('retry'))
  })

  t.test('a worker that dies: what was said is taken back, and another does it anew', async t => {
    const [told, price] = await priceOf(async () => execute(asked('dies_once', await createFolder(t))))
    t.same(typesOf(told), ['started', 'chunk', 'rewind', 'retry', 'chunk', 'chunk', 'done'])
    t.equal(told.text, 'half an answer')
    t.match(told.events.at(-1), { type: 'done', response: 'half an answer', creditsUsed: 1 })
    t.equal(price, 1)
  })

  t.test('a worker that is killed from outside: the same', async t => {
    const folder = await createFolder(t)
    const runId = await begin('steps', folder)
    const events = await openEvents(url, runId)
    await said(service, runId, 'word 0. ')
    for (const pid of service.app.python.pids) process.kill(-pid, 'SIGKILL')
    for (const n of [0, 1, 2]) writeFileSync(join(folder, `${n}`), '')
    const told = await readStream(events)
    t.ok(typesOf(told).includes('rewind'))
    t.equal(told.text, 'word 0. word 1. word 2. ')
    t.match(told.events.at(-1), { type: 'done', creditsUsed: 1 })
  })

  t.test('one that always dies fails the run in words at the second time', async t => {
    const [told, price] = await priceOf(() => execute(asked('dies')))
    t.match(told.events.at(-1), { type: 'error', code: 'python_failed', error: 'The Python worker ended by itself, with code 3.' })
    t.equal(typesOf(told).filter(type => type === 'retry').length, 1)
    t.equal(price, 1)
    const [silent, nothing] = await priceOf(() => execute(asked('killed')))
    t.same(typesOf(silent), ['started', 'retry', 'error'])
    t.equal(nothing, 0)
  })

  t.test('cancelled it ends, and costs a credit where it had said something', async t => {
    for (const name of ['tidy', 'sleeps', 'stubborn']) {
      const [run, price] = await priceOf(async () => {
        const runId = await begin(name, await createFolder(t))
        const response = await said(service, runId, name === 'stubborn' ? '\n' : 'started ')
        const { body } = await request('POST', `/api/runs/${runId}/cancel`)
        if (name === 'stubborn') await allGone(response.trim().split(' ').map(Number))
        return body
      })
      t.match(run, { status: 'cancelled', creditsCharged: 1 }, name)
      t.equal(price, 1, name)
    }
    const [run, price] = await priceOf(async () => {
      const runId = await begin('killed')
      return (await request('POST', `/api/runs/${runId}/cancel`)).body
    })
    t.match(run, { status: 'cancelled', creditsCharged: 0 })
    t.equal(price, 0)
    t.equal((await execute(asked('plain', 'you'))).text, 'Hello you', 'and workers are there for the next')
  })

  t.test('the run of a service that ends is done again by the next', async t => {
    const folder = await createFolder(t)
    const runId = await begin('steps', folder)
    await said(service, runId, 'word 0. ')
    const pids = service.app.python.pids
    await service.app.close()
    await allGone(pids)
    for (const n of [0, 1, 2]) writeFileSync(join(folder, `${n}`), '')
    const next = await startService(t, { DATA_DIR, PYTHON_BIN })
    t.match(await endOf(next, runId), { status: 'succeeded', attempt: 2, response: 'word 0. word 1. word 2. ', creditsCharged: 1 })
    const told = await readStream(await openEvents(next.url, runId))
    t.same(typesOf(told).slice(0, 2), ['started', 'rewind'])
    t.match(await (await next.request('GET', '/ready?deep=1')).body, { audit: { problems: [], total: 0 } })
  })

  t.test('a service without Python leaves such a run to one that has it', async t => {
    const dataDir = await createDataDir(t)
    const own = await createAgents(dataDir, ['agents:steps'])
    const folder = await createFolder(t)
    const first = await startService(t, { DATA_DIR: dataDir, PYTHON_BIN })
    const { body: { runId } } = await first.request('POST', '/api/agent/execute', {
      body: { agentId: own['agents:steps'], messages: [{ role: 'user', content: folder }], background: true }
    })
    await said(first, runId, 'word 0. ')
    await first.app.close()
    for (const n of [0, 1, 2]) writeFileSync(join(folder, `${n}`), '')
    const without = await startService(t, { DATA_DIR: dataDir, PYTHON_BIN: '/nonexistent' })
    const looked = await without.app.database.call('claim_runs', { p_owner: runId, p_lease_seconds: 6, p_limit: 1, p_python: false })
    // Whether it knows of others depends on whether that service has looked yet.
    t.match(looked, { claimed: [], outstanding: true })
    t.match((await without.request('GET', `/api/runs/${runId}`)).body, { status: 'running', attempt: 1 })
    await without.app.close()
    const next = await startService(t, { DATA_DIR: dataDir, PYTHON_BIN })
    t.match(await endOf(next, runId), { status: 'succeeded', attempt: 2, response: 'word 0. word 1. word 2. ', creditsCharged: 1 })
  })
})

t.test('without Python', async t => {
  for (const [variables, python] of [[{ PYTHON_BIN: '/nonexistent/python' }, 'down'], [{ PATH: '/nonexistent' }, 'off']] as const) {
    const service = await startService(t, variables)
    const before = await service.credits()
    t.match(await service.request('GET', '/ready'), { status: 200, body: { status: 'ready', python } })
    const { status, body } = await service.request('POST', '/api/agent/execute', {
      body: { agentId: PYTHON_AGENT, messages: [{ role: 'user', content: 'Hi' }] }
    })
    t.equal(status, 503)
    t.equal(body.code, 'python_unavailable')
    t.same(await service.credits(), before)
    t.equal((await service.execute()).text, 'Hello world', 'other agents run')
    t.ok(service.logs.some(line => line.includes('agents in Python cannot be run')))
  }
})

t.test('python/requirements.txt asks for nothing by itself', async t => {
  const lines = readFileSync(new URL('../../../python/requirements.txt', import.meta.url), 'utf8').split('\n')
  t.ok(lines.every(line => line === '' || line.startsWith('#')))
})

t.test('the image installs the packages of both requirements.txt, that of the root only where it is', async t => {
  const dockerfile = readFileSync(new URL('../../../Dockerfile', import.meta.url), 'utf8')
  t.match(dockerfile, /^COPY package\.json requirements\.tx\[t\] \/tmp\/root\/$/m)
  const [loop] = /for list in [^]*?; done/.exec(dockerfile)!
  const folder = await createFolder(t)
  const script = loop.replaceAll('/tmp/', `${folder}/`).replaceAll('/opt/python/bin/pip', 'echo')
  for (const name of ['agents', 'root']) mkdirSync(join(folder, name))
  const installed = () => execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim().split('\n').map(line => line.replace(`install --no-cache-dir -r ${folder}/`, ''))
  writeFileSync(join(folder, 'agents', 'requirements.txt'), '')
  t.same(installed(), ['agents/requirements.txt'])
  writeFileSync(join(folder, 'root', 'requirements.txt'), '')
  t.same(installed(), ['agents/requirements.txt', 'root/requirements.txt'])
})

/** Waits until a run has said so much; returns all it has said. */
async function said (service: Service, runId: string, text: string): Promise<string> {
  for (;;) {
    const response = service.app.executor.progressOf(runId)?.response ?? ''
    if (response.includes(text)) return response
    await turn()
  }
}
