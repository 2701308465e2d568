import t, { type Test } from 'tap'
import { migrate } from '../../src/database/migrations.js'
import { findPostgres } from '../support/helper.js'
import { type LiveDatabase, makeLive, openPglite, openPostgres } from '../support/live/project.js'

t.test('the pages of a live project on PGlite', async t => testPages(t, openPglite))

t.test('the pages of a live project on PostgreSQL', async t => {
  if (await findPostgres(t)) await testPages(t, openPostgres)
})

async function testPages (t: Test, open: (t: Test) => Promise<LiveDatabase>): Promise<void> {
  const live = await open(t)
  await makeLive(live)
  t.ok((await migrate(live)).length > 0)
  t.same(await migrate(live), [])
}
