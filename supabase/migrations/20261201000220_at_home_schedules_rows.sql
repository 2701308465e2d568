-- Completes rows of schedules and firings that were written before the platform's own columns decided. It may be applied again.

-- The service's first releases fired schedules by a column `is_active` of their own, which is dropped. A schedule that it
-- switched off stays off. A project's own column of that name has another definition and is left alone.
do $$
declare
  v_resting bigint;
begin
  if exists (
    select from pg_catalog.pg_attribute a join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = 'public.agent_schedules'::regclass and a.attname = 'is_active' and a.attnotnull
        and pg_catalog.pg_get_expr(d.adbin, d.adrelid) = 'true')
  then
    update public.agent_schedules set is_enabled = false where is_enabled and not is_active;
    select count(*) into v_resting from public.agent_schedules s
      where not is_enabled and is_active and exists (
        select from public.scheduled_runs r where r.schedule_id = s.id and r.scheduled_for is not null);
    if v_resting > 0 then
      raise notice 'agent_schedules: % schedules that the service has fired are off, because is_enabled is false; it alone decides from now on', v_resting;
    end if;
    begin
      alter table public.agent_schedules drop column is_active;
    exception when dependent_objects_still_exist then
      raise notice 'agent_schedules: the column is_active decides nothing any more; it stays because something of the project depends on it';
    end;
  end if;
end $$;

-- Schedules that had been found faulty rest until they are edited.
update public.agent_schedules set unplanned_since = 'infinity' where next_run_at is null and unplanned_since is null and is_enabled;

-- The page finds firings by their agent, and users read them by their user.
update public.scheduled_runs r set agent_id = s.agent_id, user_id = s.user_id
  from public.agent_schedules s
  where s.id = r.schedule_id and (r.agent_id is null or r.user_id is null);
update public.scheduled_runs r
  set (generated_content, error_message) = (
    select p.generated_content, p.error_message
      from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object(
        'generated_content', to_jsonb(r) ->> 'result', 'error_message', to_jsonb(r) ->> 'error')) p)
  where scheduled_for is not null and generated_content is null and error_message is null
    and (result is not null or error is not null);
do $$
declare
  v_column text;
begin
  foreach v_column in array array['agent_id', 'user_id'] loop
    begin
      execute format('alter table public.scheduled_runs alter column %I set not null', v_column);
    exception when not_null_violation then
      raise notice 'scheduled_runs: the column % stays without "not null", because rows lack it', v_column;
    end;
  end loop;
end $$;
