-- Takes the time of a schedule away whose times were edited, or that was switched on after it had passed, so that the service
-- computes another: what was due while it was off is not made up for. The platform's own runner would never find a schedule
-- without a time, so where that alone is at work the time stays: it has rows of its own, which have no scheduled_for, and no
-- service has looked at the schedules within a quarter of an hour, as it does every ten minutes at the least.
-- By its name it comes before guard_schedule, which notes since when the schedule waits.
create function public.clear_next_run() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.schedule_looks where looked_at > now() - interval '15 minutes')
    or not exists (select from public.scheduled_runs where scheduled_for is null and status::text in ('running', 'completed'))
  then
    new.next_run_at := null;
  end if;
  return new;
end $$;

create trigger clear_next_run before update on public.agent_schedules for each row
  when (new.next_run_at is not distinct from old.next_run_at
    and ((new.cron_expression, new.timezone) is distinct from (old.cron_expression, old.timezone)
      or (new.is_enabled and old.is_enabled is not true and new.next_run_at <= now())))
  execute function public.clear_next_run();

revoke execute on function public.clear_next_run() from public, anon, authenticated;
grant execute on function public.clear_next_run() to service_role;
