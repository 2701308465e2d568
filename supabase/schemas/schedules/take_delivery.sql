-- Takes one result that is to be sent, for p_lease_seconds, with its schedule as schedule_json has it. Returns null if it cannot be
-- taken; then it rests for a minute, and after four tries it has failed. So has one that was taken twenty times, whatever became of
-- the processes that took it.
create function public.take_delivery(p_id uuid, p_lease_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_tries integer;
begin
  update public.scheduled_runs
    set delivery_at = now() + make_interval(secs => p_lease_seconds), delivery_tries = delivery_tries + 1
    where id = p_id
    returning delivery_tries into v_tries;
  if v_tries > 20 then
    perform public.record_delivery(p_id, v_tries, 'failed', 'The result could not be delivered: the server broke down over it again and again.');
    return null;
  end if;
  begin
    if (select octet_length(s.output_config::text) > 262144
      from public.scheduled_runs c join public.agent_schedules s on s.id = c.schedule_id where c.id = p_id)
    then
      perform public.record_delivery(p_id, v_tries, 'failed', 'The result could not be delivered: output_config is too large.');
      return null;
    end if;
    return (
      select jsonb_build_object(
          'id', c.id, 'scheduleId', c.schedule_id, 'runId', c.run_id, 'tries', c.delivery_tries, 'result', to_jsonb(c) ->> 'result',
          'scheduledFor', public.iso_time(c.scheduled_for), 'completedAt', public.iso_time(c.completed_at::timestamptz),
          'agentId', s.agent_id, 'agentName', (select left(a.name, 1000) from public.agents a where a.id = s.agent_id),
          'userId', s.user_id, 'action', left(s.output_action, 201), 'config', s.output_config,
          'prompt', left(s.prompt_template, 100001), 'timezone', left(s.timezone, 201))
        from public.scheduled_runs c join public.agent_schedules s on s.id = c.schedule_id where c.id = p_id);
  exception when others then
    raise warning 'result % cannot be taken to be sent: %', p_id, sqlerrm;
    perform public.record_delivery(p_id, v_tries, case when v_tries < 4 then 'pending' else 'failed' end,
      'The result could not be delivered: it cannot be read.', 60);
  end;
  return null;
exception when others then
  -- What cannot even be noted is not to keep the results of others.
  raise warning 'result % cannot be taken to be sent: %', p_id, sqlerrm;
  return null;
end $$;

revoke execute on function public.take_delivery(uuid, numeric) from public, anon, authenticated;
grant execute on function public.take_delivery(uuid, numeric) to service_role;
