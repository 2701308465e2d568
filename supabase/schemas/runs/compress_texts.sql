-- Compresses the texts of runs with LZ4, which takes a fourth of the time of PostgreSQL's own pglz; rows from before stay as they
-- are. A server that was built without LZ4 goes on with pglz. Nothing is locked where it is done.
do $$
declare
  v_column record;
begin
  for v_column in
    select a.attrelid::regclass as of_table, a.attname from pg_catalog.pg_attribute a
      where (a.attrelid, a.attname) in (
          ('public.agent_runs'::regclass, 'response'), ('public.agent_run_inputs'::regclass, 'input'),
          ('public.agent_run_checkpoints'::regclass, 'record'), ('public.agent_run_checkpoints'::regclass, 'told'),
          ('public.agent_run_traces'::regclass, 'trace'), ('public.response_cache'::regclass, 'response'),
          ('public.agent_knowledge_cuts'::regclass, 'knowledge'))
        and a.attcompression <> 'l'
  loop
    execute format('alter table %s alter column %I set compression lz4', v_column.of_table, v_column.attname);
  end loop;
exception when feature_not_supported then
  null;
end $$;
