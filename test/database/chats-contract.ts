import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { Database } from '../../src/database/port.js'
import { DEMO_AGENT, DEMO_USER, OTHER_USER } from '../support/helper.js'

/** What every driver has to do with the chats of pages, on the database of the contract suite. */
export async function testChats (t: Test, db: Database): Promise<void> {
  const begin = async (chat: string | undefined, more: { p_api_key_id?: string, p_visitor?: string } = {}) => {
    const { run: { runId } } = await db.call('begin_run', {
      p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_agent: { name: 'A' }, p_owner: randomUUID(), p_lease_seconds: 60, ...more
    })
    if (chat !== undefined) await db.call('note_chat', { p_user_id: DEMO_USER, p_run_id: runId, p_chat_id: chat, p_protocol: '6' })
    return runId
  }
  const finish = (runId: string) => db.call('finish_run', {
    p_run_id: runId, p_attempt: 1, p_status: 'succeeded', p_response: 'Hi', p_finish_reason: 'stop', p_usage: null, p_credits: 0, p_model: null, p_error: null
  })
  const find = async (chat: string, more: object = {}) => (await db.call('find_chat_run', { p_user_id: DEMO_USER, p_chat_id: chat, ...more }))?.run.runId

  t.test('a chat is answered by its latest run, ended or not', async t => {
    const [first, second] = [await begin('a chat'), await begin('a chat')]
    t.equal(await find('a chat'), second)
    t.match(await db.call('find_chat_run', { p_user_id: DEMO_USER, p_chat_id: 'a chat' }), { protocol: '6', told: false })
    await db.call('note_chat_told', { p_run_id: second })
    t.match(await db.call('find_chat_run', { p_user_id: DEMO_USER, p_chat_id: 'a chat' }), { protocol: '6', told: true })
    await finish(second)
    t.equal(await find('a chat'), second)
    t.equal(await find('a chat', { p_unfinished: true }), first)
    await finish(first)
    t.equal(await find('a chat', { p_unfinished: true }), undefined)
  })

  t.test('a run is found by its id too', async t => {
    const runId = await begin(undefined)
    t.same(await db.call('find_chat_run', { p_user_id: DEMO_USER, p_chat_id: runId }).then(found => found?.protocol), null)
    t.equal(await find(runId.toUpperCase()), runId)
    t.equal(await find(randomUUID()), undefined)
    t.equal(await find('no id'), undefined)
  })

  t.test('nobody finds the chat of somebody else', async t => {
    const { id } = await db.call('create_api_key', {
      p_user_id: DEMO_USER, p_name: 'A key', p_key_hash: randomUUID(), p_key_prefix: 'jpk_', p_limits: { publishable: true, scopes: [], agentIds: [DEMO_AGENT], origins: ['https://example.com'], requestsPerDay: 9, creditsPerDay: 9 }
    })
    const key = { p_api_key_id: id, p_visitor: 'one' }
    const [own, ofKey] = [await begin('mine'), await begin('of a visitor', key)]
    for (const chat of ['mine', own, 'of a visitor', ofKey]) t.equal(await db.call('find_chat_run', { p_user_id: OTHER_USER, p_chat_id: chat }), null)
    for (const chat of ['mine', own]) t.equal(await find(chat, key), undefined, 'a key finds what it has begun')
    for (const chat of ['of a visitor', ofKey]) {
      t.equal(await find(chat, key), ofKey)
      t.equal(await find(chat, { ...key, p_visitor: 'another' }), undefined)
      t.equal(await find(chat), ofKey, 'its owner finds it')
    }
    await t.rejects(db.call('note_chat', { p_user_id: OTHER_USER, p_run_id: own, p_chat_id: 'theirs', p_protocol: '5' }), { code: 'run_not_found' })
  })

  t.test('a run answers the chat that was noted first', async t => {
    const runId = await begin('first')
    await db.call('note_chat', { p_user_id: DEMO_USER, p_run_id: runId, p_chat_id: 'second', p_protocol: '5' })
    t.equal(await find('first'), runId)
    t.equal(await find('second'), undefined)
  })

  t.test('what a page has sent is kept with the latest run of its chat, and of no other caller', async t => {
    const { id } = await db.call('create_api_key', {
      p_user_id: DEMO_USER, p_name: 'A key', p_key_hash: randomUUID(), p_key_prefix: 'jpk_', p_limits: { publishable: true, scopes: [], agentIds: [DEMO_AGENT], origins: ['https://example.com'], requestsPerDay: 9, creditsPerDay: 9 }
    })
    const note = async (messages: unknown, more: object = {}) => {
      const runId = await begin(undefined, more)
      await db.call('note_chat', { p_user_id: DEMO_USER, p_run_id: runId, p_chat_id: 'a thread', p_protocol: 'ag-ui', p_page_run: 'a run', p_messages: messages })
      return runId
    }
    const messagesOf = (runId: string, more: object = {}) => db.call('get_chat_messages', { p_user_id: DEMO_USER, p_run_id: runId, p_max_bytes: 100, ...more })
    const key = { p_api_key_id: id, p_visitor: 'one' }
    const ofVisitor = await note([{ id: 'theirs' }], key)
    const first = await note([{ id: 'm1' }])
    t.same(await messagesOf(first), { bytes: 14, messages: [{ id: 'm1' }] })
    const second = await note([{ id: 'm1' }, { id: 'm2' }])
    t.equal(await messagesOf(first), null)
    t.match(await messagesOf(second), { messages: [{ id: 'm1' }, { id: 'm2' }] })
    t.same(await messagesOf(second, { p_max_bytes: 5 }), { bytes: 28, messages: null })
    await db.call('note_chat', { p_user_id: DEMO_USER, p_run_id: first, p_chat_id: 'a thread', p_protocol: 'ag-ui', p_page_run: 'a run', p_messages: [{ id: 'm1' }] })
    t.match(await messagesOf(second), { messages: [{ id: 'm1' }, { id: 'm2' }] }, 'an earlier run that is begun again takes nothing')
    t.match(await messagesOf(ofVisitor), { messages: [{ id: 'theirs' }] }, 'another caller may call a chat so too')
    t.match(await messagesOf(ofVisitor, key), { messages: [{ id: 'theirs' }] })
    for (const more of [{ ...key, p_visitor: 'another' }, { p_user_id: OTHER_USER }]) t.equal(await messagesOf(ofVisitor, more), null)
    t.match(await db.call('find_chat_run', { p_user_id: DEMO_USER, p_chat_id: 'a thread' }), { pageRun: 'a run', protocol: 'ag-ui' })
    await finish(second)
    await db.call('erase_old_runs', { p_days: 0, p_limit: 1000 })
    t.equal(await messagesOf(second), null)
  })

  t.test('the name of a chat goes with the other texts of its run', async t => {
    const runId = await begin('erased')
    await finish(runId)
    await db.call('erase_old_runs', { p_days: 0, p_limit: 1000 })
    t.equal(await find('erased'), undefined)
    await t.rejects(db.call('note_chat', { p_user_id: DEMO_USER, p_run_id: runId, p_chat_id: 'again', p_protocol: '5' }), { code: 'run_not_found' })
  })
}
