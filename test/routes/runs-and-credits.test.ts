import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { delta, ending, openStream, refuse, type Reply, say, USAGE } from '../support/doubles/gateway.js'
import {
  ALL_EVENTS, bearer, createDataDir, DEMO_AGENT, DEMO_USER, endOf, OTHER_USER, readStream, type Service, startService,
  UNPUBLISHED_AGENT
} from '../support/helper.js'

const UNKNOWN = '99999999-9999-4999-8999-999999999999'

/** Executes the demo agent without a stream. */
function ask ({ request }: Service, fields: object = {}, headers: Record<string, string> = {}) {
  const body = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false, ...fields }
  return request('POST', '/api/agent/execute', { body, headers })
}

/** Says the first piece, and the rest when it is let. */
function inHalves (first: string, last: string): { reply: Reply, finish: () => void } {
  let finish = () => {}
  return {
    reply (response) {
      openStream(response).write(delta(first))
      finish = () => { response.end(delta(last) + ending()) }
    },
    finish: () => finish()
  }
}

/** Begins a streamed run, or joins one; its events have begun to arrive. */
async function open ({ url }: Service, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/api/agent/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...ALL_EVENTS, ...await bearer(), ...headers },
    body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] })
  })
}

/** Begins a run and reads until its first words; gives its id. */
async function beginTalking (service: Service): Promise<string> {
  const response = await open(service)
  let text = ''
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    text += piece
    if (text.includes('"chunk"')) break
  }
  return response.headers.get('x-run-id')!
}

t.test('a user\'s runs', async t => {
  const service = await startService(t)
  const { gateway, request } = service
  const list = async (query = '', headers?: Record<string, string>) => request('GET', `/api/runs${query}`, { headers })
  const begun: string[] = []
  for (let i = 0; i < 7; i++) begun.push((await ask(service, { agentId: i % 2 ? UNPUBLISHED_AGENT : DEMO_AGENT })).body.runId)
  gateway.reply = refuse(402)
  const failed = (await ask(service)).body.runId as string
  const newest = [...begun, failed].reverse()
  gateway.reply = say('Hello', ' world')
  const idsOf = ({ body }: { body: any }): string[] => body.runs.map((run: { runId: string }) => run.runId)

  t.test('are listed newest first, and everybody\'s own', async t => {
    const all = await list()
    t.equal(all.status, 200)
    t.same(idsOf(all), newest)
    t.equal(all.body.nextCursor, null)
    t.same((await list('', await bearer(OTHER_USER))).body, { runs: [], nextCursor: null })
    t.match(all.body.runs.at(-1), {
      agentId: DEMO_AGENT,
      status: 'succeeded',
      attempt: 1,
      response: 'Hello world',
      finishReason: 'stop',
      usage: { promptTokens: USAGE.prompt_tokens, completionTokens: 5, totalTokens: 15, estimated: false },
      creditsReserved: 0,
      creditsCharged: 1,
      error: null
    })
    t.match(all.body.runs[0], { status: 'failed', creditsCharged: 0, error: { code: 'gateway_payment_required', message: String } })
  })

  t.test('are filtered by status and agent', async t => {
    t.same(idsOf(await list('?status=failed')), [failed])
    t.same(idsOf(await list(`?agentId=${UNPUBLISHED_AGENT}`)), [begun[5], begun[3], begun[1]])
    t.same(idsOf(await list(`?agentId=${UNPUBLISHED_AGENT}&status=failed`)), [])
    t.same(idsOf(await list(`?agentId=${UNPUBLISHED_AGENT}&limit=2`)), [begun[5], begun[3]])
  })

  t.test('come in pages without a gap or a repeat, whatever begins meanwhile', async t => {
    const pages: string[][] = []
    let cursor: string | null = null
    do {
      const page = await list(`?limit=3${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`)
      pages.push(idsOf(page))
      cursor = page.body.nextCursor
      newest.unshift((await ask(service)).body.runId)
    } while (cursor)
    t.same(pages.map(page => page.length), [3, 3, 2])
    t.same(pages.flat(), newest.slice(pages.length), 'those that were there at first')
  })

  t.test('are refused to a query that makes no sense', async t => {
    const position = (time: string, id = UNKNOWN) => Buffer.from(`${time} ${id}`).toString('base64url')
    const cursors = [
      '', 'garbage', 'x'.repeat(201), '%00', position('yesterday'), position('2026-13-01T00:00:00Z'), position('2026-02-30T00:00:00Z'),
      position('0000-01-01T00:00:00Z'), position('2026-01-01T00:00:00Z', 'no-uuid'), position('2026-01-01T00:00:00+99:00')
    ]
    for (const query of [...cursors.map(cursor => `cursor=${cursor}`), 'limit=0', 'limit=101', 'limit=ten', 'status=lost', 'agentId=mine']) {
      const { status, body } = await list(`?${query}`)
      t.equal(status, 400, query)
      t.match(body, { code: 'bad_request', statusCode: 400, error: String, requestId: String })
    }
  })

  t.test('can be looked at one by one, by nobody else', async t => {
    t.match(await request('GET', `/api/runs/${begun[0]}`), { status: 200, body: { runId: begun[0], status: 'succeeded', response: 'Hello world' } })
    const theirs = await request('GET', `/api/runs/${begun[0]}`, { headers: await bearer(OTHER_USER) })
    const nobodys = await request('GET', `/api/runs/${UNKNOWN}`)
    t.match(theirs, { status: 404, body: { code: 'run_not_found' } })
    t.same({ ...theirs.body, requestId: '' }, { ...nobodys.body, requestId: '' }, 'another\'s run looks like none')
    for (const id of ['no-uuid', `urn:uuid:${begun[0]}`]) {
      t.match(await request('GET', `/api/runs/${id}`), { status: 400, body: { code: 'bad_request' } }, id)
    }
  })

  t.test('show the text so far while they run, and hold the credit', async t => {
    const { reply, finish } = inHalves('Hel', 'lo')
    gateway.reply = reply
    const before = await service.credits()
    const runId = await beginTalking(service)
    t.match((await request('GET', `/api/runs/${runId}`)).body, { status: 'running', response: 'Hel', finishedAt: null, creditsReserved: 1, creditsCharged: 0 })
    t.match((await list('?status=running')).body.runs, [{ runId, response: 'Hel' }])
    t.match(await service.credits(), { creditsRemaining: before.creditsRemaining - 1, creditsReserved: 1, creditsUsedThisMonth: before.creditsUsedThisMonth })
    finish()
    t.match(await endOf(service, runId), { status: 'succeeded', response: 'Hello', creditsReserved: 0, creditsCharged: 1 })
    t.match(await service.credits(), { creditsRemaining: before.creditsRemaining - 1, creditsReserved: 0, creditsUsedThisMonth: before.creditsUsedThisMonth + 1 })
  })
})

t.test('two hundred runs at once of a user with a hundred credits are a hundred runs', async t => {
  const DATA_DIR = await createDataDir(t)
  const service = await startService(t, { DATA_DIR })
  const answers = await Promise.all(Array.from({ length: 200 }, () => ask(service)))
  const [done, refused] = [answers.filter(({ status }) => status === 200), answers.filter(({ status }) => status === 402)]
  t.equal(done.length, 100)
  t.equal(refused.length, 100)
  t.ok(refused.every(({ body }) => body.code === 'insufficient_credits' && body.statusCode === 402))
  t.equal(service.gateway.calls.length, 100)
  t.match(await service.credits(), { creditsRemaining: 0, creditsReserved: 0, creditsUsedThisMonth: 100 })

  await service.app.close()
  const sql = new PGlite({ dataDir: join(DATA_DIR, 'postgres') })
  t.teardown(() => sql.close())
  const { rows } = await sql.query<{ run_id: string, credits_used: number, user_id: string }>('select run_id, credits_used, user_id from public.credit_usage')
  t.same(rows.map(row => row.run_id).sort(), done.map(({ body }) => body.runId).sort(), 'the ledger names each run once')
  t.ok(rows.every(row => row.credits_used === 1 && row.user_id === DEMO_USER))
})

t.test('what a run costs', async t => {
  const service = await startService(t)
  const { gateway, execute } = service
  const spent = async () => (await service.request('GET', '/api/admin/stats')).body.total_credits_used

  t.test('is nothing where it failed before any output', async t => {
    const [before, ledger] = [await service.credits(), await spent()]
    for (const reply of [refuse(400), refuse(401), refuse(402), refuse(404)]) {
      gateway.reply = reply
      t.ok((await ask(service)).status >= 400)
    }
    t.same(await service.credits(), before)
    t.equal(await spent(), ledger)
  })

  t.test('is one credit where it was cut after its first words, with no retry left', async t => {
    const [before, ledger, calls] = [await service.credits(), await spent(), gateway.calls.length]
    gateway.reply = response => { openStream(response).write(delta('Hel'), () => response.destroy()) }
    const told = await execute()
    t.match(told.events.at(-1), { type: 'error', code: 'gateway_unavailable', retryable: true })
    t.ok(gateway.calls.length > calls + 1, 'it was tried again')
    t.match(await endOf(service, told.headers.get('x-run-id')!), { status: 'failed', creditsCharged: 1, creditsReserved: 0 })
    t.equal((await service.credits()).creditsRemaining, before.creditsRemaining - 1)
    t.equal(await spent(), ledger + 1)
  })
})

t.test('an Idempotency-Key', async t => {
  const service = await startService(t)
  const { gateway } = service
  const key = (name: string) => ({ 'idempotency-key': name })

  t.test('makes one run of one request sent again', async t => {
    const { creditsRemaining } = await service.credits()
    const [first, again] = [await ask(service, {}, key('again')), await ask(service, {}, key('again'))]
    t.match(first, { status: 200, body: { response: 'Hello world', creditsUsed: 1 } })
    t.same(again.body, first.body)
    const streamed = await service.execute({}, key('again'))
    t.match(streamed.events.at(-1), { type: 'done', runId: first.body.runId, response: 'Hello world' })
    t.equal(streamed.text, 'Hello world')
    t.equal(gateway.calls.length, 1)
    t.equal((await service.credits()).creditsRemaining, creditsRemaining - 1)
  })

  t.test('makes one run of ten requests at once, and each sees all of it', async t => {
    const [{ creditsRemaining }, calls] = [await service.credits(), gateway.calls.length]
    const told = await Promise.all(Array.from({ length: 10 }, () => service.execute({}, key('at once'))))
    t.equal(new Set(told.map(({ headers }) => headers.get('x-run-id'))).size, 1)
    t.ok(told.every(({ raw }) => raw === told[0]!.raw && raw.endsWith('data: [DONE]\n\n')), 'all are told the same')
    t.equal(told[0]!.text, 'Hello world')
    t.equal(gateway.calls.length, calls + 1)
    t.equal((await service.credits()).creditsRemaining, creditsRemaining - 1)
  })

  t.test('joins the live stream of a run under way', async t => {
    const { reply, finish } = inHalves('Hel', 'lo')
    gateway.reply = reply
    const call = gateway.nextCall()
    const first = await open(service, key('live'))
    await call
    const second = await open(service, key('live'))
    finish()
    const [one, other] = [await readStream(first), await readStream(second)]
    t.equal(one.text, 'Hello')
    t.equal(other.raw, one.raw)
    gateway.reply = say('Hello', ' world')
  })

  t.test('is refused for another request', async t => {
    t.equal((await ask(service, {}, key('taken'))).status, 200)
    const [before, calls] = [await service.credits(), gateway.calls.length]
    for (const fields of [{ messages: [{ role: 'user', content: 'Bye' }] }, { agentId: UNPUBLISHED_AGENT }]) {
      const { status, body } = await ask(service, fields, key('taken'))
      t.equal(status, 422)
      t.match(body, { code: 'idempotency_key_reused', statusCode: 422, error: String })
    }
    t.same([await service.credits(), gateway.calls.length], [before, calls])
    const others = await ask(service, {}, { ...key('taken'), ...await bearer(OTHER_USER) })
    t.match(others, { status: 200, body: { creditsUsed: 1 } }, 'another user may have named theirs the same')
  })

  t.test('is refused when malformed, and nothing begins', async t => {
    const calls = gateway.calls.length
    for (const name of ['', 'x'.repeat(256), 'clé', 'a\tb']) {
      t.match(await ask(service, {}, key(name)), { status: 400, body: { code: 'bad_request', details: [{ path: 'idempotency-key' }] } }, JSON.stringify(name).slice(0, 20))
    }
    t.equal(gateway.calls.length, calls)
  })

  t.test('of a request that was refused is free for the same one later', async t => {
    const early = await ask(service, { agentId: UNKNOWN }, key('later'))
    t.match(early, { status: 404, body: { code: 'agent_not_found' } })
    t.match(await ask(service, {}, key('later')), { status: 200, body: { response: 'Hello world' } })
  })
})

t.test('the platform\'s figures are for admins', async t => {
  const { request, execute } = await startService(t)
  await execute()
  const { status, body } = await request('GET', '/api/admin/stats')
  t.equal(status, 200)
  t.match(body, { total_users: 2, total_agents: 3, agents_this_week: 3, agents_this_month: 3, active_users: 1, total_credits_used: 1, credits_used_this_week: 1, pro_subscribers: 0, expert_subscribers: 0 })
  const other = await request('GET', '/api/admin/stats', { headers: await bearer(OTHER_USER) })
  t.equal(other.status, 403)
  t.match(other.body, { code: 'forbidden', statusCode: 403, error: String, requestId: String })
})
