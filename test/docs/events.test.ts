import t from 'tap'
import { encodeReconnect } from '#shared/http/sse.ts'
import { RunEvent } from '#shared/schemas.ts'
import { readDocument, sectionOf, tableOf } from './markdown.js'
import { documentedFields, fieldsOf } from './schema-words.js'

const document = readDocument('docs/reference/events.md')
const types = RunEvent.anyOf.map(schema => ({ type: schema.properties.type.const, schema }))

t.test('events.md has a section for every type of event, and for no other', async t => {
  const documented = document.sections.filter(({ tables }) => tables.some(({ columns }) => columns[0] === 'field')).map(({ title }) => title)
  t.strictSame(documented.sort(), [...types.map(({ type }) => type), 'reconnect'].sort())
})

for (const { type, schema } of types) {
  t.test(`events.md lists every field of ${type} with its type, and no other`, async t => {
    t.strictSame(documentedFields(tableOf(sectionOf(document, type), 'field')), fieldsOf(schema))
  })
}

t.test('events.md lists every field of the event that ends a connection', async t => {
  const sent = JSON.parse(encodeReconnect(7).slice('data: '.length))
  t.strictSame(documentedFields(tableOf(sectionOf(document, 'reconnect'), 'field')).map(([name]) => name), Object.keys(sent))
})
