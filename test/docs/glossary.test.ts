import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { readDocument, readDocuments, sectionOf, tableOf } from './markdown.js'

const { rows } = tableOf(sectionOf(readDocument('docs/glossary.md'), 'Glossary'), 'term')
const terms = rows.map(([term]) => term!)

/** The source of the service, of the edge function and of the Python worker. */
function readSources (): string {
  return ['src', 'supabase', 'python'].flatMap(folder => {
    const url = new URL(`../../${folder}/`, import.meta.url)
    return readdirSync(url, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && /\.(ts|sql|py|lua)$/.test(entry.name))
      .map(entry => readFileSync(`${entry.parentPath}/${entry.name}`, 'utf8'))
  }).join('\n')
}

t.test('the glossary defines each term once, in the order of the alphabet', async t => {
  t.ok(terms.length > 50)
  t.strictSame(terms, [...new Set(terms)].sort((a, b) => a.localeCompare(b, 'en')))
  for (const [term, meaning] of rows) t.match(meaning, /^\S.*\.$/, `${term} has a meaning, a sentence or more`)
})

t.test('every term of the glossary is used in the code or in the other documents', async t => {
  const documents = readDocuments().filter(({ file }) => file !== 'docs/glossary.md').map(({ text }) => text)
  // As words, as parts of names in camel case, and as parts of names in SQL.
  const text = [readSources(), ...documents].join('\n').replace(/([a-z])([A-Z])/g, '$1 $2').replaceAll('_', ' ').toLowerCase()
  for (const term of terms) {
    const words = term.toLowerCase().split(/[ -]/).join('[\\s-]+')
    t.ok(new RegExp(`\\b${words}(s|es|ed|d|ing|ies)?\\b`).test(text), term)
  }
})

t.test('every term that the glossary sets another term against is defined there itself', async t => {
  const OTHER = new Set(['authentication', 'append', 'erase', 'lock', 'place', 'triggered function'])
  for (const [term, meaning, not] of rows) {
    for (const [, other] of `${meaning} ${not}`.matchAll(/\*([^*]+)\*/g)) t.ok(terms.includes(other!) || OTHER.has(other!), `${term}: ${other}`)
  }
})
