import t from 'tap'
import { readDocument, readProjectFile, sectionOf, tableOf } from './markdown.js'

t.test('the README lists every command of package.json, and no other', async t => {
  const { scripts } = JSON.parse(readProjectFile('package.json'))
  const { rows } = tableOf(sectionOf(readDocument('README.md'), 'Work on it'), 'command')
  t.strictSame(rows.map(([command]) => command!.replace(/^npm (run )?/, '')).sort(), Object.keys(scripts).sort())
})

t.test('the README\'s test command is the one that CI runs', async t => {
  const [first] = readDocument('README.md').fences.filter(({ text }) => text.includes('npm test'))
  t.equal(first?.text, 'npm ci && npm test\n')
  t.match(readProjectFile('.ci/run'), 'npm ci && npm test')
})
