-- Makes a schedule of a user's agent, or changes one, for save_row. An agent has one: to make it again changes it.
create function public.save_schedule(p_user_id uuid, p_id uuid, p_row jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_schedule public.agent_schedules;
begin
  if p_id is null then
    select * into v_schedule from public.agent_schedules where agent_id = (p_row ->> 'agent_id')::uuid and user_id = p_user_id for update;
    if not found then
      insert into public.agent_schedules (agent_id, user_id) values ((p_row ->> 'agent_id')::uuid, p_user_id) returning * into v_schedule;
    end if;
  else
    select * into v_schedule from public.agent_schedules where id = p_id and user_id = p_user_id for update;
    if not found then
      raise sqlstate 'PT404' using hint = 'not_found', message = 'There is no such row.';
    end if;
  end if;
  update public.agent_schedules s
    set (is_enabled, schedule_type, cron_expression, timezone, prompt_template, output_action, output_config, updated_at) = (
      select n.is_enabled, n.schedule_type, n.cron_expression, n.timezone, n.prompt_template, n.output_action, n.output_config, now()
        from jsonb_populate_record(v_schedule, p_row) n)
    where id = v_schedule.id
    returning * into v_schedule;
  return to_jsonb(v_schedule) - '{unplanned_since,refusals,timed_at}'::text[];
end $$;

revoke execute on function public.save_schedule(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.save_schedule(uuid, uuid, jsonb) to service_role;
