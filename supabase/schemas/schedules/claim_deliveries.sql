-- Takes results that are to be sent now, for p_lease_seconds. The try counts even if the process dies during it.
create function public.claim_deliveries(p_lease_seconds numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_deliveries jsonb;
begin
  with claimed as (
    update public.scheduled_runs r
      set delivery_at = now() + make_interval(secs => p_lease_seconds), delivery_tries = delivery_tries + 1
      where r.id in (
        select id from public.scheduled_runs where delivery_status = 'pending' and delivery_at <= now()
          order by delivery_at limit p_limit for update skip locked)
      returning r.*)
  select coalesce(jsonb_agg(jsonb_build_object(
      'id', c.id, 'scheduleId', c.schedule_id, 'runId', c.run_id, 'tries', c.delivery_tries, 'result', to_jsonb(c) ->> 'result',
      'scheduledFor', public.iso_time(c.scheduled_for), 'completedAt', public.iso_time(c.completed_at::timestamptz),
      'agentId', s.agent_id, 'agentName', (select a.name from public.agents a where a.id = s.agent_id),
      'userId', s.user_id, 'action', s.output_action, 'config', s.output_config,
      'prompt', s.prompt_template, 'timezone', s.timezone)), '[]')
    into v_deliveries
    from claimed c join public.agent_schedules s on s.id = c.schedule_id;
  return v_deliveries;
end $$;

revoke execute on function public.claim_deliveries(numeric, integer) from public, anon, authenticated;
grant execute on function public.claim_deliveries(numeric, integer) to service_role;
