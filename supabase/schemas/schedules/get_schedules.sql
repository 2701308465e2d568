-- Returns schedules that are switched on, with all that is needed to plan and fire them: {now, schedules}. What is longer than
-- the service accepts is cut off, so that one row cannot keep the others from being read; `isTooLarge` tells of output_config.
create function public.get_schedules(p_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'schedules', coalesce(jsonb_agg(jsonb_build_object(
      'id', s.id, 'userId', s.user_id, 'agentId', s.agent_id, 'cron', left(s.cron_expression, 201), 'timezone', left(s.timezone, 201),
      'prompt', left(s.prompt_template, 100001), 'action', left(s.output_action, 201),
      'config', case when not s.is_too_large then s.output_config end, 'isTooLarge', s.is_too_large,
      'nextRunAt', public.iso_time(s.next_run_at),
      'unplannedSince', public.iso_time(case when s.next_run_at is null and s.unplanned_since < 'infinity' then s.unplanned_since end))), '[]'))
    from (
      select *, coalesce(octet_length(output_config::text), 0) > 262144 as is_too_large from public.agent_schedules
        where is_enabled and id in (select value::uuid from jsonb_array_elements_text(p_ids))) s
$$;

revoke execute on function public.get_schedules(jsonb) from public, anon, authenticated;
grant execute on function public.get_schedules(jsonb) to service_role;
