import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { ANSWERS } from '../support/gateway-answers.js'
import { readDocument } from './markdown.js'

const ROOT = new URL('../../', import.meta.url)

t.test('every way that compatibility.md names is held by a test that is there', async t => {
  const tables = readDocument('docs/reference/compatibility.md').sections.flatMap(({ tables }) => tables).filter(({ columns }) => columns[0] !== 'parameter')
  t.ok(tables.length > 5)
  for (const { columns, rows } of tables) {
    t.equal(columns.at(-1), 'held by')
    for (const row of rows) {
      const [, file, name] = /^(?:(test\/\S+\.ts): )?(.*)$/.exec(row.at(-1)!)!
      if (file === undefined) t.ok(ANSWERS[name!], name!)
      else t.ok(existsSync(new URL(file, ROOT)) && readFileSync(new URL(file, ROOT), 'utf8').includes(`t.test('${name}'`), `${file}: ${name}`)
    }
  }
})
