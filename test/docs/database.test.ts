import t from 'tap'
import { readDocument, sectionOf, tableOf } from './markdown.js'
import { openSql } from './sql.js'

const document = readDocument('docs/reference/database.md')

t.test('database.md', async t => {
  const sql = await openSql(t)
  const query = async (text: string) => (await sql.query<{ row: string }>(text)).rows.map(({ row }) => row).sort()
  const listed = (section: string, column: string, columns: number) =>
    tableOf(sectionOf(document, section), column).rows.map(row => row.slice(0, columns).join(' | ')).sort()

  t.test('lists every SQL function with those who may call it, and no other', async t => {
    const functions = await query(`
      select proname || ' | ' || case when prorettype = 'trigger'::regtype then '–' else (
          select coalesce(string_agg(role, ', ' order by place), 'nobody')
            from unnest(array['service_role', 'authenticated', 'anon']) with ordinality as roles (role, place)
            where has_function_privilege(role, oid, 'execute')) end as row
        from pg_proc where pronamespace = 'public'::regnamespace`)
    t.strictSame(listed('Functions', 'function', 2), functions)
  })

  t.test('lists every table, and no other, all of them with row-level security', async t => {
    t.strictSame(listed('Tables', 'table', 1), await query(`
      select relname::text as row from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and relrowsecurity`))
    t.strictSame(await query(`
      select relname::text as row from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and not relrowsecurity`), [])
  })

  t.test('says rightly which tables users may read', async t => {
    const readable = await query(`
      select relname::text as row from pg_class c where relnamespace = 'public'::regnamespace and relkind = 'r'
        and has_any_column_privilege('authenticated', c.oid, 'select') and exists (select from pg_policy where polrelid = c.oid and polcmd in ('r', '*'))`)
    const { rows } = tableOf(sectionOf(document, 'Tables'), 'table')
    t.strictSame(rows.filter(([, , users]) => users !== 'no').map(([name]) => name!).sort(), readable)
  })

  t.test('lists every trigger with its table, and no other', async t => {
    t.strictSame(listed('Triggers', 'trigger', 2), await query(`
      select tgname || ' | ' || relname as row from pg_trigger join pg_class on pg_class.oid = tgrelid
        where not tgisinternal and relnamespace = 'public'::regnamespace`))
  })
})
