import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { errorOfPage, formOf, JsonDocuments } from '#shared/gateway/answer-form.ts'
import { readErrorBody } from '#shared/gateway/refusals.ts'

/** The documents of a text whose bytes arrive in pieces of these sizes. */
function documentsOf (text: string, sizes = [Infinity]): string[] {
  const documents = new JsonDocuments()
  const bytes = Buffer.from(text)
  const found: string[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]!
    found.push(...documents.push(bytes.subarray(at, at + size)))
    at += size
  }
  return [...found, ...documents.end()]
}

t.test('a body is what it begins with', async t => {
  for (const [beginning, form] of [['{', 'json'], [' \r\n[', 'json'], ['\ufeff{', 'json'], ['data:', 'events'], [': ping', 'events'], ['d', 'events'], ['null', 'events'], ['\n<html>', 'page'], [' \n', undefined], ['', undefined]] as const) {
    t.equal(formOf(beginning), form, JSON.stringify(beginning))
  }
})

t.test('JSON is one document, however it is written, or one a line', async t => {
  const one = { choices: [{ message: { content: 'a\nb {"c"}' } }] }
  for (const text of [JSON.stringify(one), JSON.stringify(one, null, 2), `\n${JSON.stringify(one)}\n\n`, JSON.stringify(one, null, '\t').replaceAll('\n', '\r\n')]) {
    t.strictSame(documentsOf(text).map(json => JSON.parse(json)), [one], text.slice(0, 20))
  }
  t.strictSame(documentsOf('{"delta":1}\r\n\r\n{"b":2}\n[DONE]\n'), ['{"delta":1}\r', '{"b":2}', '[DONE]'])
  t.strictSame(documentsOf('{"delta":1}\n{"b":2}'), ['{"delta":1}', '{"b":2}'], 'the last line may lack its end')
  t.strictSame(documentsOf(' \n '), [])
  t.throws(() => documentsOf(`{"a":"${'x'.repeat(16 * 1024 * 1024)}"}`), RangeError)
})

t.test('where the network cuts a body makes no difference', async () => {
  const value = fc.array(fc.record({ delta: fc.string({ unit: 'binary' }), list: fc.array(fc.integer()) }), { minLength: 1 })
  fc.assert(fc.property(value, fc.boolean(), fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), (values, areLines, sizes) => {
    const text = areLines ? values.map(value => JSON.stringify(value)).join('\n') : JSON.stringify({ values }, null, 1) + '\n'
    const wellFormed = text.toWellFormed()
    assert.deepEqual(documentsOf(wellFormed, sizes).map(json => JSON.parse(json)), areLines ? wellFormed.split('\n').map(json => JSON.parse(json)) : [JSON.parse(wellFormed)])
  }))
})

t.test('a page for people becomes a sentence', async t => {
  const pages: Array<[string, string]> = [
    ['<!DOCTYPE html><html><head><style>h1{}</style><title>502 Bad\n Gateway</title></head><body><h1>no</h1>', '502 Bad Gateway'],
    ['<html><script>var a = "<title>no</title>"</script><body><h1>Access &amp; identity</h1><p>more', 'Access & identity'],
    ['<html><body><p>The model is <b>down</b>.</p></body></html>', 'The model is down .'],
    ['<p is no page', '<p is no page'],
    ['plain text', 'plain text']
  ]
  for (const [page, sentence] of pages) t.equal(readErrorBody(page).text, sentence)
  t.match(errorOfPage('<html><title>Open WebUI</title>'), { code: 'gateway_unavailable', reason: 'the AI gateway answered 200 with a page instead of a completion: Open WebUI' })
  const startedAt = performance.now()
  readErrorBody(`<html>${'<title'.repeat(100_000)}`)
  readErrorBody(`<html>${'<!--'.repeat(100_000)}`)
  readErrorBody(`<html>${'<script '.repeat(100_000)}`)
  t.ok(performance.now() - startedAt < 2_000, 'and one that is written against it takes no time')
})

t.test('errors in a list become sentences', async t => {
  t.equal(readErrorBody('[{"error":{"code":400,"message":"Invalid value at temperature","status":"INVALID_ARGUMENT"}}]').text, 'Invalid value at temperature')
  for (const odd of ['[]', 'null', '[null]', '[[]]', '7']) t.equal(readErrorBody(odd).text, odd)
})
