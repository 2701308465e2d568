import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { KeyLimits } from '../../src/contract/api-keys.js'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'
import { DEMO_AGENT, DEMO_USER, OTHER_USER, PYTHON_AGENT, UNPUBLISHED_AGENT } from '../support/helper.js'

const EXHAUSTED = { code: 'key_budget_exhausted', statusCode: 402, message: 'This key has used up what it may in a day: try again later.' }
const NOT_FOUND = { code: 'run_not_found', statusCode: 404 }
const NO_AGENT = { code: 'agent_not_found', statusCode: 404 }
const TAKEN = { cause: { code: '23505' } }
const NO_LIMITS: KeyLimits = { publishable: false, scopes: [], agentIds: [], origins: [], requestsPerDay: null, creditsPerDay: null }
const PUBLISHABLE: KeyLimits = {
  publishable: true, scopes: [], agentIds: [DEMO_AGENT], origins: ['https://example.com'], requestsPerDay: 100, creditsPerDay: 100
}

/** What every driver has to do for API keys, on the database of the contract suite. */
export async function testKeys (t: Test, db: Database): Promise<void> {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const create = (userId: string, limits: Partial<KeyLimits> = {}, hash: string = randomUUID()) => db.call('create_api_key', {
    p_user_id: userId, p_name: 'A key', p_key_hash: hash, p_key_prefix: 'jsk_12345678', p_limits: { ...NO_LIMITS, ...limits }
  })
  const begin = (userId: string, apiKeyId: string | null, more: object = {}) => db.call('begin_run', {
    p_user_id: userId, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: randomUUID(), p_lease_seconds: 60, p_api_key_id: apiKeyId, ...more
  })
  const end = ({ run: { runId, attempt } }: Awaited<ReturnType<typeof begin>>, credits: number) => db.call('finish_run', {
    p_run_id: runId, p_attempt: attempt, p_status: 'succeeded', p_response: 'Hi', p_finish_reason: 'stop', p_usage: null, p_credits: credits, p_model: 'm', p_error: null
  })
  const insert = (userId: string, hash: string) =>
    sql<{ id: string }>(`insert into public.api_keys (user_id, key_name, key_hash, key_prefix) values ('${userId}', 'Site', '${hash}', 'jsk_') returning id`)
  async function createUser (credits = 1000): Promise<string> {
    const id = randomUUID()
    await sql(`insert into auth.users (id) values ('${id}') returning id`)
    await sql(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ('${id}', ${credits}, 'demo') returning id`)
    return id
  }

  t.test('authenticate_api_key tells what an active key may, by its hash, or by its id if it is publishable', async t => {
    const user = await createUser()
    const [secret, publishable] = ['secret', 'publishable'].map(name => name + randomUUID())
    const mine = await create(user, { scopes: ['read'], origins: ['https://a.example'] }, secret)
    const shown = await create(user, PUBLISHABLE, publishable)
    const ask = (hash: string | null, id: string | null = null) => db.call('authenticate_api_key', { p_key_hash: hash, p_api_key_id: id })
    const nobody = { userId: null, apiKeyId: null, isPublishable: null, scopes: null, origins: null, visitorSecret: null }
    t.same(await ask(secret!), { userId: user, apiKeyId: mine.id, isPublishable: false, scopes: ['read'], origins: ['https://a.example'], visitorSecret: null })
    const found = await ask(publishable!)
    t.match(found, { userId: user, apiKeyId: shown.id, isPublishable: true, scopes: [], origins: PUBLISHABLE.origins, visitorSecret: /^[0-9a-f]{64}$/ })
    t.same(await ask(null, shown.id), found)
    t.same(await ask(null, mine.id), nobody, 'a key that has no visitors is found by no id')
    t.not((await ask(null, (await create(user, PUBLISHABLE)).id)).visitorSecret, found.visitorSecret, 'each key has a secret of its own')
    await db.call('revoke_api_key', { p_user_id: user, p_api_key_id: shown.id })
    t.same([await ask(publishable!), await ask(null, shown.id), await ask('f'.repeat(64))], [nobody, nobody, nobody])
  })

  t.test('a key that the platform\'s page made has no limits, and no scope', async t => {
    const hash = randomUUID()
    await insert(DEMO_USER, hash)
    t.match(await db.call('authenticate_api_key', { p_key_hash: hash }), { userId: DEMO_USER, isPublishable: false, scopes: [], origins: null, visitorSecret: null })
  })

  t.test('a key executes published agents, and only its own where it has any', async t => {
    const any = await create(DEMO_USER)
    const some = await create(DEMO_USER, { agentIds: [PYTHON_AGENT, UNPUBLISHED_AGENT] })
    const agentOf = (id: string, agent: string) => db.call('get_agent', { p_user_id: DEMO_USER, p_agent_id: agent, p_api_key_id: id })
    await end(await begin(DEMO_USER, any.id), 0)
    await end(await begin(DEMO_USER, some.id, { p_agent_id: PYTHON_AGENT, p_python: true }), 0)
    t.match(await agentOf(some.id, PYTHON_AGENT), { agentId: PYTHON_AGENT })
    for (const [id, agent] of [[any.id, UNPUBLISHED_AGENT], [some.id, UNPUBLISHED_AGENT], [some.id, DEMO_AGENT], [any.id, randomUUID()]] as const) {
      await t.rejects(begin(DEMO_USER, id, { p_agent_id: agent }), NO_AGENT)
      await t.rejects(agentOf(id, agent), NO_AGENT)
    }
  })

  t.test('a key that is revoked, or another user\'s, begins nothing', async t => {
    const key = await create(DEMO_USER)
    const refused = { code: 'unauthorized', statusCode: 401 }
    await t.rejects(begin(OTHER_USER, key.id), refused)
    t.match(await db.call('revoke_api_key', { p_user_id: DEMO_USER, p_api_key_id: key.id }), { id: key.id, isActive: false })
    await t.rejects(begin(DEMO_USER, key.id), refused)
    await t.rejects(db.call('get_agent', { p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT, p_api_key_id: key.id }), refused)
  })

  t.test('a run is found and cancelled by the key that began it, by its visitor, and by the user', async t => {
    const user = await createUser()
    const [key, other] = [await create(user, PUBLISHABLE), await create(user)]
    const { run: { runId } } = await begin(user, key.id, { p_visitor: 'ann' })
    const { run: { runId: ofOther } } = await begin(user, other.id)
    const { run: { runId: ofUser } } = await begin(user, null)
    for (const fn of ['get_run', 'cancel_run'] as const) {
      const ask = (id: string, apiKeyId: string | null, visitor: string | null = null) =>
        db.call(fn, { p_user_id: user, p_run_id: id, p_api_key_id: apiKeyId, p_visitor: visitor })
      const wrong: Array<Parameters<typeof ask>> = [[runId, key.id, 'bob'], [runId, key.id], [runId, other.id, 'ann'], [ofOther, other.id, 'ann'],
        [ofOther, key.id], [ofUser, key.id, 'ann'], [ofUser, other.id]]
      for (const args of wrong) await t.rejects(ask(...args), NOT_FOUND)
      t.match(await ask(runId, key.id, 'ann'), { runId })
      t.match(await ask(ofOther, other.id), { runId: ofOther })
      for (const id of [runId, ofOther, ofUser]) t.match(await ask(id, null), { runId: id })
    }
  })

  t.test('find_ended_callers names whose user is gone, and whose key is off, gone or another\'s, by their positions', async t => {
    const [user, other] = [await createUser(), await createUser()]
    const [key, off, gone] = [await create(user), await create(user), await create(user)]
    await db.call('revoke_api_key', { p_user_id: user, p_api_key_id: off.id })
    await sql(`delete from public.api_keys where id = '${gone.id}' returning id`)
    const callers = [
      { userId: user }, { userId: user, apiKeyId: off.id }, { userId: user, apiKeyId: key.id }, { userId: other, apiKeyId: key.id },
      { userId: randomUUID() }, { userId: user, apiKeyId: gone.id }, { userId: other }
    ]
    t.same(await db.call('find_ended_callers', { p_callers: callers }), [1, 3, 4, 5])
    t.same(await db.call('find_ended_callers', { p_callers: [] }), [])
  })

  t.test('an idempotency key is a key\'s, and a visitor\'s, own', async t => {
    const user = await createUser()
    const [key, other] = [await create(user, PUBLISHABLE), await create(user)]
    const callers: Array<[string | null, object]> = [[null, {}], [other.id, {}], [key.id, { p_visitor: 'ann' }], [key.id, { p_visitor: 'bob' }]]
    const once = (number: number) => begin(user, callers[number]![0], { p_idempotency_key: 'once', ...callers[number]![1] })
    const first = await Promise.all(callers.map((_, number) => once(number)))
    const again = await Promise.all(callers.map((_, number) => once(number)))
    t.same(first.map(({ joined }) => joined), [false, false, false, false])
    t.same(again.map(({ joined, run }) => [joined, run.runId]), first.map(({ run }) => [true, run.runId]))
    t.equal(new Set(first.map(({ run }) => run.runId)).size, 4)
    const race = await Promise.all(Array.from({ length: 8 }, () => begin(user, other.id, { p_idempotency_key: 'race' })))
    t.equal(race.filter(({ joined }) => !joined).length, 1)
  })

  t.test('a key begins as many runs in 24 hours as it may, however many at once, and failures count', async t => {
    const user = await createUser()
    const key = await create(user, { requestsPerDay: 3 })
    const race = await Promise.allSettled(Array.from({ length: 10 }, () => begin(user, key.id)))
    t.equal(race.filter(({ status }) => status === 'fulfilled').length, 3)
    t.match(await db.call('get_credits', { p_user_id: user }), { creditsRemaining: 997, creditsReserved: 3 }, 'nothing is held for the others')
    await t.rejects(begin(user, key.id), EXHAUSTED)
    await begin(user, null)
    await begin(user, (await create(user)).id)
    await sql(`update public.agent_runs set created_at = now() - interval '25 hours' where api_key_id = '${key.id}' returning id`)
    await begin(user, key.id)
    await t.rejects(begin(user, (await create(user, { requestsPerDay: 0 })).id), EXHAUSTED, 'a key that may begin none')
  })

  t.test('and as many as its credits allow, by what they cost or still hold', async t => {
    const user = await createUser()
    const key = await create(user, { creditsPerDay: 2 })
    const first = await begin(user, key.id)
    const second = await begin(user, key.id)
    await t.rejects(begin(user, key.id), EXHAUSTED)
    await end(first, 0)
    await begin(user, key.id)
    await end(second, 1)
    await t.rejects(begin(user, key.id), EXHAUSTED)
    t.match(await begin(user, key.id, { p_idempotency_key: 'x' }).catch(error => error), EXHAUSTED, 'what did not begin')
  })

  t.test('a run that comes to more than it held takes no more than is left of its key\'s credits', async t => {
    const user = await createUser()
    const key = await create(user, { creditsPerDay: 10 })
    const [small, large] = [await begin(user, key.id), await begin(user, key.id)]
    const ended = await Promise.all([end(small, 6), end(large, 1_000)])
    t.equal(ended.reduce((sum, { creditsCharged }) => sum + creditsCharged, 0), 10, 'whichever ends first')
    t.match(await db.call('get_credits', { p_user_id: user }), { creditsRemaining: 990, creditsReserved: 0 })
    const other = await begin(user, (await create(user)).id)
    t.match(await end(other, 20), { creditsCharged: 20 }, 'a key without a limit')
  })

  t.test('a run that has begun is joined whatever the budget is by then', async t => {
    const user = await createUser()
    const key = await create(user, { requestsPerDay: 1 })
    const { run } = await begin(user, key.id, { p_idempotency_key: 'once' })
    t.match(await begin(user, key.id, { p_idempotency_key: 'once' }), { joined: true, run: { runId: run.runId } })
  })

  t.test('a key is not told its owner\'s balance when there are too few credits', async t => {
    const user = await createUser(0)
    await t.rejects(begin(user, (await create(user)).id), { code: 'insufficient_credits', statusCode: 402, message: 'There are not enough credits.' })
    await t.rejects(begin(user, null), { message: /left: 0/ })
  })

  t.test('nobody registers another key\'s hash: not a live one, a revoked one, nor one whose row is gone or has another hash', async t => {
    const [live, revoked, deleted, changed] = ['live', 'revoked', 'deleted', 'changed'].map(name => name + randomUUID()) as [string, string, string, string]
    const ids = await Promise.all([live, revoked, deleted, changed].map(async hash => (await insert(DEMO_USER, hash))[0]!.id))
    await db.call('revoke_api_key', { p_user_id: DEMO_USER, p_api_key_id: ids[1]! })
    await sql(`delete from public.api_keys where id = '${ids[2]}' returning id`)
    await sql(`update public.api_keys set key_hash = 'new${randomUUID()}' where id = '${ids[3]}' returning id`)
    const [mine] = await insert(OTHER_USER, randomUUID())
    for (const hash of [live, revoked, deleted, changed]) {
      await t.rejects(insert(OTHER_USER, hash), TAKEN, hash)
      await t.rejects(create(OTHER_USER, {}, hash), TAKEN, hash)
      await t.rejects(sql(`update public.api_keys set key_hash = '${hash}' where id = '${mine!.id}' returning id`), TAKEN, hash)
    }
    await insert(DEMO_USER, deleted)
    await t.rejects(insert(OTHER_USER, deleted), TAKEN, 'its owner may use it again, and nobody else still')
    await sql(`update public.api_keys set key_name = 'Other', key_hash = key_hash where id = '${mine!.id}' returning id`)
  })

  t.test('a deletion and a registration of the same hash at once leave it with its owner', async t => {
    const hash = randomUUID()
    const [row] = await insert(DEMO_USER, hash)
    await Promise.allSettled([sql(`delete from public.api_keys where id = '${row!.id}' returning pg_sleep(0.1)::text`), insert(OTHER_USER, hash)])
    t.same(await sql(`select id from public.api_keys where key_hash = '${hash}' and user_id = '${OTHER_USER}'`), [])
  })

  t.test('a user\'s keys are made, listed newest first, and revoked, by nobody else', async t => {
    const user = await createUser()
    const plain = await create(user)
    t.same(plain, { ...NO_LIMITS, id: plain.id, name: 'A key', prefix: 'jsk_12345678', isActive: true, lastUsedAt: null, createdAt: plain.createdAt })
    const shown = await create(user, PUBLISHABLE)
    t.match(shown, PUBLISHABLE)
    t.same(await db.call('list_api_keys', { p_user_id: user, p_limit: 500 }), { keys: [shown, plain] })
    t.same(await db.call('list_api_keys', { p_user_id: user, p_limit: 1 }), { keys: [shown] })
    await t.rejects(db.call('revoke_api_key', { p_user_id: OTHER_USER, p_api_key_id: plain.id }), { code: 'key_not_found', statusCode: 404 })
    for (let n = 0; n < 2; n++) t.same(await db.call('revoke_api_key', { p_user_id: user, p_api_key_id: plain.id }), { ...plain, isActive: false })
    await t.rejects(create(OTHER_USER, { agentIds: [UNPUBLISHED_AGENT] }), NO_AGENT)
    t.match(await create(DEMO_USER, { agentIds: [UNPUBLISHED_AGENT] }), { agentIds: [UNPUBLISHED_AGENT] }, 'an own agent may be published later')
    await t.rejects(create(randomUUID()), { code: 'unauthorized', statusCode: 401 })
    await sql(`insert into public.api_keys (user_id, key_name, key_hash, key_prefix) select '${user}', 'x', gen_random_uuid(), 'x' from generate_series(1, 99) returning id`)
    await t.rejects(create(user), { code: 'too_many_keys', statusCode: 409 })
  })

  t.test('a publishable key without agents, origins or limits is none that can be stored', async t => {
    for (const lacking of [{ agentIds: [] }, { origins: [] }, { requestsPerDay: null }, { creditsPerDay: null }, { scopes: ['read' as const] }]) {
      await t.rejects(create(DEMO_USER, { ...PUBLISHABLE, ...lacking }), { cause: { code: '23514' } }, JSON.stringify(lacking))
    }
    await t.rejects(create(DEMO_USER, { scopes: ['admin' as 'read'] }), { cause: { code: '23514' } })
  })

  t.test('what an admin asked for in vain is noted, and nobody else notes anything', async t => {
    const args = { p_action: 'ledger', p_error: 'user_not_found', p_user_id: randomUUID() }
    await db.call('admin_note_miss', { p_admin_id: DEMO_USER, ...args })
    const noted = () => sql(`select admin_id, action, details from public.admin_actions where user_id = '${args.p_user_id}'`)
    t.same(await noted(), [{ admin_id: DEMO_USER, action: 'ledger', details: { error: 'user_not_found' } }])
    await t.rejects(db.call('admin_note_miss', { p_admin_id: OTHER_USER, ...args }), { code: 'forbidden', statusCode: 403 })
    t.equal((await noted()).length, 1)
  })
}
