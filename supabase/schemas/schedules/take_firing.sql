-- Takes one firing whose run has not begun, for p_lease_seconds. Returns null if its schedule was switched off, which ends the
-- firing, or if it cannot be taken: then it rests for a minute, and is dropped when it is older than an hour.
create function public.take_firing(p_id uuid, p_lease_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_firing jsonb;
begin
  if exists (select from public.scheduled_runs r join public.agent_schedules s on s.id = r.schedule_id
    where r.id = p_id and s.is_enabled is not true)
  then
    perform public.end_firing(p_id, 'failed', null, 'The schedule was switched off before its run began.', null, 0, now());
    return null;
  end if;
  update public.scheduled_runs r set lease_until = now() + make_interval(secs => p_lease_seconds)
    where r.id = p_id
    returning public.firing_json(r) into v_firing;
  return v_firing;
exception when others then
  raise warning 'firing % cannot be taken: %', p_id, sqlerrm;
  begin
    update public.scheduled_runs
      set lease_until = case when started_at > now() - interval '1 hour' then now() + interval '1 minute' end,
          request = case when started_at > now() - interval '1 hour' then request end
      where id = p_id;
  exception when others then
    -- What cannot even be noted is not to keep the firings of others.
    null;
  end;
  return null;
end $$;

revoke execute on function public.take_firing(uuid, numeric) from public, anon, authenticated;
grant execute on function public.take_firing(uuid, numeric) to service_role;
