-- Returns a schedule with all that is needed to plan and fire it. What is longer than the service accepts is cut off, and so is
-- what this server cannot return, so that one row cannot keep the others from being read; `isTooLarge` tells of output_config.
create function public.schedule_json(p_schedule_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_schedule jsonb;
begin
  select jsonb_build_object(
      'id', s.id, 'userId', s.user_id, 'agentId', s.agent_id, 'cron', left(s.cron_expression, 201), 'timezone', left(s.timezone, 201),
      'prompt', left(s.prompt_template, 100001), 'action', left(s.output_action, 201), 'config', null, 'isTooLarge', false,
      'nextRunAt', public.iso_time(s.next_run_at),
      'unplannedSince', public.iso_time(case when s.next_run_at is null and s.unplanned_since < 'infinity' then s.unplanned_since end))
    into v_schedule
    from public.agent_schedules s where s.id = p_schedule_id;
  begin
    return v_schedule || (
      select case when octet_length(output_config::text) > 262144 then '{"isTooLarge": true}'
          -- As an element of a list, which is what the caller makes of it.
          else jsonb_build_array(jsonb_build_object('config', output_config)) -> 0 end
        from public.agent_schedules where id = p_schedule_id);
  exception when others then
    return v_schedule || '{"isTooLarge": true}';
  end;
end $$;

revoke execute on function public.schedule_json(uuid) from public, anon, authenticated;
grant execute on function public.schedule_json(uuid) to service_role;
