-- Publishes runs and balances to frontends through Supabase Realtime, which obeys row-level security. A project whose
-- publication does not exist or holds all tables needs nothing.
do $$
declare
  v_table text;
begin
  if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime' and not puballtables) then
    return;
  end if;
  foreach v_table in array array['agent_runs', 'credit_balances'] loop
    continue when exists (
      select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = v_table);
    -- PostgreSQL refuses updates of a published table that has no replica identity.
    if not exists (select from pg_catalog.pg_index where indrelid = ('public.' || v_table)::regclass and indisprimary) then
      execute format('alter table public.%I replica identity full', v_table);
    end if;
    execute format('alter publication supabase_realtime add table public.%I', v_table);
  end loop;
exception when insufficient_privilege then
  raise notice 'supabase_realtime is not this role''s: add agent_runs and credit_balances to it in the dashboard';
end $$;
