import type { ServerResponse } from 'node:http'
import pg from 'pg'
import t from 'tap'
import { delta, ending, openStream } from '../support/doubles/gateway.js'
import { bearer, createPostgres, DEMO_AGENT, endOf, findPostgres, OTHER_USER, startService } from '../support/helper.js'

t.test('a user is deleted while a run of theirs is under way', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const sql = new pg.Client({ connectionString: url })
  await sql.connect()
  t.teardown(() => sql.end())
  const service = await startService(t, { SUPABASE_DB_URL: url })
  const headers = await bearer(OTHER_USER)
  const countRows = async (text: string) => (await sql.query(`select from public.agent_runs r left join public.agent_run_inputs i on i.run_id = r.id
    left join public.agent_run_traces x on x.run_id = r.id where concat(r, i, x) like $1`, [`%${text}%`])).rowCount

  for (const [how, goesOn] of [['and the model says no more', false], ['and the model goes on', true]] as const) {
    t.test(how, async t => {
      await sql.query('insert into auth.users (id) values ($1) on conflict do nothing', [OTHER_USER])
      await sql.query('insert into public.credit_balances (user_id, credits_remaining) values ($1, 3) on conflict do nothing', [OTHER_USER])
      let model: ServerResponse | undefined
      service.gateway.reply = response => {
        model = openStream(response)
        model.write(delta('Some words'))
      }
      const called = service.gateway.nextCall()
      // The server ends this connection, on which nothing else is to be asked.
      const stream = service.execute({ messages: [{ role: 'user', content: 'A secret' }] }, { ...headers, connection: 'close' })
      const call = await called
      t.equal(await countRows('A secret'), 1)
      const { rows: [run] } = await sql.query('select id from public.agent_runs where user_id = $1 and finished_at is null', [OTHER_USER])
      await sql.query('delete from auth.users where id = $1', [OTHER_USER])
      if (goesOn) model!.end(delta('More') + ending())
      await call.closed
      t.notMatch((await stream).raw, 'data: [DONE]', 'the stream ends without an end of the run')
      t.match(await endOf(service, run.id, headers), { status: 'cancelled', response: '', creditsCharged: 0 })
      for (const text of ['Some words', 'A secret']) t.equal(await countRows(text), 0, `nothing is left of "${text}"`)
      const again = await service.request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, stream: false, messages: [{ role: 'user', content: 'Hi' }] }, headers })
      t.match(again, { status: 402, body: { code: 'insufficient_credits' } })
      t.same((await sql.query("select public.audit_credits() -> 'problems' as problems")).rows, [{ problems: [] }])
    })
  }

  t.test('is logged once, as no error', async t => {
    t.same(service.logs.filter(line => JSON.parse(line).level >= 50), [])
    t.equal(service.logs.filter(line => line.includes('[AGENT-EXECUTOR] lost')).length, 2)
  })
})
