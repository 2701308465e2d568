import type { SqlRunner } from '../../src/database/migrations.js'

/** What a database consists of: the definition of each object by its kind and name. */
export type Catalog = Record<string, string>

/** Schemas that neither belong to PostgreSQL nor note which migrations were applied. */
const SCHEMAS = `select oid from pg_namespace
  where nspname !~ '^pg_' and nspname not in ('information_schema', 'jeesi', 'supabase_migrations')`

/** Grants in a fixed order; an object without grants of its own has the default ones. */
const acl = (column: string, kind: string, owner: string): string =>
  `array(select unnest(coalesce(${column}, acldefault(${kind}, ${owner})))::text order by 1)::text`

/** Each answers rows of {name, definition}. */
const QUERIES: Record<string, string> = {
  schema: `select nspname as name, concat_ws(' ', ${acl('nspacl', "'n'", 'nspowner')}, obj_description(oid, 'pg_namespace')) as definition
    from pg_namespace where oid in (${SCHEMAS})`,
  type: `select t.oid::regtype::text as name, concat_ws(' ', typtype,
      array(select enumlabel::text from pg_enum where enumtypid = t.oid order by enumsortorder)::text,
      ${acl('typacl', "'T'", 'typowner')}, obj_description(t.oid, 'pg_type')) as definition
    from pg_type t where typnamespace in (${SCHEMAS}) and typtype in ('e', 'd')`,
  relation: `select oid::regclass::text as name, concat_ws(' ', relkind, relpersistence, relrowsecurity, relforcerowsecurity, relreplident, reloptions::text,
      ${acl('relacl', "case relkind when 'S' then 's' else 'r' end::\"char\"", 'relowner')}, obj_description(oid, 'pg_class'),
      case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
      array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum)::text) as definition
    from pg_class c where relnamespace in (${SCHEMAS}) and relkind in ('r', 'p', 'v', 'm', 'S', 'f')`,
  column: `select attrelid::regclass || '.' || attname as name, concat_ws(' ', format_type(atttypid, atttypmod),
      case when attnotnull then 'not null' end, 'default ' || pg_get_expr(adbin, adrelid), attidentity, attgenerated, attcompression, attcollation::regcollation::text,
      attacl::text, col_description(attrelid, attnum)) as definition
    from pg_attribute a join pg_class c on c.oid = attrelid left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where relnamespace in (${SCHEMAS}) and relkind in ('r', 'p', 'f') and attnum > 0 and not attisdropped`,
  constraint: `select conrelid::regclass || '.' || conname as name, concat_ws(' ', pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')) as definition
    from pg_constraint where connamespace in (${SCHEMAS}) and conrelid <> 0 and contype <> 'n'`,
  index: `select indexrelid::regclass::text as name, concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, obj_description(indexrelid, 'pg_class')) as definition
    from pg_index join pg_class c on c.oid = indexrelid where relnamespace in (${SCHEMAS})`,
  policy: `select polrelid::regclass || '.' || polname as name, concat_ws(' ', polcmd, polpermissive, array(select unnest(polroles)::regrole::text order by 1)::text,
      'using ' || pg_get_expr(polqual, polrelid), 'check ' || pg_get_expr(polwithcheck, polrelid), obj_description(oid, 'pg_policy')) as definition
    from pg_policy`,
  function: `select p.oid::regprocedure::text as name, concat_ws(' ', pg_get_functiondef(p.oid), ${acl('proacl', "'f'", 'proowner')}, obj_description(p.oid, 'pg_proc')) as definition
    from pg_proc p where pronamespace in (${SCHEMAS}) and prokind <> 'a'`,
  trigger: `select tgrelid::regclass || '.' || tgname as name, concat_ws(' ', pg_get_triggerdef(oid), tgenabled, obj_description(oid, 'pg_trigger')) as definition
    from pg_trigger where not tgisinternal`,
  'default privileges': `select concat_ws(' ', defaclrole::regrole, defaclobjtype, nullif(defaclnamespace, 0)::regnamespace) as name,
      array(select unnest(defaclacl)::text order by 1)::text as definition
    from pg_default_acl where defaclnamespace = 0 or defaclnamespace in (${SCHEMAS})`,
  publication: `select pubname as name, concat_ws(' ', puballtables, pubinsert, pubupdate, pubdelete, pubtruncate,
      array(select prrelid::regclass::text || coalesce(' ' || prattrs::text, '') || coalesce(' ' || pg_get_expr(prqual, prrelid), '')
        from pg_publication_rel where prpubid = p.oid order by 1)::text) as definition
    from pg_publication p`
}

/** Describes all that is defined in a database, by names that do not depend on the database. */
export async function readCatalog (sql: SqlRunner): Promise<Catalog> {
  const catalog: Catalog = {}
  for (const [kind, query] of Object.entries(QUERIES)) {
    for (const { name, definition } of await sql.query(query, [])) catalog[`${kind} ${name as string}`] = definition as string
  }
  return catalog
}
