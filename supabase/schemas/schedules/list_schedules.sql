-- Returns the schedules that are due within p_within_seconds (null: at any time), the earliest first, and the ids of the
-- schedules that have to be planned: {now, timed: [{id, cron, timezone, nextRunAt, turn}], unplanned: [id], isScheduled, leftAt}.
-- Where there are more than p_limit, each user has as many.
--   turn         the how manieth of its user's it is: what is due is served in turn
--   isScheduled  whether any schedule is on and has a next time or is going to have one
--   leftAt       when the first firing that was left behind is to begin, or the first result is to be sent; null: there is none
-- Who calls it fires schedules, and that is noted: see clear_next_run.
create function public.list_schedules(p_within_seconds numeric, p_limit integer) returns jsonb
language sql security definer set search_path = '' set lock_timeout = '5s' as $$
  insert into public.schedule_looks (looked_at)
    select now() where not exists (select from public.schedule_looks where looked_at > now() - interval '1 minute')
    on conflict (id) do update set looked_at = excluded.looked_at;
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'timed', (
      select coalesce(jsonb_agg(jsonb_build_object(
          'id', s.id, 'cron', left(s.cron_expression, 201), 'timezone', left(s.timezone, 201),
          'nextRunAt', public.iso_time(s.next_run_at), 'turn', s.turn) order by s.next_run_at), '[]')
        from (
          select id, cron_expression, timezone, next_run_at,
              row_number() over (partition by user_id order by next_run_at, id) as turn
            from public.agent_schedules
            where is_enabled and next_run_at is not null and id is not null
              and (p_within_seconds is null or next_run_at <= now() + make_interval(secs => p_within_seconds))
            order by turn, next_run_at limit p_limit) s),
    'unplanned', (
      select coalesce(jsonb_agg(s.id order by s.turn, s.unplanned_since), '[]')
        from (
          select id, unplanned_since, row_number() over (partition by user_id order by unplanned_since, id) as turn
            from public.agent_schedules
            where is_enabled and next_run_at is null and unplanned_since <= now() and id is not null
            order by turn, unplanned_since limit p_limit) s),
    'isScheduled', exists (
        select from public.agent_schedules where is_enabled and next_run_at < 'infinity')
      or exists (
        select from public.agent_schedules where is_enabled and next_run_at is null and unplanned_since < 'infinity'),
    'leftAt', public.iso_time(least(
      (select min(lease_until) from public.scheduled_runs where run_id is null and request is not null and lease_until < 'infinity'),
      (select min(delivery_at) from public.scheduled_runs where delivery_status = 'pending'))))
$$;

revoke execute on function public.list_schedules(numeric, integer) from public, anon, authenticated;
grant execute on function public.list_schedules(numeric, integer) to service_role;
