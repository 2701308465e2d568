import t, { type Test } from 'tap'
import { delta, ending, frame, hang, inTurn as byNumber, openStream, refuse, type Reply, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, DEMO_USER, endOf, OTHER_USER, type Service, startService, UNPUBLISHED_AGENT } from '../support/helper.js'
import { fetchForTest } from '../packages/fetch.js'
import { ASKED, numbersOf, PACKAGES, startClient, textOf, typesOf, type Use, type UseOptions } from './responses-client.js'

/** Answers the calls from now on in turn, the last of them from there on. */
function inTurn (...replies: Reply[]): Reply {
  const reply = byNumber(...replies)
  let calls = 0
  return (response, call) => reply(response, call, ++calls)
}

const runIdOf = (id: string) => id.slice('resp_'.length)
const TEXT_EVENTS = [
  'response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added', 'response.output_text.delta',
  'response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.completed'
]

/** Says the beginning, and the rest when the test says so. */
function byHand (service: Service, first: string) {
  let finish = (_rest: string) => {}
  service.gateway.reply = response => {
    openStream(response).write(delta(first))
    finish = rest => { response.end(delta(rest) + ending()) }
  }
  return (rest: string) => finish(rest)
}

/** Thinks, says something and calls a tool that there is not; then answers. */
function useTool (): Reply {
  const thinking = frame({ choices: [{ index: 0, delta: { reasoning_content: 'Hm.' } }] })
  const call = frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'nobody', arguments: '{"a":1}' } }] } }] })
  return inTurn(
    response => { openStream(response).end(thinking + delta('Let me look. ') + call + ending('tool_calls')) },
    response => { openStream(response).end(delta('Done') + ending()) })
}

const breakOff = (...pieces: string[]): Reply => (response, call, number) => {
  hang(...pieces)(response, call, number)
  setTimeout(() => response.destroy(), 50)
}

t.test('responses', async t => {
  const directory = await fetchForTest(t, 'openai')
  if (directory === undefined) return
  const service = await startService(t, { RATE_LIMIT_MAX: '10000' })
  for (const name of PACKAGES) {
    const use = startClient(t, directory, name, service.url)
    t.test(`by the package ${name}: asked and read`, async t => testAnswers(t, service, use))
    t.test(`by the package ${name}: retrieved`, async t => testRetrieval(t, service, use))
    t.test(`by the package ${name}: kept and continued`, async t => testKept(t, service, use))
    t.test(`by the package ${name}: refused`, async t => testErrors(t, service, use))
  }
})

const tokenOf = async (userId?: string) => (await bearer(userId)).authorization!.slice('Bearer '.length)

async function testAnswers (t: Test, service: Service, use: Use): Promise<void> {
  const { gateway } = service

  await t.test('an answer comes as a whole, with an access token and with an API key', async t => {
    gateway.reply = say('Hello', ' world')
    for (const options of [{}, { key: await tokenOf() }]) {
      const { result, error } = await use('create', { ...ASKED, metadata: { topic: 'greeting' }, temperature: 1.5, max_output_tokens: 5 }, options)
      t.equal(error, undefined)
      t.match(result, {
        id: /^resp_[0-9a-f-]{36}$/,
        object: 'response',
        status: 'completed',
        model: DEMO_AGENT,
        output_text: 'Hello world',
        output: [{ type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'Hello world', annotations: [] }] }],
        metadata: { topic: 'greeting' },
        usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
        error: null
      })
      t.ok(Math.abs(result.created_at - Date.now() / 1000) < 60 && result.completed_at >= result.created_at)
    }
  })

  await t.test('a stream has the events in the order of the protocol, and its helper accepts it', async t => {
    const { result: events } = await use('stream')
    t.same(typesOf(events), TEXT_EVENTS)
    t.ok(numbersOf(events).every((number, index, all) => index === 0 ? number === 0 : number > all[index - 1]!), 'numbers rise')
    const { result: helped, error } = await use('helper')
    t.equal(error, undefined)
    t.same(typesOf(helped.events), TEXT_EVENTS)
    t.match(helped.response, { status: 'completed', output_text: 'Hello world' })
  })

  await t.test('what the model thinks and the tools that the service runs are items of their own', async t => {
    gateway.reply = useTool()
    const { result, error } = await use('helper')
    t.equal(error, undefined)
    t.match(result.response.output, [
      { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'Hm.' }], status: 'completed' },
      { type: 'message', content: [{ text: 'Let me look. ' }] },
      { type: 'mcp_call', server_label: 'jeesi', name: 'nobody', arguments: '{"a":1}', status: 'failed', output: null, error: { type: 'mcp_tool_execution_error', content: [{ text: /^There is no tool nobody/ }] } },
      { type: 'message', content: [{ text: 'Done' }] }
    ])
    t.equal(result.response.output_text, 'Let me look. Done')
    for (const type of ['response.mcp_call.in_progress', 'response.mcp_call_arguments.done', 'response.mcp_call.failed', 'response.reasoning_text.done']) {
      t.ok(typesOf(result.events).includes(type), type)
    }
    t.notMatch(JSON.stringify(result), 'function_call')
    t.same((await use('retrieve', { id: result.response.id })).result.output.length, 4)
  })

  await t.test('what is taken back is an item that ends incomplete, and no part of the response', async t => {
    gateway.reply = inTurn(breakOff('Hello', ' wor'), say('Good day'))
    const { result, error } = await use('helper')
    t.equal(error, undefined)
    t.match(result.response, { status: 'completed', output_text: 'Good day', output: [{ status: 'completed' }] })
    const done = result.events.filter(({ type }: any) => type === 'response.output_item.done')
    t.match(done, [{ output_index: 0, item: { status: 'incomplete', content: [{ text: 'Hello wor' }] } }, { output_index: 1, item: { status: 'completed' } }])
    t.not(done[0].item.id, done[1].item.id)
    t.equal(textOf(result.events), 'Good day')
    const { result: again } = await use('retrieveHelper', { id: result.response.id })
    t.same(numbersOf(again.events), numbersOf(result.events))
  })

  await t.test('an answer that is cut is incomplete, and one that fails is an error or says so', async t => {
    gateway.reply = response => { openStream(response).end(delta('Hello') + ending('length')) }
    t.match((await use('helper')).result.response, { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' }, output: [{ status: 'incomplete' }] })
    gateway.reply = refuse(400, 'no')
    t.match((await use('create', { ...ASKED, input: 'fails as a whole' })).error, { status: 422, code: 'gateway_rejected', shouldRetry: 'false' })
    const { result } = await use('helper', { ...ASKED, input: 'fails in a stream' })
    t.same(typesOf(result.events), ['response.created', 'response.in_progress', 'response.failed'])
    t.match(result.response, { status: 'failed', error: { code: 'gateway_rejected', message: String } })
    t.match((await use('retrieve', { id: result.response.id })).result, { status: 'failed', error: { code: 'gateway_rejected' } })
    gateway.reply = say('Hello', ' world')
  })

  await t.test('the format of the answer is passed to the model', async t => {
    const format = { type: 'json_schema', name: 'greeting', schema: { type: 'object' }, strict: true }
    t.match((await use('create', { ...ASKED, text: { format } })).result.text, { format })
    t.match(gateway.calls.at(-1)!.body.response_format, { type: 'json_schema', json_schema: { name: 'greeting', schema: { type: 'object' }, strict: true } })
  })

  await t.test('a request that the package repeats is answered by the run that it has begun', async t => {
    const count = async () => (await service.request('GET', '/api/runs?limit=100')).body.runs.length
    const before = await count()
    gateway.reply = async (response, call, number) => {
      await new Promise(resolve => setTimeout(resolve, 3_000))
      say('Late')(response, call, number)
    }
    const { result } = await use('create', { ...ASKED, input: `late ${before}` }, { timeout: 2_000, maxRetries: 5 })
    t.match(result, { status: 'completed', output_text: 'Late' })
    t.equal(await count(), before + 1)
    t.match((await use('retrieve', { id: result.id })).result, { output_text: 'Late' }, 'and is kept')
    gateway.reply = say('Hello', ' world')
  })
}

async function testRetrieval (t: Test, service: Service, use: Use): Promise<void> {
  await t.test('a response is retrieved while it goes on, and its stream from where it was left', async t => {
    const finish = byHand(service, 'Hello ')
    const { result: begun } = await use('leave')
    const { id } = begun[0].response
    t.equal(textOf(begun), 'Hello ')
    t.match((await use('retrieve', { id })).result, { status: 'in_progress', output: [{ status: 'in_progress' }], output_text: 'Hello ', usage: null, completed_at: null })
    const last = numbersOf(begun).at(-1)!
    const [rest, all] = [use('retrieveStream', { id, starting_after: last }), use('retrieveHelper', { id })]
    finish('world')
    const { result: events } = await rest
    t.ok(numbersOf(events).every(number => number > last))
    t.equal(textOf([...begun, ...events]), 'Hello world')
    t.match(events.at(-1), { type: 'response.completed', response: { output: [{ content: [{ text: 'Hello world' }] }] } })
    const { result: { response, events: whole } } = await all
    t.equal(response.output_text, 'Hello world')
    t.same(numbersOf(whole), numbersOf([...begun, ...events]), 'the numbers are the same for everybody')
  })

  await t.test('after its end a stream is the same, from its beginning or from any number, and after the process has forgotten it', async t => {
    service.gateway.reply = useTool()
    const { result: events } = await use('stream')
    const { id } = events[0].response
    const numbers = numbersOf(events)
    t.same((await use('retrieveStream', { id })).result, events)
    for (const place of [0, 4, numbers.length - 2]) {
      t.same((await use('retrieveStream', { id, starting_after: numbers[place] })).result, events.slice(place + 1))
    }
    t.same((await use('retrieveStream', { id, starting_after: numbers.at(-1) })).result, [], 'after the last there is nothing')
    const { result: helped } = await use('retrieveHelper', { id, starting_after: numbers[4] })
    t.same(numbersOf(helped.events), numbers.slice(5))
    service.app.events.evict(runIdOf(id))
    const { result: restored } = await use('retrieveHelper', { id })
    const isText = ({ type, delta }: any) => !/\.delta$/.test(type) || delta !== ''
    t.same(restored.events.map(({ type, sequence_number: number }: any) => [number, type]),
      events.filter(({ type }: any) => type !== 'response.reasoning_text.delta').filter(isText).map(({ type, sequence_number: number }: any) => [number, type]),
      'without the texts that are not kept, under the same numbers')
    t.equal(restored.response.output_text, 'Let me look. Done')
    t.match(restored.response.output[2], { type: 'mcp_call', name: 'nobody', arguments: '{}', status: 'failed' })
  })

  await t.test('a response in the background is there at once, and is waited for', async t => {
    const finish = byHand(service, 'Hello ')
    const asked = service.gateway.nextCall()
    const { result } = await use('create', { ...ASKED, background: true })
    t.match(result, { status: /^(queued|in_progress)$/, background: true, output_text: String })
    await asked
    finish('world')
    await endOf(service, runIdOf(result.id))
    t.match((await use('retrieve', { id: result.id })).result, { status: 'completed', background: true, output_text: 'Hello world' })
  })

  await t.test('one that goes on is cancelled, whether it is in the background or not; one that has ended is not', async t => {
    byHand(service, 'Hello ')
    for (const background of [true, false]) {
      const { result: begun } = await use('leave', { ...ASKED, background })
      const { id } = begun[0].response
      const reading = use('retrieveHelper', { id })
      t.match((await use('cancel', { id })).result, { id, status: 'cancelled', output: [{ status: 'incomplete', content: [{ text: 'Hello ' }] }] })
      const { result: told } = await reading
      t.match(told.events.at(-1), { type: 'response.failed', response: { status: 'cancelled', error: { code: 'run_cancelled' } } }, 'nobody takes it for whole')
      t.match((await use('cancel', { id })).result, { status: 'cancelled' })
    }
    service.gateway.reply = say('Hello', ' world')
    const { result: whole } = await use('create')
    t.match((await use('cancel', { id: whole.id })).result, { status: 'completed' })
  })
}

async function testKept (t: Test, service: Service, use: Use): Promise<void> {
  const { gateway } = service
  gateway.reply = say('Hello', ' world')

  await t.test('a conversation goes on from a response, without its instructions', async t => {
    const { result: first } = await use('create', { ...ASKED, input: 'One', instructions: 'Be short.' })
    t.match(gateway.calls.at(-1)!.body.messages.slice(1), [{ role: 'system', content: 'Be short.' }, { role: 'user', content: 'One' }])
    const { result: second } = await use('create', { ...ASKED, input: 'Two', previous_response_id: first.id })
    t.match(second, { previous_response_id: first.id, instructions: null })
    const { result: third } = await use('create', { ...ASKED, input: [{ role: 'user', content: 'Three' }], previous_response_id: second.id })
    t.same(gateway.calls.at(-1)!.body.messages.slice(1), [
      { role: 'user', content: 'One' }, { role: 'assistant', content: 'Hello world' },
      { role: 'user', content: 'Two' }, { role: 'assistant', content: 'Hello world' }, { role: 'user', content: 'Three' }
    ])
    t.equal((await use('delete', { id: first.id })).error, undefined)
    t.match((await use('retrieve', { id: first.id })).error, { class: 'NotFoundError', status: 404, code: 'response_not_found' })
    t.match((await use('create', { ...ASKED, previous_response_id: third.id })).error, { status: 404, code: 'previous_response_not_found', param: 'previous_response_id' })
    const run = (await service.request('GET', `/api/runs/${runIdOf(first.id)}`)).body
    t.match(run, { status: 'succeeded', response: '', creditsCharged: 1 }, 'what it has cost stays')
  })

  await t.test('a client keeps the conversation itself, with what it was answered and with tools of its own', async t => {
    gateway.reply = useTool()
    const { result: { output } } = await use('create')
    gateway.reply = say('Hello', ' world')
    const { result, error } = await use('create', {
      ...ASKED,
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'Look' }, { type: 'input_image', image_url: 'https://example.com/a.png', detail: 'low' }] },
        ...output,
        { type: 'function_call', call_id: 'f1', name: 'f', arguments: '{}' },
        { type: 'function_call', call_id: 'f2', name: 'g', arguments: '{}' },
        { type: 'function_call_output', call_id: 'f1', output: 'found' },
        { type: 'function_call_output', call_id: 'f2', output: [{ type: 'input_text', text: 'nothing' }] },
        { type: 'message', role: 'developer', content: 'Now answer' }
      ]
    })
    t.equal(error, undefined)
    t.same(gateway.calls.at(-1)!.body.messages.slice(1), [
      { role: 'user', content: [{ type: 'text', text: 'Look' }, { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'low' } }] },
      { role: 'assistant', content: 'Let me look. ' },
      { role: 'assistant', content: 'Done' },
      { role: 'assistant', content: null, tool_calls: [{ id: 'f1', type: 'function', function: { name: 'f', arguments: '{}' } }, { id: 'f2', type: 'function', function: { name: 'g', arguments: '{}' } }] },
      { role: 'tool', tool_call_id: 'f1', content: 'found' },
      { role: 'tool', tool_call_id: 'f2', content: 'nothing' },
      { role: 'developer', content: 'Now answer' }
    ])
    const { result: items } = await use('inputItems', { id: result.id, query: { order: 'asc', limit: 3 } })
    t.match(items.map(({ type }: any) => type), ['message', 'message', 'message', 'function_call', 'function_call', 'function_call_output', 'function_call_output', 'message'], 'page by page')
    t.same((await use('inputItems', { id: result.id })).result, items.toReversed(), 'the last one first')
    t.equal(new Set(items.map(({ id }: any) => id)).size, 8)
    t.equal(items[1].id, output[1].id)
  })

  await t.test('one that is not to be stored is answered, and nothing of it is kept', async t => {
    const { result } = await use('create', { ...ASKED, store: false })
    t.match(result, { status: 'completed', store: false, output_text: 'Hello world' })
    for (const call of ['retrieve', 'retrieveStream', 'inputItems', 'cancel', 'delete']) t.match((await use(call, { id: result.id })).error, { status: 404, code: 'response_not_found' }, call)
    t.match((await use('create', { ...ASKED, previous_response_id: result.id })).error, { status: 404, code: 'previous_response_not_found' })
    t.equal((await use('stream', { ...ASKED, store: false })).result.at(-1).type, 'response.completed')
  })

  await t.test('one that goes on is ended before it is deleted', async t => {
    byHand(service, 'Hello ')
    const { result: begun } = await use('leave')
    const { id } = begun[0].response
    t.match((await use('create', { ...ASKED, previous_response_id: id })).error, { class: 'ConflictError', status: 409, code: 'response_under_way', shouldRetry: 'false' })
    t.equal((await use('delete', { id })).error, undefined)
    t.match((await use('retrieve', { id })).error, { status: 404 })
    t.match((await service.request('GET', `/api/runs/${runIdOf(id)}`)).body, { status: 'cancelled', response: '' })
    gateway.reply = say('Hello', ' world')
  })
}

async function testErrors (t: Test, service: Service, use: Use): Promise<void> {
  await t.test('fields that cannot be had are refused by name', async t => {
    const item = (fields: object) => ({ ...ASKED, input: [fields] })
    const cases: Array<[args: object, param: string]> = [
      [{ ...ASKED, conversation: 'conv_1' }, 'conversation'],
      [{ ...ASKED, prompt: { id: 'p' } }, 'prompt'],
      [{ ...ASKED, tools: [{ type: 'web_search' }] }, 'tools'],
      [{ ...ASKED, tool_choice: 'required' }, 'tool_choice'],
      [{ ...ASKED, top_logprobs: 3 }, 'top_logprobs'],
      [{ ...ASKED, include: ['reasoning.encrypted_content', 'message.output_text.logprobs'] }, 'include.1'],
      [{ ...ASKED, background: true, store: false }, 'store'],
      [{ model: DEMO_AGENT }, 'input'],
      [{ ...ASKED, input: [] }, 'input'],
      [item({ role: 'tool', content: 'x' }), 'input.0.role'],
      [item({ role: 'user' }), 'input.0.content'],
      [item({ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }), 'input.0.content.0.type'],
      [item({ role: 'user', content: [{ type: 'input_image', image_url: 'file:///etc/passwd' }] }), 'input.0.content.0.image_url'],
      [item({ type: 'item_reference', id: 'msg_1' }), 'input.0.type'],
      [item({ type: 'function_call_output', call_id: 'c', output: 'x' }), 'input.0.call_id'],
      [item({ type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' }), 'input.0']
    ]
    const calls = service.gateway.calls.length
    for (const [args, param] of cases) t.match((await use('create', args)).error, { class: 'BadRequestError', status: 400, param, type: 'invalid_request_error', requestId: String }, JSON.stringify(args))
    t.equal(service.gateway.calls.length, calls)
  })

  await t.test('errors have the classes and codes of the package', async t => {
    const cases: Array<[args: object, options: UseOptions, error: object]> = [
      [ASKED, { key: 'jeesi_no_such_key' }, { class: 'AuthenticationError', status: 401, code: 'invalid_api_key' }],
      [{ ...ASKED, model: 'gpt-5' }, {}, { class: 'NotFoundError', status: 404, code: 'model_not_found' }],
      [{ ...ASKED, model: UNPUBLISHED_AGENT }, {}, { class: 'NotFoundError', status: 404, code: 'model_not_found' }],
      [{ ...ASKED, previous_response_id: 'resp_1' }, {}, { class: 'NotFoundError', status: 404, code: 'previous_response_not_found', param: 'previous_response_id' }]
    ]
    for (const [args, options, error] of cases) t.match((await use('create', args, options)).error, error, JSON.stringify(args))
  })

  await t.test('somebody else\'s response is not there', async t => {
    const { result: { id } } = await use('create')
    const [owner, other] = [{ key: await tokenOf(DEMO_USER) }, { key: await tokenOf(OTHER_USER) }]
    for (const call of ['retrieve', 'retrieveStream', 'retrieveHelper', 'cancel', 'delete', 'inputItems']) t.match((await use(call, { id }, other)).error, { class: 'NotFoundError', status: 404, code: 'response_not_found' }, call)
    t.match((await use('create', { ...ASKED, previous_response_id: id }, other)).error, { status: 404, code: 'previous_response_not_found' })
    t.match((await use('retrieve', { id }, owner)).result, { id }, 'a key\'s owner reads it')
    const { result: owners } = await use('create', ASKED, owner)
    t.match((await use('retrieve', { id: owners.id })).error, { status: 404, code: 'response_not_found' }, 'a key does not read its owner\'s')
    t.match((await use('retrieve', { id: 'resp_nothing' })).error, { status: 404, code: 'response_not_found' })
    const begun = await service.execute()
    t.match((await use('retrieve', { id: `resp_${begun.headers.get('x-run-id')}` })).error, { status: 404 }, 'nor is a run that was begun otherwise one')
  })

  await t.test('who has no credits is told so, once', async t => {
    const broke = { key: await tokenOf(OTHER_USER) }
    await service.app.database.call('deduct_credits' as never, { p_user_id: OTHER_USER, p_credits: (await service.credits(OTHER_USER)).creditsRemaining } as never).catch(() => {})
    const calls = service.gateway.calls.length
    t.match((await use('create', ASKED, broke)).error, { class: 'RateLimitError', status: 429, code: 'insufficient_quota', shouldRetry: 'false' })
    t.equal(service.gateway.calls.length, calls)
  })
}
