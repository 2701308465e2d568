import t, { type Test } from 'tap'
import { migrate } from '../../src/database/migrations.js'
import { PAGE_QUERIES, type PageQuery } from '../support/live/pages.js'
import { type LiveDatabase, makeLive, openLive, user } from '../support/live/project.js'

t.test('the pages of a live project', async t => testPages(t, openLive))

/** Users who sign up before and after the migrations. */
const FRESH = ['ffffffff-0000-4000-8000-000000000001', 'ffffffff-0000-4000-8000-000000000002']

/** Asks what every page asks, before and after the migrations: only what was unsafe is answered otherwise. */
async function testPages (t: Test, open: (t: Test) => Promise<LiveDatabase>): Promise<void> {
  const live = await open(t)
  await makeLive(live)
  const before = await askAll(live, FRESH[0]!)
  await migrate(live)
  const after = await askAll(live, FRESH[1]!)
  for (const { name, after: expected } of PAGE_QUERIES) {
    if (expected) t.notSame(before[name], expected, `${name}: was answered otherwise`)
    t.same(after[name], expected ?? before[name], name)
  }
  t.same(await live.query('select audit_credits() -> \'problems\' as problems'), [{ problems: [] }], 'the ledger adds up')
  t.same(await migrate(live), [])
}

async function askAll (live: LiveDatabase, fresh: string): Promise<Record<string, unknown>> {
  await live.query('insert into auth.users (id) values ($1)', [fresh])
  const answers: Record<string, unknown> = {}
  for (const query of PAGE_QUERIES) answers[query.name] = await ask(live, query, fresh)
  return JSON.parse(JSON.stringify(answers).replaceAll(fresh, 'fresh'))
}

/** The rows, or the SQLSTATE of the refusal. */
function ask (live: LiveDatabase, { caller, sql }: PageQuery, fresh: string): Promise<unknown> {
  const who = caller === 'fresh' ? user(fresh) : caller
  return live.peek(who, sql.replaceAll('$fresh', fresh)).catch((error: { code: string }) => error.code)
}
