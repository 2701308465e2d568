-- Moves a due schedule to its next time and writes the row of its firing. Only one of several callers succeeds.
--   p_due      the time that the schedule was due, as it was read, in milliseconds
--   p_for      the time of the firing: the latest of those that were missed
--   p_content  the question to the agent
-- Returns the firing, or null if the schedule was fired or edited in the meantime.
create function public.fire_schedule(
  p_schedule_id uuid, p_due timestamptz, p_for timestamptz, p_next timestamptz, p_content text, p_lease_seconds numeric
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_schedule public.agent_schedules;
  v_id uuid;
begin
  update public.agent_schedules set next_run_at = p_next
    where id = p_schedule_id and is_active and date_trunc('milliseconds', next_run_at) = p_due
    returning * into v_schedule;
  if not found then
    return null;
  end if;
  insert into public.scheduled_runs (id, schedule_id, status, started_at, scheduled_for, request, lease_until)
    select gen_random_uuid(), p_schedule_id, p.status, now(), p_for,
        jsonb_build_object('userId', v_schedule.user_id, 'agentId', v_schedule.agent_id, 'content', p_content),
        now() + make_interval(secs => p_lease_seconds)
      from jsonb_populate_record(null::public.scheduled_runs, '{"status": "running"}') p
    on conflict do nothing
    returning id into v_id;
  return (select public.firing_json(r) from public.scheduled_runs r where r.id = v_id);
end $$;

revoke execute on function public.fire_schedule(uuid, timestamp with time zone, timestamp with time zone, timestamp with time zone, text, numeric)
  from public, anon, authenticated;
grant execute on function public.fire_schedule(uuid, timestamp with time zone, timestamp with time zone, timestamp with time zone, text, numeric)
  to service_role;
