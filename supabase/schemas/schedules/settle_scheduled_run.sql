-- Copies the end of a run to its firing, in the transaction that settles the run. If the live table refuses the values,
-- the run is settled nevertheless.
create function public.settle_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set (status, result, error) = (
          select p.status, p.result, p.error
            from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object(
              'status', case when new.status = 'succeeded' then 'completed' else 'failed' end,
              'result', case when new.status = 'succeeded' then new.response else nullif(new.response, '') end,
              'error', case new.status
                when 'failed' then coalesce(new.error ->> 'message', 'The run failed.')
                when 'cancelled' then 'The run was cancelled.' end)) p),
        completed_at = new.finished_at,
        delivery_status = case when new.status = 'succeeded' and exists (
          select from public.agent_schedules s where s.id = r.schedule_id and s.output_action in ('webhook', 'api_call')) then 'pending' end,
        delivery_at = now()
    where run_id = new.id;
  return null;
exception when data_exception or integrity_constraint_violation then
  raise warning 'scheduled_runs does not take the end of run %: %', new.id, sqlerrm;
  return null;
end $$;

create trigger settle_scheduled_run after update of finished_at on public.agent_runs for each row
  when (old.finished_at is null and new.finished_at is not null and new.idempotency_key like 'schedule:%')
  execute function public.settle_scheduled_run();

revoke execute on function public.settle_scheduled_run() from public, anon, authenticated;
grant execute on function public.settle_scheduled_run() to service_role;
