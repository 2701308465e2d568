import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'

/** What every driver has to do for runs of several steps, rates and kept answers, on the database of the contract suite. */
export async function testSteps (t: Test, db: Database): Promise<void> {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const balance = (userId: string) => db.call('get_credits', { p_user_id: userId })
  const usage = (promptTokens: number, completionTokens: number) => ({ promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, estimated: false })
  const finish = (runId: string, more: object = {}) => db.call('finish_run', {
    p_run_id: runId, p_attempt: 1, p_status: 'succeeded', p_response: 'All of it', p_finish_reason: 'stop', p_usage: usage(30, 12), p_credits: 1, p_model: 'm', p_error: null, ...more
  })
  const begin = (userId: string, agentId: string, more: object = {}) => db.call('begin_run', {
    p_user_id: userId, p_agent_id: agentId, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: randomUUID(), p_lease_seconds: 60, p_models: ['default/model', 'cheap/model'], ...more
  })
  const record = (runId: string, number: number, more: object = {}) => db.call('record_step', {
    p_run_id: runId, p_attempt: 1, p_number: number, p_record: { number } as never, p_step: { kind: 'model', name: 'm', finishReason: 'tool_calls', usage: usage(10, 5), startedAt: '2026-01-01T00:00:00.000Z' }, ...more
  })
  async function createUser (credits: number): Promise<string> {
    const id = randomUUID()
    await sql(`insert into auth.users (id) values ('${id}') returning id`)
    await sql(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ('${id}', ${credits}, 'demo') returning id`)
    return id
  }
  /** An agent of one's own, with these columns. */
  async function createAgent (userId: string, columns: Record<string, string> = {}): Promise<string> {
    const all = { user_id: `'${userId}'`, name: "'Theirs'", purpose: "'To be run.'", ai_model: 'null', max_tokens: 'null', system_prompt: 'null', ...columns }
    const [agent] = await sql<{ id: string }>(`insert into public.agents (${Object.keys(all).join(', ')}) values (${Object.values(all).join(', ')}) returning id`)
    return agent!.id
  }
  const setRate = (model: string, perRun: number, perThousand: number) =>
    sql(`insert into public.model_rates values ('${model}', ${perRun}, ${perThousand}) on conflict (model) do update set credits_per_run = excluded.credits_per_run, credits_per_1k_tokens = excluded.credits_per_1k_tokens returning model`)

  t.test('a step is recorded once, by the attempt that has the run, and whoever takes the run over is given it', async t => {
    const user = await createUser(5)
    const { run: { runId } } = await begin(user, await createAgent(user))
    t.same(await record(runId, 1), { reserved: 1, isEnough: true })
    t.same(await record(runId, 1, { p_record: { another: true } }), { reserved: 1, isEnough: true }, 'repeated, nothing changes')
    await record(runId, 2, { p_step: { kind: 'tool', name: 'search', startedAt: '2026-01-01T00:00:01.000Z' } })
    await t.rejects(record(runId, 3, { p_attempt: 2 }), { code: 'stale_attempt', statusCode: 409 })
    await t.rejects(record(randomUUID(), 1), { code: 'run_not_found', statusCode: 404 })
    t.same(await record(runId, 2, { p_credits: null }), { reserved: 1, isEnough: true }, 'nothing is nothing, and not all there is')

    await sql(`update public.agent_runs set lease_until = '-infinity' where id = '${runId}' returning id`)
    const { claimed } = await db.call('claim_runs', { p_owner: randomUUID(), p_lease_seconds: 60, p_limit: 10 })
    t.same(claimed.find(({ run }) => run.runId === runId)?.steps, [{ number: 1, step: 1 }, { number: 2, step: 2 }])
    await t.rejects(record(runId, 3), { code: 'stale_attempt' }, 'who has lost it records no more')

    await finish(runId, { p_attempt: 2 })
    await t.rejects(record(runId, 3, { p_attempt: 2 }), { code: 'stale_attempt' }, 'nor does anybody after the end')
    t.match(await sql(`select step, kind, name, usage, attempt from public.agent_run_steps where run_id = '${runId}' order by step`), [
      { step: 1, kind: 'model', name: 'm', usage: usage(10, 5), attempt: 1 },
      { step: 2, kind: 'tool', name: 'search', usage: null },
      { step: 3, kind: 'model', name: 'm', usage: usage(20, 7), attempt: 2 }
    ], 'the last step is what the others have left of the usage')
    t.same(await sql(`select run_id from public.agent_run_checkpoints where run_id = '${runId}'`), [], 'what was said in them is not kept')
  })

  t.test('a run\'s last step is written down where it used something that no step before it did', async t => {
    const user = await createUser(10)
    const agent = await createAgent(user)
    const stepsOf = (runId: string) => sql<{ step: number, usage: object }>(`select step, usage from public.agent_run_steps where run_id = '${runId}' order by step`)
    const single = await begin(user, agent)
    await finish(single.run.runId)
    t.same(await stepsOf(single.run.runId), [{ step: 1, usage: usage(30, 12) }], 'a run of one step has that')
    t.match(await sql(`select s.started_at = r.started_at as began, s.finished_at = r.finished_at as ended
      from public.agent_run_steps s join public.agent_runs r on r.id = s.run_id where r.id = '${single.run.runId}'`), [{ began: true, ended: true }])
    const told = await begin(user, agent)
    await record(told.run.runId, 1)
    await finish(told.run.runId, { p_usage: usage(10, 5) })
    t.same(await stepsOf(told.run.runId), [{ step: 1, usage: usage(10, 5) }], 'all of it was told')
    const more = await begin(user, agent)
    await record(more.run.runId, 4)
    await finish(more.run.runId)
    t.same(await stepsOf(more.run.runId), [{ step: 4, usage: usage(10, 5) }, { step: 5, usage: usage(20, 7) }])
    t.match(await sql(`select l.started_at = f.finished_at as follows from public.agent_run_steps f join public.agent_run_steps l using (run_id)
      where run_id = '${more.run.runId}' and f.step = 4 and l.step = 5`), [{ follows: true }], 'it began when the one before it ended')
    for (const p_usage of [null, usage(0, 0)]) {
      const none = await begin(user, agent)
      await finish(none.run.runId, { p_usage })
      t.same(await stepsOf(none.run.runId), [], 'what used nothing has none')
    }
  })

  t.test('who cancels a run pays for the steps that are recorded, be it before a new attempt has told of them', async t => {
    const user = await createUser(5)
    const step = { kind: 'model', name: 'm', credits: 2 }
    const { run: { runId } } = await begin(user, await createAgent(user))
    await record(runId, 1, { p_step: step, p_credits: 3 })
    t.match(await finish(runId, { p_status: 'cancelled', p_credits: 0, p_usage: null }), { status: 'cancelled', creditsCharged: 2 })
    const { run: abandoned } = await begin(user, await createAgent(user))
    await record(abandoned.runId, 1, { p_step: step, p_credits: 3 })
    await sql(`update public.agent_runs set lease_until = '-infinity' where id = '${abandoned.runId}' returning id`)
    t.match(await db.call('cancel_run', { p_user_id: user, p_run_id: abandoned.runId }), { status: 'cancelled', creditsCharged: 2 })
    const { run: failed } = await begin(user, await createAgent(user))
    await record(failed.runId, 1, { p_step: step, p_credits: 1 })
    t.match(await finish(failed.runId, { p_status: 'failed', p_credits: null, p_usage: null, p_error: { code: 'x', message: 'y' } }), { creditsCharged: 0 })
    t.match(await balance(user), { creditsRemaining: 1, creditsReserved: 0 })
  })

  t.test('a run\'s reservation grows with it, as far as the balance goes', async t => {
    const user = await createUser(5)
    const { run: { runId } } = await begin(user, await createAgent(user))
    t.same(await record(runId, 1, { p_credits: 3 }), { reserved: 3, isEnough: true })
    t.same(await record(runId, 2, { p_credits: 2 }), { reserved: 3, isEnough: true }, 'it does not shrink')
    t.same(await record(runId, 3, { p_credits: 9 }), { reserved: 5, isEnough: false })
    t.match(await balance(user), { creditsRemaining: 0, creditsReserved: 5 })
    t.match(await finish(runId, { p_credits: 4 }), { creditsCharged: 4 })
    t.match(await balance(user), { creditsRemaining: 1, creditsReserved: 0 })
    const vouched = await begin(user, randomUUID(), { p_agent: { name: 'x' } })
    t.same(await record(vouched.run.runId, 1, { p_credits: 9 }), { reserved: 0, isEnough: true }, 'who is not charged is not asked')
    t.match(await finish(vouched.run.runId, { p_credits: 9 }), { creditsCharged: 0 })
  })

  t.test('a run is reserved its price and that of the tokens that its steps may bring forth, by its model\'s rate', async t => {
    const user = await createUser(1000)
    await setRate('dear/model', 2, 0.5)
    await setRate('cheap/model', 0, 0)
    const reserved = async (columns: Record<string, string>) => (await begin(user, await createAgent(user, columns))).run.creditsReserved
    t.equal(await reserved({}), 1, 'a model without a rate costs a credit')
    t.equal(await reserved({ ai_model: "'cheap/model'" }), 0)
    t.equal(await reserved({ ai_model: "'dear/model'" }), 3, 'of 1000 tokens where the agent does not say')
    t.equal(await reserved({ ai_model: "'dear/model'", max_tokens: '5000', max_steps: '8' }), 5, 'an agent without tools takes one step')
    const agent = await createAgent(user, { ai_model: "'dear/model'", max_tokens: '5000', max_steps: '8' })
    await sql(`insert into public.agent_functions (agent_id, name, function_type, config) values ('${agent}', 'search', 'api_call', '{"parameters": {}}') returning id`)
    const { run, rates, agent: made } = await begin(user, agent)
    t.equal(run.creditsReserved, 22)
    t.same(rates, { 'dear/model': { perRun: 2, perThousandTokens: 0.5 }, 'cheap/model': { perRun: 0, perThousandTokens: 0 }, '*': { perRun: 1, perThousandTokens: 0 } })
    t.match(made, { maxSteps: 8, functions: [{ name: 'search', type: 'api_call', triggerKeywords: [], config: { parameters: {} } }] })
    await sql(`update public.agent_functions set is_enabled = false where agent_id = '${agent}' returning id`)
    t.match(await begin(user, agent), { run: { creditsReserved: 5 }, agent: { functions: [] } }, 'tools that are off are none')
    await sql(`insert into public.agent_functions (agent_id, name, function_type) values ('${agent}', 'plain', 'api_call'), ('${agent}', 'served', 'mcp') returning id`)
    t.equal((await begin(user, agent)).run.creditsReserved, 22, 'a server of tools has some')
    await sql(`update public.agent_functions set is_enabled = false where name = 'served' and agent_id = '${agent}' returning id`)
    t.equal((await begin(user, agent)).run.creditsReserved, 5, 'what takes no parameters is no tool')
    for (const tokens of ['-200', '-1000', '0']) t.equal(await reserved({ ai_model: "'dear/model'", max_tokens: tokens }), 3, `${tokens} tokens are none`)
    await setRate('*', 7, 0)
    t.equal(await reserved({}), 7, 'unless there is a rate for all others')
    const several = await begin(user, await createAgent(user), { p_models: ['other/model', 'dear/model', 'another/model', 'dear/model', '*'] })
    t.same(several.rates, {
      'other/model': { perRun: 7, perThousandTokens: 0 },
      'another/model': { perRun: 7, perThousandTokens: 0 },
      'dear/model': { perRun: 2, perThousandTokens: 0.5 },
      '*': { perRun: 7, perThousandTokens: 0 }
    }, 'each of several models has its own, once')
    const [kept] = await sql<{ input: object }>(`select input from public.agent_run_inputs where run_id = '${several.run.runId}'`)
    t.same(kept?.input, { messages: [], agent: several.agent, rates: several.rates, cached: null }, 'who begins it anew is told the same')
    await setRate('python', 4, 9)
    const python = await begin(user, await createAgent(user, { executor: "'python'", entrypoint: "'a:b'" }), { p_python: true })
    t.equal(python.run.creditsReserved, 4, 'what is code brings forth no tokens')
    t.same(Object.keys(python.rates!).sort(), ['*', 'python'])
    await sql('delete from public.model_rates where true returning model')
    await t.rejects(begin(await createUser(0), await createAgent(user, { is_published: 'true' })), { code: 'insufficient_credits' })
  })

  t.test('an answer is kept for who asks the same of the same agent at temperature 0, for as long as the agent says', async t => {
    const user = await createUser(100)
    const columns = { cache_seconds: '60', temperature: '0', is_published: 'true' }
    const agent = await createAgent(user, columns)
    const first = await begin(user, agent)
    t.equal(first.cached, null)
    await finish(first.run.runId)
    const other = await createUser(0)
    const hit = await begin(other, agent)
    t.same(hit.cached, { response: 'All of it', finishReason: 'stop', model: 'm' })
    t.match(hit.run, { creditsReserved: 0, cached: true }, 'it costs nothing, even who has none')
    t.match(await finish(hit.run.runId, { p_credits: 5, p_usage: usage(0, 0) }), { creditsCharged: 0, cached: true })
    t.equal((await begin(user, agent, { p_request_hash: 'another' })).cached, null)
    await sql(`update public.agents set system_prompt = 'Be brief' where id = '${agent}' returning id`)
    const changed = await begin(user, agent)
    t.equal(changed.cached, null, 'a changed agent is asked anew')
    await finish(changed.run.runId, { p_status: 'failed', p_error: { code: 'x', message: 'y' } })
    t.equal((await begin(user, agent)).cached, null, 'what failed is not kept')
    for (const reason of ['length', 'content_filter', 'tool_calls', 'error', '', null]) {
      await finish((await begin(user, agent)).run.runId, { p_finish_reason: reason })
      t.equal((await begin(user, agent)).cached, null, `nor what did not end by stop: ${reason}`)
    }
    t.equal((await begin(user, agent, { p_models: ['another/model'] })).cached, null)
    await sql(`update public.agents set system_prompt = null where id = '${agent}' returning id`)
    await sql("update public.response_cache set finish_reason = 'length' where true returning key")
    t.equal((await begin(user, agent)).cached, null, 'nor is what an earlier release has kept')
    await sql("update public.response_cache set finish_reason = 'stop' where true returning key")
    await sql('update public.response_cache set expires_at = now() where true returning key')
    t.equal((await begin(user, agent)).cached, null, 'nor longer than it should be')
    for (const without of [{ ...columns, cache_seconds: '0' }, { ...columns, cache_seconds: 'null' }, { ...columns, temperature: '0.1' }, { ...columns, temperature: 'null' }]) {
      const agent = await createAgent(user, without)
      await finish((await begin(user, agent)).run.runId)
      t.equal((await begin(user, agent)).cached, null, JSON.stringify(without))
    }
    await db.call('erase_old_runs', { p_days: 1000, p_limit: 1 })
    t.same(await sql('select key from public.response_cache where expires_at < now()'), [])
  })
}
