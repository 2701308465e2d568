import t from 'tap'
import { readDocument, readProjectFile, sectionOf, tableOf } from './markdown.js'

/** npm runs it before `npm test`. */
const HOOK = 'pretest'

t.test('the README lists every command of package.json, and no other', async t => {
  const { scripts } = JSON.parse(readProjectFile('package.json'))
  const { rows } = tableOf(sectionOf(readDocument('README.md'), 'Work on it'), 'command')
  t.strictSame(rows.map(([command]) => /^npm (?:run )?(\S+)/.exec(command!)?.[1]).sort(), Object.keys(scripts).filter(name => name !== HOOK).sort())
})

t.test('the README\'s test command is the one that CI runs', async t => {
  const [first] = readDocument('README.md').fences.filter(({ text }) => text.includes('npm test'))
  t.equal(first?.text, 'npm ci && npm test\n')
  t.match(readProjectFile('.ci/run'), /^npm ci && .*\bnpm test\b/m)
})

t.test('dependencies.md lists every package of package.json, and no other', async t => {
  const { dependencies, devDependencies } = JSON.parse(readProjectFile('package.json'))
  const { sections: [section] } = readDocument('docs/explanation/dependencies.md')
  const [used, forDevelopment] = section!.tables.map(({ rows }) => rows.flatMap(([names]) => names!.split(', ')))
  const [, first] = /^Beside (.*), which/m.exec(section!.prose.replaceAll('`', ''))!
  t.strictSame([...used!, ...first!.split(/, | and /)].sort(), Object.keys(dependencies).sort())
  t.strictSame(forDevelopment!.sort(), Object.keys(devDependencies).sort())
})
