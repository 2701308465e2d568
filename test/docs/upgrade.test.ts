import t from 'tap'
import { migrate } from '../../src/database/migrations.js'
import { createLive, type LiveDatabase } from '../support/live/project.js'
import { readDocument, sectionOf } from './markdown.js'

const document = readDocument('docs/upgrade.md')

/** The columns that the document counts instead of naming them, by how they begin. */
const COUNTED = { 'scheduled_runs.delivery_': 3, 'api_keys.': 6 }
/** What is named besides, to say of what something is, or whose. */
const BESIDES = ['auth.users', 'scheduled_runs', 'api_keys', 'service_role', 'authenticated', 'public', 'migrations']

t.test('upgrade.md', async t => {
  const live = await createLive(t, { migrated: false })
  const catalog = async () => new Set((await live.query(`
    select 'schema ' || nspname as name from pg_namespace where nspname !~ '^pg_'
    union all select 'table ' || relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
    union all select 'column ' || relname || '.' || attname from pg_class join pg_attribute on attrelid = pg_class.oid
      where relnamespace = 'public'::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped
    union all select 'trigger ' || tgname from pg_trigger where not tgisinternal`)).map(({ name }) => name as string))
  const before = await catalog()
  const looked = await look(live, 'Look before')
  await migrate(live)
  const after = await catalog()
  const added = [...after].filter(name => !before.has(name))
  const ofKind = (kind: string) => added.filter(name => name.startsWith(`${kind} `)).map(name => name.slice(kind.length + 1))

  t.test('names all that is added to a live project, and nothing else', async t => {
    const tables = ofKind('table')
    const columns = ofKind('column').filter(column => !tables.includes(column.split('.')[0]!))
    const beginning = (start: string) => columns.filter(column => column.startsWith(start))
    for (const [start, count] of Object.entries(COUNTED)) t.equal(beginning(start).length, count, start)
    const counted = Object.keys(COUNTED).flatMap(beginning)
    // Those of scheduled_runs are named without their table.
    const named = columns.filter(column => !counted.includes(column)).map(column => column.replace(/^scheduled_runs\./, ''))
    const names = namedIn(sectionOf(document, 'What is added').prose).filter(name => !BESIDES.includes(name))
    t.same(names, [...ofKind('schema'), ...tables, ...named, ...ofKind('trigger')].sort())
    t.same([...before].filter(name => !after.has(name)), [], 'and nothing is gone')
  })

  t.test('has queries that find before what is about to change, and after what was', async t => {
    t.match(looked.map(rows => rows.length), [0, 1, 1, 0, 5])
    t.match(looked[2], [{ count: '1' }])
    await live.query("insert into public.api_keys (user_id, key_name, key_hash, key_prefix) select user_id, 'Copy', 'double of x', '' from public.api_keys")
    t.match(await look(live, 'Look after'), [[{ key_name: 'Copy' }]])
  })

  t.test('is right that firings have their agent and their user as before', async t => {
    const nullable = "select attname from pg_attribute where attrelid = 'public.scheduled_runs'::regclass and attname in ('agent_id', 'user_id') and not attnotnull"
    t.same(await live.query(nullable), [])
  })

  t.test('has a statement after which the platform\'s runner finds every schedule that is on', async t => {
    const [, statement] = /`(update public\.agent_schedules [^`]*)`/.exec(document.text) ?? []
    await live.query('update public.agent_schedules set next_run_at = null where is_enabled')
    await live.query(statement!.replaceAll('\n', ' '))
    t.same(await live.query('select count(*) filter (where is_enabled)::int as due, count(*)::int as all from public.agent_schedules where next_run_at <= now()'), [{ due: 1, all: 1 }])
  })
})

/** The rows that the queries of a section find, one list a query. */
async function look (live: LiveDatabase, title: string): Promise<Array<Array<Record<string, unknown>>>> {
  const { line } = sectionOf(document, title)
  const { text } = document.fences.find(fence => fence.line > line)!
  const found = []
  for (const query of text.replace(/^--.*$/gm, '').split(';').filter(query => /\bselect\b/.test(query))) found.push(await live.query(query))
  return found
}

/** What stands in marks of code, sorted. */
function namedIn (prose: string): string[] {
  return [...new Set([...prose.matchAll(/`([^`]+)`/g)].map(([, name]) => name!))].sort()
}
