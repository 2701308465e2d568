import fc from 'fast-check'
import t from 'tap'
import { errors } from '#shared/errors.ts'
import { hideQuotes } from '#shared/gateway/quotes.ts'
import type { ModelMessage } from '#shared/messages.ts'

const reasonOf = (reason: string, messages: ModelMessage[], key?: string) => hideQuotes(errors.gatewayRejected().with({ reason }), messages, key).reason
const user = (content: string): ModelMessage => ({ role: 'user', content })

t.test('what a gateway quotes of the messages, and the key, is no part of the reason', async t => {
  t.equal(reasonOf('the AI gateway answered 400: I do not like my secret plan', [user('my secret plan')]), 'the AI gateway answered 400: I do not like …')
  const long = 'Dear model, this is a plan that nobody may read, not even an operator.'
  t.equal(reasonOf(`the AI gateway answered 400: "${long.slice(5, 50)}" is bad`, [user(long)]), 'the AI gateway answered 400: "…" is bad')
  t.equal(reasonOf('the AI gateway answered 401: no such key sk-123', [], 'sk-123'), 'the AI gateway answered 401: no such key …')
  t.equal(reasonOf('image https://example.com/private.png is broken', [{ role: 'user', content: [{ type: 'text', text: 'Hi' }, { type: 'image_url', image_url: { url: 'https://example.com/private.png' } }] }]), 'image … is broken')
  const call = { role: 'assistant', content: null, tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{"city":"a secret city"}' } }] } as ModelMessage
  t.equal(reasonOf('bad arguments {"city":"a secret city"}', [call, { role: 'tool', tool_call_id: 'a', content: 'x' }]), 'bad arguments …')
  t.equal(reasonOf('the AI gateway answered 400: too long', [user('x'.repeat(100_001))]), 'the AI gateway answered 400', 'a long conversation is not looked through')
  t.equal(reasonOf('maximum context length is 8192 tokens', [user('Hi'), user('How long is the river that I mean?')]), 'maximum context length is 8192 tokens')
  const plain = new Error('no error of ours')
  t.equal(hideQuotes(plain, []), plain)
})

t.test('property: no piece of a message that is long enough is left in a reason', async t => {
  const words = fc.array(fc.constantFrom('alpha', 'beta', 'gamma', ' ', 'delta-epsilon', '7', 'ö', '😀'), { minLength: 8, maxLength: 40 }).map(parts => parts.join(''))
  t.doesNotThrow(() => fc.assert(fc.property(words, words, fc.nat(60), fc.nat(60), (text, other, from, length) => {
    const reason = reasonOf(`${other}: ${text.slice(from, from + length)} ${other}`, [user(text)])!
    for (let at = 0; at + 24 <= reason.length; at++) if (text.includes(reason.slice(at, at + 24))) return false
    return true
  })))
})
