import { readdirSync } from 'node:fs'
import t from 'tap'
import { readDocument, sectionOf, tableOf } from './markdown.js'

const FOLDER = 'docs/explanation/decisions'
const files = readdirSync(new URL(`../../${FOLDER}/`, import.meta.url)).filter(file => file !== 'README.md').sort()

t.test('decisions are numbered from 1, without a gap', async t => {
  t.strictSame(files.map(file => Number(file.slice(0, 4))), files.map((_file, index) => index + 1))
})

t.test('each decision has a status, a context, a decision and its consequences, and is listed', async t => {
  const { rows } = tableOf(sectionOf(readDocument(`${FOLDER}/README.md`), 'Decisions'), 'record')
  t.equal(rows.length, files.length)
  for (const [index, file] of files.entries()) {
    const { sections } = readDocument(`${FOLDER}/${file}`)
    t.strictSame(sections.slice(1).map(({ title }) => title), ['Context', 'Decision', 'Consequences'], file)
    const [, number, title] = /^(\d{4})\. (.+)$/.exec(sections[0]!.title) ?? []
    const [, status, date] = /^Status: (accepted|rejected|superseded by \d{4}), (\d{4}-\d{2}-\d{2})$/m.exec(sections[0]!.prose) ?? []
    t.strictSame(rows[index], [number, title, status, date], file)
  }
})
