-- Refuses the row of a firing by the platform's runner if the service has just fired the same schedule. That runner reads the
-- schedules that are due first, and comes to each of them one after the other; without its row it leaves a schedule out.
create function public.guard_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_next_run_at timestamptz;
begin
  -- If the service is firing the schedule at this moment, this waits until it has.
  select next_run_at into v_next_run_at from public.agent_schedules where id = new.schedule_id for no key update;
  if v_next_run_at > now() and exists (
    select from public.scheduled_runs
      where schedule_id = new.schedule_id and scheduled_for is not null and started_at > now() - interval '10 minutes')
  then
    raise sqlstate '23505' using message = 'The schedule was fired already.';
  end if;
  return new;
end $$;

create trigger guard_scheduled_run before insert on public.scheduled_runs for each row
  when (new.scheduled_for is null and new.completed_at is null)
  execute function public.guard_scheduled_run();

revoke execute on function public.guard_scheduled_run() from public, anon, authenticated;
grant execute on function public.guard_scheduled_run() to service_role;
