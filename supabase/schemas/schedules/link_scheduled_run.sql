-- Links a run and its firing when the run is inserted, so that the link survives the death of the process, and forgets that the
-- schedule was refused before. The run's
-- idempotency key names the firing. A user who sends such a key gains nothing: the run's user must be the firing's.
create function public.link_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_schedule_id uuid;
begin
  -- The schedule is locked before its firing, as by who deletes it.
  perform from public.agent_schedules
    where id = (select schedule_id from public.scheduled_runs
      where id = substr(new.idempotency_key, 10)::uuid and run_id is null and request ->> 'userId' = new.user_id::text)
    for no key update;
  update public.scheduled_runs r
    set run_id = new.id, request = null, lease_until = null,
        status = (select p.status from jsonb_populate_record(null::public.scheduled_runs, '{"status": "running"}') p)
    where id = substr(new.idempotency_key, 10)::uuid and run_id is null and request ->> 'userId' = new.user_id::text
    returning schedule_id into v_schedule_id;
  update public.agent_schedules set refusals = 0 where id = v_schedule_id and refusals > 0;
  return null;
end $$;

create trigger link_scheduled_run after insert on public.agent_runs for each row
  when (new.api_key_id is null and new.idempotency_key ~ '^schedule:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$')
  execute function public.link_scheduled_run();

revoke execute on function public.link_scheduled_run() from public, anon, authenticated;
grant execute on function public.link_scheduled_run() to service_role;
