-- Returns a firing that has no run yet, with all that is needed to begin the run.
create function public.firing_json(r public.scheduled_runs) returns jsonb
language sql stable set search_path = '' as $$
  select r.request || jsonb_build_object('id', r.id, 'scheduleId', r.schedule_id, 'startedAt', public.iso_time(r.started_at), 'now', public.iso_time(now()))
$$;

revoke execute on function public.firing_json(public.scheduled_runs) from public, anon, authenticated;
grant execute on function public.firing_json(public.scheduled_runs) to service_role;
