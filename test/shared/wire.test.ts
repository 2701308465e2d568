import t from 'tap'
import { toWireJson } from '#shared/gateway/wire.ts'

t.test('half of a surrogate pair becomes U+FFFD in names and texts, and nothing else changes', async t => {
  const sent = (value: unknown) => JSON.parse(toWireJson({ value })).value
  t.strictSame(sent({ 'a\ud83d': ['\ude00', 'b\ud83dc'] }), { 'a\ufffd': ['\ufffd', 'b\ufffdc'] })
  for (const [index, text] of ['😀', 'plain', 'a "quoted" \\ text\n', '\\ud83d is six characters', '\\\\ud83d', '\u2028\0'].entries()) t.equal(sent(text), text, `text ${index}`)
  t.equal(sent('\\ud83d \ud83d \\\ud83d'), '\\ud83d \ufffd \\\ufffd')
})
