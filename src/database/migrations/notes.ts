import type { Migration } from './files.js'

/** The first migrations of release 0.2.0, whose documents also said to paste them into the SQL editor. */
const BASELINE = { version: '20261129000000', name: 'baseline', schema: 4 }
const MENDED = { version: '20261129000100', name: 'mend_live_project' }

/**
 * SQL that makes `jeesi.migrations`, where the applied migrations are noted, and brings it up to date with what others
 * applied: the project's history (`supabase_migrations.schema_migrations`, of the Supabase CLI), and what was pasted.
 * No user may read the table: PostgREST serves other schemas, and nobody but its owner has a grant.
 * @param takesBack whether what release 0.2.0 noted in the project's history is removed from there. A file that the
 * CLI pushes must not do so while the CLI writes the same table.
 */
export function noteScript (migrations: Migration[], { takesBack }: { takesBack: boolean }): string {
  return `${TABLE}
do $learn$
declare
  v_schema integer := 0;
  v_entries text;
begin
  -- Of several at once, one goes on.
  lock table jeesi.migrations in share row exclusive mode;
  if to_regclass('supabase_migrations.schema_migrations') is not null then
    insert into jeesi.migrations (version, name)
      select ours.version, ours.name from ${ours(migrations)}
        join supabase_migrations.schema_migrations theirs on theirs.version = ours.version
        where coalesce(to_jsonb(theirs) ->> 'name', ours.name) = ours.name
      on conflict do nothing;${takesBack ? takeBack(migrations) : ''}
  end if;
  if to_regprocedure('public.schema_version()') is not null then
    execute 'select coalesce((public.schema_version() ->> ''version'')::integer, 0)' into v_schema;
  end if;${definitions(migrations).map(doubt).join('')}
  -- What was pasted without a note, as release 0.2.0 had it, is known by what it did.
  if v_schema >= ${BASELINE.schema} and not exists (select from jeesi.migrations) then
    insert into jeesi.migrations (version, name) values ('${BASELINE.version}', '${BASELINE.name}');
    if not has_table_privilege('anon', 'public.api_keys', 'select') and exists (
      select from pg_catalog.pg_constraint where conrelid = 'public.credit_balances'::regclass
        and (conname = 'credit_balances_not_negative' or pg_catalog.pg_get_constraintdef(oid) = 'CHECK ((credits_remaining >= 0))'))
    then
      insert into jeesi.migrations (version, name) values ('${MENDED.version}', '${MENDED.name}');
    end if;
  end if;
end $learn$;
`
}

/** Creates nothing where the table is, since even `create … if not exists` asks for rights that its reader may lack. */
const TABLE = `-- Which migrations of jeesi-railway-backend this database has.
do $table$
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('jeesi.migrations', 0));
  if to_regclass('jeesi.migrations') is null then
    create schema if not exists jeesi;
    create table jeesi.migrations (version text primary key, name text not null, applied_at timestamptz not null default now());
    alter table jeesi.migrations enable row level security;
    revoke all on schema jeesi from public, anon, authenticated, service_role;
    revoke all on jeesi.migrations from public, anon, authenticated, service_role;
    comment on table jeesi.migrations is 'Which migrations of jeesi-railway-backend this database has; npm run migrate writes it.';
  end if;
end $table$;
`

function ours (migrations: Migration[]): string {
  return `(values ${migrations.map(({ version, name }) => `('${version}', '${name}')`).join(', ')}) as ours (version, name)`
}

/**
 * Removes from the project's history what release 0.2.0 wrote there, because `supabase db push` refuses to work while
 * the history has versions that the platform's folder lacks. An entry without statements is 0.2.0's: the CLI writes
 * them. If the CLI has written an entry after it, its folder has our files too, and would push them again.
 */
function takeBack (migrations: Migration[]): string {
  return `
    with gone as (
      delete from supabase_migrations.schema_migrations theirs using ${ours(migrations)}
        where theirs.version = ours.version and to_jsonb(theirs) ->> 'name' = ours.name and to_jsonb(theirs) ->> 'statements' is null
          and not exists (
            select from supabase_migrations.schema_migrations pushed
              where to_jsonb(pushed) ->> 'statements' is not null and age(pushed.xmin) < age(theirs.xmin))
        returning theirs.version)
    select string_agg(version, ', ' order by version) into v_entries from gone;
    if v_entries is not null then
      raise notice 'supabase_migrations.schema_migrations: removed %, which release 0.2.0 had noted there: the next supabase db push would have been refused', v_entries;
    end if;`
}

/** Which migrations define which version of the schema. */
function definitions (migrations: Migration[]): Array<{ version: string, schema: number }> {
  return migrations.flatMap(({ version, sql }) => {
    const [, schema] = /function public\.schema_version\(\)[^;]*?'version', (\d+)/.exec(sql) ?? []
    return schema ? [{ version, schema: Number(schema) }] : []
  })
}

/**
 * Forgets notes that the database itself contradicts: its schema was dropped, or older files were applied over newer
 * ones, as release 0.2.0 does to a database that it takes for new. The migrations of one release begin with one date.
 */
function doubt ({ version, schema }: { version: string, schema: number }): string {
  const release = version.slice(0, 8)
  return `
  if v_schema < ${schema} and exists (select from jeesi.migrations where version = '${version}') then
    delete from jeesi.migrations where version >= '${release}';
    raise notice 'the schema is of version %: the migrations from ${release} on are applied again', v_schema;
  end if;`
}
