import fc from 'fast-check'
import t from 'tap'
import { lastUserText } from '#shared/prompt.ts'
import { wordsIn } from '#shared/functions/function-config.ts'
import { occursIn, searchedPartOf } from '#shared/functions/word-search.ts'
import { extract, patternsIn } from '#shared/functions/extract.ts'
import { runTriggered } from '../../../../src/executor/tools/functions/triggered.js'
import { MAX_RESULT_CHARACTERS } from '#shared/functions/result-text.ts'
import { AGENT, createContext, fn, openOutbound, respond, startServer } from '../../../support/tools.js'
import { often } from '../../../support/scope.js'

t.test('the last message of the user counts, and of one in parts its texts', async t => {
  t.equal(lastUserText([{ role: 'user', content: 'one' }, { role: 'assistant', content: 'no' }]), 'one')
  t.equal(lastUserText([{ role: 'user', content: 'one' }, { role: 'user', content: 'two' }, { role: 'system', content: 'no' }]), 'two')
  t.equal(lastUserText([{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'image_url', image_url: { url: 'data:x' } }, { type: 'text', text: 'b' }] }]), 'a\nb')
  t.equal(lastUserText([{ role: 'system', content: 'no' }]), '')
})

t.test('a function runs where one of its keywords occurs, in whatever case, and in its turn', async t => {
  const format = (name: string, triggerKeywords: string[]) => fn('data_transform', { transform_type: 'format', template: `${name} {{data}}` }, { name, triggerKeywords })
  const context = createContext(t)
  const functions = [format('one', ['WEATHER ']), format('two', ['sun', 'rain']), format('three', ['snow']), format('four', []), format('five', ['', ' ']), format('six', ['fore'])]
  const { results, answer, webhooks } = await runTriggered(functions, 'Weather Forecast: Rain', context)
  t.same(results, [
    { functionName: 'one', functionType: 'data_transform', success: true, data: 'one Weather Forecast: Rain' },
    { functionName: 'two', functionType: 'data_transform', success: true, data: 'two Weather Forecast: Rain' },
    { functionName: 'six', functionType: 'data_transform', success: true, data: 'six Weather Forecast: Rain' }
  ])
  t.equal(answer, undefined)
  t.same(webhooks, [])
  t.same(context.events.map(({ type, id, name }) => [type, id, name]), [
    ['tool_call', 'fn_1', 'one'], ['tool_result', 'fn_1', 'one'], ['tool_call', 'fn_2', 'two'], ['tool_result', 'fn_2', 'two'], ['tool_call', 'fn_6', 'six'], ['tool_result', 'fn_6', 'six']
  ])
  t.match(context.events[0], { arguments: { user_input: 'Weather Forecast: Rain' }, functionType: 'data_transform' })
  t.match(context.events[1], { success: true, content: 'one Weather Forecast: Rain' })
})

t.test('property: keywords are found wherever they stand', async () => {
  const word = fc.string({ minLength: 1 }).map(text => text.trim()).filter(text => text !== '' && text.toLowerCase() === text)
  fc.assert(fc.property(fc.string(), word, fc.string(), (before, keyword, after) => occursIn(searchedPartOf(`${before}${keyword}${after}`), wordsIn([keyword]))))
  fc.assert(fc.property(word, fc.string(), (keyword, text) => occursIn(searchedPartOf(text), wordsIn([keyword])) === text.toLowerCase().includes(keyword)))
  fc.assert(fc.property(fc.anything(), fc.string(), (list, text) => typeof occursIn(searchedPartOf(text), wordsIn(list)) === 'boolean'))
})

t.test('tools for the model, and types that are run elsewhere, are not triggered', async t => {
  const functions = [
    fn('data_transform', { transform_type: 'format', template: 'x', parameters: { type: 'object' } }),
    fn('mcp', { url: 'http://x' }), fn('python', { entrypoint: 'a:b' }), fn('unheard_of', { parameters: { type: 'object' } })
  ]
  const context = createContext(t)
  t.same(await runTriggered(functions, 'go', context), { results: [], webhooks: [] })
  t.same(context.events, [])
})

t.test('an api_call sends what its templates make of the text, and brings the answer', async t => {
  const server = await startServer(t, respond(200, { temperature: 20 }))
  const context = createContext(t)
  const api = fn('api_call', {
    url: `${server.url}/weather?q={{user_input}}`,
    method: 'post',
    headers_json: '{"X-Key": "k", "x-count": 1}',
    body_template: '{"query": "{{user_input}}", "agent": "{{agent_id}}"}'
  })
  const text = 'go "to" Köln & back'
  t.same((await runTriggered([api], text, context)).results, [{ functionName: 'api_call', functionType: 'api_call', success: true, data: '{"temperature":20}' }])
  t.match(server.requests, [{ method: 'POST', url: `/weather?q=${encodeURIComponent(text)}`, headers: { 'x-key': 'k', 'x-count': '1', 'content-type': 'application/json' } }])
  t.same(JSON.parse(server.requests[0]!.body), { query: text, agent: AGENT })
})

t.test('a body is a form or plain text where the headers say so, and none where the method takes none', async t => {
  const server = await startServer(t, respond(200))
  const context = createContext(t)
  const send = async (headers_json: unknown, body_template: unknown, method?: string) => {
    await runTriggered([fn('api_call', { url: server.url, method, headers_json, body_template })], 'go & "go"', context)
    return server.requests.at(-1)!
  }
  t.match(await send({ 'Content-Type': 'application/x-www-form-urlencoded' }, 'q={{user_input}}', 'POST'), { body: 'q=go%20%26%20%22go%22' })
  t.match(await send({ 'content-type': 'text/plain' }, 'q={{user_input}}', 'PUT'), { method: 'PUT', body: 'q=go & "go"', headers: { 'content-type': 'text/plain' } })
  t.match(await send('', '{"q": {{user_input}}}', 'PATCH'), { method: 'PATCH', body: '{"q": "go & \\"go\\""}' })
  t.match(await send(undefined, { q: '{{user_input}}' }, 'POST'), { body: '{"q":"go & \\"go\\""}' }, 'a template may be the JSON that it is')
  t.match(await send(null, '{{user_input}}'), { method: 'GET', body: '' })
  t.match(await send(null, '', 'POST'), { method: 'POST', body: '' })
})

t.test('a function that fails has a failed result that says why, and the others run', async t => {
  const server = await startServer(t, (response, { url }) => respond(Number(url.slice(1)) || 200, { secret: 'body' })(response, {} as never, 0))
  const context = createContext(t)
  const cases: Array<[Record<string, unknown>, RegExp]> = [
    [{ url: `${server.url}/500` }, /^127\.0\.0\.1 answered with status 500\.$/],
    [{ url: `${server.url}/404` }, /status 404/],
    [{ url: '' }, /has no url/],
    [{}, /has no url/],
    [{ url: 'nonsense' }, /URL is not valid/],
    [{ url: 'http://10.0.0.1/' }, /not at a public address/],
    [{ url: server.url, method: 'BREW' }, /method must be one of/],
    [{ url: server.url, headers_json: '{broken "secret-word"' }, /headers_json is not a JSON object/],
    [{ url: server.url, headers_json: '"secret-word"' }, /headers_json is not a JSON object/],
    [{ url: server.url, headers_json: ['secret-word'] }, /headers_json is not a JSON object/],
    [{ url: server.url, headers_json: { 'x-key': { a: 'secret-word' } } }, /header "x-key" must be text/],
    [{ url: server.url, headers_json: { 'x-key': 'secret-word\n' + 'x' } }, /header "x-key" cannot be sent/],
    [{ url: server.url, method: 'POST', body_template: '{"a": {{user_input}' }, /makes no valid JSON/]
  ]
  const good = fn('data_transform', { transform_type: 'format', template: '{{data}}' })
  const { results } = await runTriggered([...cases.map(([config]) => fn('api_call', config)), good], 'go', context)
  t.equal(results.length, cases.length + 1)
  for (const [index, [config, sentence]] of cases.entries()) {
    t.match(results[index], { success: false, error: sentence }, JSON.stringify(config))
    t.notOk('data' in results[index]!)
  }
  t.match(results.at(-1), { success: true, data: 'go' })
  t.notMatch(JSON.stringify([results, context.events, context.logged]), /secret-word|body"/)
  t.equal(context.events.filter(event => event.type === 'tool_result' && !event.success).length, cases.length)
})

t.test('a long answer is cut short with a note, and one that is no text is only described', async t => {
  const server = await startServer(t, (response, { url }) => {
    if (url === '/long') return response.end('x'.repeat(MAX_RESULT_CHARACTERS + 10))
    if (url === '/latin1') return response.writeHead(200, { 'content-type': 'text/plain; charset=iso-8859-1' }).end(Buffer.from([0xfc]))
    if (url === '/odd') return response.writeHead(200, { 'content-type': 'text/plain; charset=klingon' }).end('ü')
    response.writeHead(200, { 'content-type': 'image/png' }).end(Buffer.from([1, 0, 2]))
  })
  const { results } = await runTriggered(['/long', '/image', '/latin1', '/odd'].map(path => fn('api_call', { url: server.url + path })), 'go', createContext(t))
  t.match(results[0]!.data, /x\n\[… 10 more characters were left off\]$/)
  t.equal(results[1]!.data, '[3 bytes of image/png]')
  t.equal(results[2]!.data, 'ü')
  t.equal(results[3]!.data, 'ü')
})

t.test('a conditional answers by whether a keyword occurs, and the first that answers replaces the model', async t => {
  const refund = fn('conditional', { condition_keyword: 'Refund, money back', condition_response: 'See our policy, {{user_input}}.', default_response: 'No.' }, { name: 'refund' })
  const silent = fn('conditional', { condition_keyword: 'hours', condition_response: 'From 9 to 5.' }, { name: 'silent' })
  const context = createContext(t)
  t.match(await runTriggered([silent, refund], 'go: MONEY BACK', context), { answer: 'See our policy, go: MONEY BACK.', results: [{ functionName: 'refund', data: 'See our policy, go: MONEY BACK.' }] })
  t.match(await runTriggered([silent, refund], 'go', context), { answer: 'No.' })
  t.match(await runTriggered([refund, silent], 'go, hours', context), { answer: 'No.', results: [{ functionName: 'refund' }, { functionName: 'silent' }] })
  t.match(await runTriggered([silent, refund], 'refund', context), { answer: undefined, results: [] }, 'untriggered it says nothing')
  t.match(await runTriggered([silent], 'go', context), { answer: undefined, results: [] })
  t.match(await runTriggered([fn('conditional', {})], 'go', context), { answer: undefined, results: [] })
})

t.test('the answer of a conditional is whole, and what is told of it cut short', async t => {
  const long = 'x'.repeat(MAX_RESULT_CHARACTERS + 10)
  const context = createContext(t)
  const { answer, results } = await runTriggered([fn('conditional', { default_response: long })], 'go', context)
  t.equal(answer, long)
  const short = /^x+\n\[… 10 more characters were left off\]$/
  t.match(results, [{ success: true, data: short }])
  t.match(context.events[1], { content: short })
})

t.test('a data_transform formats, extracts what its template lists, or instructs the model', async t => {
  const run = async (config: Record<string, unknown>, text: string) => (await runTriggered([fn('data_transform', config)], text, createContext(t))).results[0]!
  t.match(await run({ transform_type: 'format', template: '<{{data}}|{{user_input}}>' }, 'go'), { data: '<go|go>' })
  t.match(await run({ transform_type: 'Format' }, 'go'), { data: 'go' })
  const text = 'go: write to a.b+c@mail.example.com, X@y.org or x@y.org, by 2026-01-31T10:00Z or Jan 5, 2027, 3. May 2026; pay 1,200.50 or 15%, -3; see https://x.example/a?b=c. (http://y.example) Also 31.12.2026, a1b2, 555-1234.'
  const extracted = async (template?: string) => JSON.parse((await run({ transform_type: 'extract', template }, text)).data as string)
  const all = {
    emails: ['a.b+c@mail.example.com', 'X@y.org', 'x@y.org'],
    urls: ['https://x.example/a?b=c', 'http://y.example'],
    numbers: ['5', '2027', '3', '2026', '1,200.50', '15%', '-3', '31.12.2026'],
    dates: ['2026-01-31T10:00Z', 'Jan 5, 2027', '3. May 2026', '31.12.2026']
  }
  t.same(await extracted(), all)
  t.same(await extracted('{{data}}'), all)
  t.same(await extracted('Extract all emails and links from {{data}}.'), { emails: all.emails, urls: all.urls })
  t.same(await extracted('dates, number'), { dates: all.dates, numbers: all.numbers })
  t.match(await run({ transform_type: 'extract', template: 'the phone numbers in {{data}}' }, 'go'), { data: 'Do this for your answer: the phone numbers in go' })
  t.match(await run({ transform_type: 'summarize', template: 'In one sentence: {{data}}' }, 'go'), { data: 'Do this for your answer: In one sentence: go' })
  t.match(await run({ transform_type: 'summarize', template: 'Be short.' }, 'go'), { data: 'Do this for your answer: Be short.\ngo' })
  t.match(await run({ transform_type: 'summarize' }, 'go'), { data: 'Do this for your answer: Summarize this: go' })
  t.match(await run({ transform_type: 'translate', template: 'x' }, 'go'), { success: false, error: /must be format, extract or summarize/ })
})

t.test('property: no text makes extraction slow or fail', async () => {
  const tricky = fc.array(fc.constantFrom('a@', '1.', '.', '-', 'http://', 'jan ', '1/', 'é', '@a.', 'x', ' ', '2026-01-'), { maxLength: 200 }).map(parts => parts.join(''))
  const everything = Object.keys(extract('', patternsIn('')!)) as ReturnType<typeof patternsIn> & object
  fc.assert(fc.property(tricky, text => Object.values(extract(text, everything)).flat().every(found => text.includes(found))))
  for (const piece of ['a', 'a.', '1', '1.', '1,', 'a@a.', 'http://', '-', '1 jan']) {
    const startedAt = performance.now()
    extract(piece.repeat(200_000), everything)
    if (performance.now() - startedAt > 5000) throw new Error(`${piece} takes too long`)
  }
})

t.test('webhooks are prepared by their event and wait for the answer; one that never could go out is told', async t => {
  const hook = (name: string, trigger_event: unknown, more: Record<string, unknown> = {}) =>
    fn('webhook', { webhook_url: 'https://hooks.example/x', trigger_event, ...more }, { name })
  const functions = [
    hook('keyword', 'on_keyword'), hook('message', 'on_message'), hook('response', 'ON_RESPONSE '), hook('always', 'always'), hook('unknown', 'on_full_moon'), hook('none', undefined),
    hook('bad url', 'always', { webhook_url: 'nonsense' }), hook('no url', 'always', { webhook_url: '' }),
    hook('bad secret', 'always', { secret: 'whsec_short' }), hook('bad template', 'always', { payload_template: '{"a": {{content}}' })
  ]
  const context = createContext(t)
  const spoken = await runTriggered(functions, 'go "now"', context)
  t.same(spoken.webhooks.map(({ functionName, needsAnswer }) => [functionName, needsAnswer]), [
    ['keyword', true], ['message', false], ['response', true], ['always', false], ['unknown', true], ['none', true], ['bad template', false]
  ])
  t.match(spoken.results, [
    { functionName: 'bad url', success: false, error: /URL is not valid/ },
    { functionName: 'no url', success: false, error: /has no webhook_url/ },
    { functionName: 'bad secret', success: false, error: /must be whsec_/ }
  ])
  t.same((await runTriggered(functions, 'nothing', context)).webhooks.map(({ functionName }) => functionName), ['message', 'response', 'always', 'unknown', 'none', 'bad template'], 'all but on_keyword go out always')
  const again = await runTriggered(functions, 'go "now"', context)
  t.same(again.webhooks.map(({ id }) => id), spoken.webhooks.map(({ id }) => id), 'a run that is done over sends the same ids')
  t.equal(new Set(spoken.webhooks.map(({ id }) => id)).size, 7)
  t.match(spoken.webhooks[0]!.id, /^msg_[\w-]{43}$/)
})

t.test('the payload is what the template makes, or the platform\'s own where it makes no JSON', async t => {
  const prepare = async (payload_template?: unknown) =>
    (await runTriggered([fn('webhook', { webhook_url: 'https://hooks.example/', payload_template })], 'go "now"', createContext(t))).webhooks[0]!
  const templated = await prepare('{"text": "{{content}} -> {{response}}", "r": {{response}}, "agent": "{{agent_id}}"}')
  t.same(JSON.parse(templated.body('said "x"')), { text: 'go "now" -> said "x"', r: 'said "x"', agent: AGENT })
  t.same(JSON.parse((await prepare({ r: '{{response}}' })).body('x')), { r: 'x' })
  for (const none of [undefined, ' ', '{"a": {{content}', '{{nobody}}']) {
    const { timestamp, ...payload } = JSON.parse((await prepare(none)).body('said'))
    t.same(payload, { agent_id: AGENT, message: 'go "now"', response: 'said' }, `the template ${none}`)
    t.ok(Date.parse(timestamp))
  }
})

t.test('a run that is cancelled is no failed function', async t => {
  const run = new AbortController()
  const server = await startServer(t, () => {})
  const arrived = server.next()
  const triggered = runTriggered([fn('api_call', { url: server.url })], 'go', createContext(t, { signal: run.signal }))
  await arrived
  run.abort(new Error('cancelled'))
  await t.rejects(triggered, /^cancelled$/)
})

t.test('property: whatever a configuration holds, a function has a result and no exception', async t => {
  const outbound = openOutbound(t, {})
  const config = fc.record({
    url: fc.oneof(fc.anything(), fc.constant('http://127.0.0.1:9/')),
    method: fc.anything(),
    headers_json: fc.anything(),
    body_template: fc.anything(),
    template: fc.anything(),
    transform_type: fc.oneof(fc.anything(), fc.constantFrom('format', 'extract', 'summarize')),
    condition_keyword: fc.anything(),
    condition_response: fc.anything(),
    default_response: fc.anything(),
    webhook_url: fc.oneof(fc.anything(), fc.constant('https://x.example')),
    trigger_event: fc.anything(),
    payload_template: fc.anything(),
    secret: fc.anything()
  }, { requiredKeys: [] }).map(value => JSON.parse(JSON.stringify(value, (_key, part) => typeof part === 'bigint' ? String(part) : part)) as Record<string, unknown>)
  const type = fc.constantFrom('api_call', 'conditional', 'data_transform', 'webhook')
  await fc.assert(fc.asyncProperty(type, config, fc.string(), async (type, config, text) => {
    const context = createContext(t, { outbound })
    const { results } = await runTriggered([fn(type, config)], `go ${text}`, context)
    return context.logged.length === 0 && results.every(({ success, error }) => success || typeof error === 'string')
  }), { numRuns: often(300) })
})
