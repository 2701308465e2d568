import { readdir } from 'node:fs/promises'
import t from 'tap'
import { bundle } from '../../bundle.js'

t.test('a build has every program, with a map to its sources, and nothing of an earlier one', async t => {
  const directory = t.testdir({ 'server.js': 'old', 'chunk-OLD.js': '', cli: { 'demo.js': '' } })
  await bundle(directory)
  const names = await readdir(directory)
  for (const name of ['server.js', 'worker.js', 'audit.js', 'demo.js', 'migrate.js', 'token.js']) {
    t.ok(names.includes(name) && names.includes(`${name}.map`), name)
  }
  t.same(names.filter(name => name === 'chunk-OLD.js' || name === 'cli'), [])
})
