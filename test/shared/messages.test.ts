import t from 'tap'
import { checkMessages } from '#shared/http/check-messages.ts'
import { toKnownMessages } from '#shared/messages.ts'
import type { Message } from '#shared/schemas.ts'
import { toStorableValue, toStoredValue } from '#shared/text.ts'

const call = (id: string) => ({ id, type: 'function' as const, function: { name: 'weather', arguments: '{}' } })
const user: Message = { role: 'user', content: 'Hi' }
const asks = (...ids: string[]): Message => ({ role: 'assistant', content: null, tool_calls: ids.map(call) })
const result = (tool_call_id: string): Message => ({ role: 'tool', tool_call_id, content: 'sunny' })

t.test('conversations as gateways take them are taken', async t => {
  const good: Record<string, Message[]> = {
    'texts of all roles': [{ role: 'system', content: 'A' }, { role: 'developer', content: 'B' }, user, { role: 'assistant', content: '' }, user],
    'a call and its result': [user, asks('a'), result('a')],
    'several calls with results in any order': [user, asks('a', 'b'), result('b'), result('a'), user],
    'ids that are used again in a later turn': [user, asks('a'), result('a'), asks('a'), result('a')],
    'a call beside a text, or without any content': [user, { ...asks('a'), content: 'Let me see.' }, result('a'), { role: 'assistant', tool_calls: [call('b')] }, result('b')],
    'an empty result, and one in parts': [user, asks('a', 'b'), { ...result('a'), content: '' }, { ...result('b'), content: [{ type: 'text', text: 'x' }] }],
    'no calls, written as null or as an empty list': [{ ...user, tool_calls: null, tool_call_id: null }, { role: 'assistant', content: 'A', tool_calls: [] }, user]
  }
  for (const [what, messages] of Object.entries(good)) t.doesNotThrow(() => checkMessages(messages), what)
})

t.test('what does not fit together is refused with its place', async t => {
  const bad: Array<[Message[], path: string, message: RegExp]> = [
    [[{ role: 'user' }], 'messages.0.content', /^is required$/],
    [[{ role: 'user', content: null }], 'messages.0.content', /^must be a string or parts/],
    [[user, { role: 'assistant', content: null }], 'messages.1.content', /may have null/],
    [[user, { role: 'assistant', content: null, tool_calls: [] }], 'messages.1.content', /may have null/],
    [[user, asks('a'), { role: 'tool', tool_call_id: 'a', content: null }], 'messages.2.content', /^must be/],
    [[{ role: 'tool', content: 'x' }], 'messages.0.tool_call_id', /^is required$/],
    [[result('a')], 'messages.0.tool_call_id', /no call before it/],
    [[user, asks('a'), result('a'), user, result('a')], 'messages.4.tool_call_id', /no call before it/],
    [[user, asks('a'), result('b')], 'messages.2.tool_call_id', /no id of the tool_calls/],
    [[user, asks('a', 'b'), result('a'), result('a')], 'messages.3.tool_call_id', /has a result already/],
    [[user, asks('a', 'a'), result('a')], 'messages.1.tool_calls.1.id', /another call/],
    [[user, asks('a', 'b'), result('a'), user], 'messages.1.tool_calls.1', /has no result/],
    [[user, asks('a')], 'messages.1.tool_calls.0', /has no result/]
  ]
  for (const [messages, path, message] of bad) {
    t.throws(() => checkMessages(messages), { code: 'bad_request', statusCode: 400, message: new RegExp(`^${path.replaceAll('.', '\\.')} .*\\.$`), details: [{ path, message }] }, path)
  }
})

t.test('of a message only what the protocol knows is left, and of a call too', async t => {
  const foreign = { id: 'm1', createdAt: '2026-01-01', parts: [], refusal: null, annotations: [] }
  const sent = [
    { ...user, ...foreign, tool_calls: [call('x')], tool_call_id: 'x', name: null },
    { role: 'assistant', tool_calls: [{ ...call('a'), index: 0, extra: 1, function: { ...call('a').function, parsed: {} } }], ...foreign },
    { ...result('a'), ...foreign, name: 'weather' },
    { role: 'assistant', content: 'Sunny', tool_calls: [], ...foreign },
    { role: 'developer', content: [{ type: 'text', text: 'B', cache_control: {} }], ...foreign }
  ] as Message[]
  const known = [
    user,
    { role: 'assistant', content: null, tool_calls: [call('a')] },
    { role: 'tool', tool_call_id: 'a', content: 'sunny', name: 'weather' },
    { role: 'assistant', content: 'Sunny' },
    { role: 'developer', content: [{ type: 'text', text: 'B' }] }
  ]
  t.strictSame(toKnownMessages(sent), known)
  t.strictSame(toKnownMessages(toKnownMessages(sent)), known, 'again, nothing changes')
})

t.test('half of a surrogate pair, which no store takes, becomes U+FFFD wherever it stands', async t => {
  const half = 'a\ud800\0'
  const sent = [
    { role: 'user', content: half, name: half },
    { role: 'user', content: [{ type: 'text', text: half }, { type: 'image_url', image_url: { url: `data:${half}`, detail: half } }] },
    { role: 'assistant', content: half, tool_calls: [{ id: half, function: { name: half, arguments: half } }] },
    { role: 'tool', tool_call_id: half, content: half }
  ] as Message[]
  const known = toKnownMessages(sent)
  t.notMatch(JSON.stringify(known), /\\ud800|\\u0000/)
  t.strictSame(toStorableValue(known), known)
})

t.test('a value is as jsonb returns it: names by length and by bytes', async t => {
  const value = { bb: 1, a: { z: 1, y: [{ ab: 1, b: 2 }] }, '😀': 1, '\uffffa': 2, cccc: 3, 'half\ud800': '\ud800' }
  t.equal(JSON.stringify(toStoredValue(value)), '{"a":{"y":[{"b":2,"ab":1}],"z":1},"bb":1,"cccc":3,"\uffffa":2,"😀":1,"half\ufffd":"\ufffd"}')
})
