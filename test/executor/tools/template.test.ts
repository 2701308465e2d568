import fc from 'fast-check'
import t from 'tap'
import { fillForm, fillJson, fillText, fillUrl } from '#shared/functions/template.ts'
import { failureOf } from '../../support/tools.js'

t.test('in text a value stands as it is, and a name that is unknown as it stands', async t => {
  const values = { name: 'Ann "A" & {{other}}', other: 'x', count: 3, list: [1, 'a'], nothing: undefined, none: null, yes: false }
  t.equal(fillText('Hi {{name}}, {{ count }} {{list}} [{{nothing}}{{none}}] {{yes}} {{unknown}} {{toString}} {name}', values),
    'Hi Ann "A" & {{other}}, 3 [1,"a"] [] false {{unknown}} {{toString}} {name}')
  t.equal(fillText('$& {{name}}', { name: '$1$&$`' }), '$& $1$&$`', 'dollars mean nothing')
  t.equal(fillText('{{__proto__}}', {}), '{{__proto__}}')
})

t.test('in JSON a value is escaped within a string, and is JSON of its own elsewhere', async t => {
  const values = { text: 'a "b"\n\\ \u2028', count: 3, object: { a: [1] }, nothing: undefined }
  t.same(JSON.parse(fillJson('{"in": "<{{text}}>", "bare": {{text}}, "n": {{count}}, "s": "{{count}}", "o": {{object}}, "os": "{{object}}", "x": {{nothing}}, "xs": "{{nothing}}"}', values)), {
    in: `<${values.text}>`, bare: values.text, n: 3, s: '3', o: { a: [1] }, os: '{"a":[1]}', x: null, xs: ''
  })
  t.same(JSON.parse(fillJson('{"\\"": "\\\\{{text}}\\"{{text}}", "y": {{count}}}', values)), { '"': `\\${values.text}"${values.text}`, y: 3 }, 'escaped quotes end no string')
  t.same(JSON.parse(fillJson('{"{{count}}": 1}', values)), { 3: 1 })
  t.equal(fillJson('{{text}}', { text: 'x' }), '"x"')
  t.same(JSON.parse(fillJson('{"a": "{{missing}}"}', {})), { a: '{{missing}}' })
})

t.test('a template that makes no JSON says so, and what it lacks', async t => {
  for (const template of ['{"a": {{text}}', '{"a": {{text}}}}', "{'a': {{text}}}", '{"a": "{{text}}}', '{"a": x{{text}}}', 'plain', '']) {
    t.equal(await failureOf(() => fillJson(template, { text: 'secret-word' })), 'The template makes no valid JSON.', template)
  }
  t.equal(await failureOf(() => fillJson('{"a": {{typo}}}', { text: 'x' })), 'The template makes no valid JSON: there is no value for {{typo}}.')
})

t.test('in a URL no value ends its place', async t => {
  t.equal(fillUrl('https://api.example/{{id}}?q={{q}}', { id: 'a/../b?c#d', q: 'ü &=+%' }), 'https://api.example/a%2F..%2Fb%3Fc%23d?q=%C3%BC%20%26%3D%2B%25')
  t.equal(fillUrl('https://x/{{lone}}', { lone: 'a\ud800' }), 'https://x/a%EF%BF%BD', 'half a surrogate pair')
  t.equal(fillUrl('https://x/../{{v}}', { v: 'a.b' }), 'https://x/../a.b', 'dots of the template are its own')
  for (const [template, values] of [['https://x/{{v}}/y', { v: '..' }], ['https://x/{{v}}', { v: '.' }], ['https://x/{{v}}{{v}}/y', { v: '.' }], ['https://x/.{{v}}/y', { v: '.' }]] as const) {
    t.match(await failureOf(() => fillUrl(template, values)), /would lead elsewhere/)
  }
  t.not(URL.canParse(fillUrl('{{url}}', { url: 'https://evil.example' })) && 'ok', 'ok', 'a value is no whole URL')
})

t.test('a short template makes no endless text', async t => {
  const values = { text: 'x'.repeat(100_000) }
  t.match(await failureOf(() => fillText('{{text}}'.repeat(1000), values)), /too large/)
})

const anyText = fc.string({ unit: 'binary' })

t.test('property: what a template fills in is what is read out', async () => {
  fc.assert(fc.property(anyText, fc.jsonValue(), anyText, (text, value, around) => {
    const key = JSON.stringify(around.replaceAll('{{', '{'))
    const filled = JSON.parse(fillJson(`{${key}: {"in": "a{{text}}b", "bare": {{text}}, "value": {{value}}}}`, { text, value }))
    const [inner] = Object.values(filled) as [{ in: string, bare: string, value: unknown }]
    return inner.in === `a${text}b` && inner.bare === text && JSON.stringify(inner.value) === JSON.stringify(value)
  }))
})

t.test('property: a URL keeps its host, and its path the number of its parts', async () => {
  fc.assert(fc.property(anyText, text => {
    let url: URL
    try {
      url = new URL(fillUrl('https://api.example/v1/{{text}}/end?q={{text}}#f', { text }))
    } catch {
      return text === '.' || text === '..'
    }
    return url.host === 'api.example' && url.pathname.split('/').length === 4 && url.searchParams.get('q') === text.toWellFormed() && url.hash === '#f'
  }))
  fc.assert(fc.property(anyText, anyText, (a, b) => {
    const form = new URLSearchParams(fillForm('a={{a}}&b={{b}}', { a, b }))
    return form.get('a') === a.toWellFormed() && form.get('b') === b.toWellFormed() && form.size === 2
  }))
})

t.test('property: text without placeholders stays as it is', async () => {
  fc.assert(fc.property(anyText.filter(text => !/\{\{/.test(text)), text => fillText(text, { text: 'x' }) === text))
})
