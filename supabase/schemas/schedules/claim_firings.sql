-- Takes over firings whose process died before their run began. Those of schedules that were switched off in the meantime
-- are ended instead.
create function public.claim_firings(p_lease_seconds numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_firings jsonb;
begin
  perform public.end_firing(r.id, 'failed', null, 'The schedule was switched off before its run began.', null, 0, now())
    from public.scheduled_runs r join public.agent_schedules s on s.id = r.schedule_id
    where r.run_id is null and r.request is not null and r.lease_until < now() and s.is_enabled is not true;
  with claimed as (
    update public.scheduled_runs r set lease_until = now() + make_interval(secs => p_lease_seconds)
      where r.id in (
        select id from public.scheduled_runs where run_id is null and request is not null and lease_until < now()
          order by lease_until limit p_limit for update skip locked)
      returning r.*)
  select coalesce(jsonb_agg(public.firing_json(c)), '[]') into v_firings from claimed c;
  return v_firings;
end $$;

revoke execute on function public.claim_firings(numeric, integer) from public, anon, authenticated;
grant execute on function public.claim_firings(numeric, integer) to service_role;
