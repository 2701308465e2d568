import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// `npm test` executes a build of the tests, and `npx tap` their sources: nobody must notice.
t.test('a test is where its source is, and an error points to its line there', async t => {
  t.match(import.meta.url, /\/test\/house\/built\.test\.ts$/)
  t.ok(existsSync(new URL('rules.test.ts', import.meta.url)), 'what is beside it is found')
  t.equal(import.meta.filename, fileURLToPath(import.meta.url))
  t.match(new Error('x').stack, /\/test\/house\/built\.test\.ts:10:\d+/)
})
