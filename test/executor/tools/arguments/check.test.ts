import fc from 'fast-check'
import t from 'tap'
import { checkArguments as check } from '../../../../src/executor/tools/arguments/check.js'

const tool = (parameters: object) => ({ name: 'weather', schema: JSON.stringify(parameters) })
const checkArguments = (of: ReturnType<typeof tool>, json: string) => check({ ...of, json })

const CITY = tool({
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: { city: { type: 'string' }, unit: { enum: ['c', 'f'], default: 'c' }, days: { type: 'integer', minimum: 1, 'x-of-ours': true }, when: { type: 'string', format: 'date' }, odd: { type: 'string', format: 'klingon' } },
  required: ['city'],
  additionalProperties: false
})

t.test('arguments that fit are passed on, with the defaults of what they lack', async t => {
  t.same(checkArguments(CITY, '{"city": "Köln", "days": 2, "odd": "x", "when": "2026-01-31"}'), { args: { city: 'Köln', days: 2, odd: 'x', when: '2026-01-31', unit: 'c' } })
  t.same(checkArguments(tool({ type: 'object' }), ''), { args: {} }, 'models send nothing where a tool takes nothing')
})

t.test('arguments that do not fit are answered with what a model can mend them by', async t => {
  const cases: Array<[string, RegExp]> = [
    ['{"days": 0}', /^The arguments of weather do not fit: .*city.*; days must be >= 1\.$/],
    ['{"city": 5}', /city must be string/],
    ['{"city": "x", "unit": "k"}', /unit must be equal to one of the allowed values: \["c","f"\]/],
    ['{"city": "x", "town": "y"}', /must NOT have additional properties: town/],
    ['{"city": "x", "when": "tomorrow"}', /when must match format "date"/],
    ['{"city": "x"', /must be one JSON object/],
    ['[]', /must be one JSON object/],
    ['"x"', /must be one JSON object/],
    ['null', /must be one JSON object/],
    ['{"city": "x"} {"city": "y"}', /must be one JSON object/]
  ]
  for (const [raw, sentence] of cases) t.match(checkArguments(CITY, raw), { problem: sentence }, raw)
})

t.test('a schema that cannot be compiled lets any object pass, and says so', async t => {
  const broken = tool({ type: 'object', properties: { a: { $ref: 'https://elsewhere.example/schema' } } })
  for (let i = 0; i < 2; i++) t.same(checkArguments(broken, '{"a": 1}'), { args: { a: 1 }, isUnchecked: true })
  t.match(checkArguments(broken, '[]'), { problem: /one JSON object/ })
  for (const parameters of [{ type: 'nonsense' }, { properties: 5 }]) t.same(checkArguments(tool(parameters), '{"b": 1}'), { args: { b: 1 }, isUnchecked: true })
  t.same(check({ name: 'weather', schema: null, json: '{"b": 1}' }), { args: { b: 1 }, isUnchecked: true })
})

t.test('two schemas may bear one $id', async t => {
  const schema = (required: string) => tool({ $id: 'https://x.example/args', type: 'object', required: [required] })
  t.match(checkArguments(schema('a'), '{"a": 1}'), { args: { a: 1 } })
  t.match(checkArguments(schema('b'), '{"a": 1}'), { problem: /'b'/ })
})

t.test('no pattern of anybody\'s holds the process up', async t => {
  const evil = '^(a+)+$'
  const slow = tool({ type: 'object', properties: { a: { type: 'string', pattern: evil } }, patternProperties: { [evil]: { type: 'number' } }, additionalProperties: false })
  const text = `${'a'.repeat(50)}!`
  const startedAt = performance.now()
  t.match(checkArguments(slow, JSON.stringify({ a: text, [text]: 1 })), { args: { a: text } })
  t.ok(performance.now() - startedAt < 2000)
})

t.test('a schema that says it is asynchronous is checked against like any other', async t => {
  const schema = tool({ $async: true, type: 'object', required: ['city'] })
  t.match(checkArguments(schema, '{}'), { problem: /'city'/ })
  t.same(checkArguments(schema, '{"city": "x"}'), { args: { city: 'x' } })
  const nested = tool({ type: 'object', properties: { a: { $ref: '#/$defs/a' } }, $defs: { a: { $async: true, type: 'string' } } })
  t.same(checkArguments(nested, '{"a": 1}'), { args: { a: 1 }, isUnchecked: true }, 'with a part that is, any object passes')
})

t.test('an endless schema is a problem, and a list of a thousand values is not told in full', async t => {
  const endless = tool({ type: 'object', allOf: [{ $ref: '#' }] })
  t.match(checkArguments(endless, '{}'), { problem: 'The arguments of weather are too much to check against its schema.' })
  const url = tool({ type: 'object', properties: { a: { type: 'string', format: 'url' } } })
  t.match(checkArguments(url, JSON.stringify({ a: `http://${'a-'.repeat(20_000)}` })), { args: {} })
  const long = checkArguments(tool({ type: 'object', properties: { a: { enum: Array.from({ length: 1000 }, (_, n) => `value${n}`) } } }), '{"a": 1}')
  t.ok('problem' in long && long.problem.length < 500)
})

t.test('arguments that are nested deeper than anybody can write them again are a problem', async t => {
  const nested = (levels: number) => `{"a": ${'['.repeat(levels)}${']'.repeat(levels)}}`
  t.match(checkArguments(tool({ type: 'object' }), nested(99)), { args: {} })
  for (const levels of [100, 100_000]) {
    t.match(checkArguments(tool({ type: 'object' }), nested(levels)), { problem: /^The arguments of weather (are nested deeper than 100 levels|must be one JSON object)\.$/ })
  }
})

t.test('property: whatever a model writes, it is arguments or a problem', async () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), raw => {
    const checked = checkArguments(CITY, raw)
    return 'args' in checked ? typeof checked.args === 'object' : checked.problem.startsWith('The arguments of weather ')
  }))
})
