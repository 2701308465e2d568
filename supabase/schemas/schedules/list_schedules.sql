-- Returns the schedules that are due within p_within_seconds (null: at any time), the earliest first, and the ids of the
-- schedules that have to be planned: {now, timed: [{id, cron, timezone, nextRunAt}], unplanned: [id]}.
create function public.list_schedules(p_within_seconds numeric, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'timed', (
      select coalesce(jsonb_agg(jsonb_build_object(
          'id', s.id, 'cron', s.cron_expression, 'timezone', s.timezone, 'nextRunAt', public.iso_time(s.next_run_at)) order by s.next_run_at), '[]')
        from (
          select * from public.agent_schedules
            where is_active and next_run_at is not null
              and (p_within_seconds is null or next_run_at <= now() + make_interval(secs => p_within_seconds))
            order by next_run_at limit p_limit) s),
    'unplanned', (
      select coalesce(jsonb_agg(s.id), '[]')
        from (
          select id from public.agent_schedules where is_active and unplanned_since is not null and id is not null
            order by unplanned_since limit p_limit) s))
$$;

revoke execute on function public.list_schedules(numeric, integer) from public, anon, authenticated;
grant execute on function public.list_schedules(numeric, integer) to service_role;
