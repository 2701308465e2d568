-- Returns active schedules with all that is needed to plan and fire them: {now, schedules}.
create function public.get_schedules(p_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'schedules', coalesce(jsonb_agg(jsonb_build_object(
      'id', s.id, 'userId', s.user_id, 'agentId', s.agent_id, 'cron', s.cron_expression, 'timezone', s.timezone,
      'prompt', s.prompt_template, 'action', s.output_action, 'config', s.output_config,
      'nextRunAt', public.iso_time(s.next_run_at), 'unplannedSince', public.iso_time(s.unplanned_since))), '[]'))
    from public.agent_schedules s
    where s.is_active and s.id in (select value::uuid from jsonb_array_elements_text(p_ids))
$$;

revoke execute on function public.get_schedules(jsonb) from public, anon, authenticated;
grant execute on function public.get_schedules(jsonb) to service_role;
