import t from 'tap'
import { JsonScanner, parseJson } from '#shared/http/json.ts'
import { refuseDeepNesting } from '#shared/nesting.ts'

/** Scans in pieces of so many bytes. */
function scan (json: string, size: number): JsonScanner {
  const bytes = Buffer.from(json)
  const scanner = new JsonScanner()
  for (let at = 0; at < bytes.length; at += size) scanner.scan(bytes.subarray(at, at + size))
  return scanner
}

t.test('JSON costs its bytes and its values, wherever it is cut', async t => {
  const json = JSON.stringify({ a: ['[{,:', 'quotes " and \\', '\\"', 'é\\\\', { '"': 1 }], 'b\\': null })
  const structure = json.replace(/"(?:[^"\\]|\\.)*"/g, '').match(/[[{,:]/g)!.length
  for (let size = 1; size <= json.length; size++) t.equal(scan(json, size).cost, Buffer.byteLength(json) + 256 * structure, `pieces of ${size}`)
})

t.test('nesting and values are bounded, those in texts do not count', async t => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  const wide = (values: number) => `[${'0,'.repeat(values - 1)}0]`
  t.doesNotThrow(() => scan(nested(100), 7))
  t.throws(() => scan(nested(101), 7), { code: 'bad_request', statusCode: 400 })
  t.doesNotThrow(() => scan(wide(100_000), 65_536))
  t.throws(() => scan(wide(100_001), 65_536), { code: 'bad_request' })
  t.doesNotThrow(() => scan(JSON.stringify(nested(1000) + wide(200_000)), 65_536))
  t.doesNotThrow(() => refuseDeepNesting(JSON.parse(nested(100))))
  t.throws(() => refuseDeepNesting(JSON.parse(nested(101))), { code: 'bad_request' })
  t.throws(() => refuseDeepNesting(JSON.parse(`${'{"a":'.repeat(101)}1${'}'.repeat(101)}`)), { code: 'bad_request' })
})

t.test('what is no JSON is refused without a stack, and leaves others theirs', async t => {
  let refusal: Error | undefined
  try {
    parseJson('{', 'body')
  } catch (error) {
    refusal = error as Error
  }
  t.match(refusal, { code: 'invalid_json', statusCode: 400 })
  t.notMatch(refusal!.stack, /\n/)
  t.match(new Error('other').stack, /\n {4}at /)
})
