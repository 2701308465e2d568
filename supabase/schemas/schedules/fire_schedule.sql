-- Moves a due schedule to its next time and writes the row of its firing. Only one of several callers succeeds: whoever
-- moves next_run_at has fired, and that may also be the platform's own runner.
--   p_due      the time that the schedule was due, as it was read, in milliseconds
--   p_for      the time of the firing: the latest of those that were missed
--   p_content  the question to the agent
-- Returns the firing, or null if the schedule was fired, edited or switched off in the meantime, or rests because 20 firings of
-- its user were refused within an hour.
create function public.fire_schedule(
  p_schedule_id uuid, p_due timestamptz, p_for timestamptz, p_next timestamptz, p_content text, p_lease_seconds numeric
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_schedule record;
  v_id uuid;
begin
  select user_id, agent_id, timed_at into v_schedule from public.agent_schedules
    where id = p_schedule_id and is_enabled and date_trunc('milliseconds', next_run_at) = p_due
    for no key update;
  -- The platform's runner inserts its row before it asks the model, completes it, and moves next_run_at after that: a row that was
  -- begun since that time was written is this firing. It lives for less than ten minutes.
  if not found or exists (
    select from public.scheduled_runs
      where schedule_id = p_schedule_id and scheduled_for is null
        and ((status::text = 'running' and completed_at is null)
          or (status::text = 'completed' and started_at > coalesce(v_schedule.timed_at, '-infinity')))
        and started_at >= p_due and started_at > now() - interval '10 minutes')
  then
    return null;
  end if;
  if exists (select from public.schedule_refusals
    where user_id = v_schedule.user_id and refusals >= 20 and since > now() - interval '1 hour')
  then
    update public.agent_schedules
      set next_run_at = null, unplanned_since = now() + interval '1 hour',
          last_result = '{"success": false, "error": "Too many of your schedules could not begin: this one is tried again in an hour."}'
      where id = p_schedule_id;
    return null;
  end if;
  update public.agent_schedules set next_run_at = p_next where id = p_schedule_id;
  begin
    insert into public.scheduled_runs (id, schedule_id, agent_id, user_id, status, started_at, scheduled_for, request, lease_until)
      select gen_random_uuid(), p_schedule_id, v_schedule.agent_id, v_schedule.user_id, p.status, now(), p_for,
          jsonb_build_object('userId', v_schedule.user_id, 'agentId', v_schedule.agent_id, 'content', p_content),
          now() + make_interval(secs => p_lease_seconds)
        from jsonb_populate_record(null::public.scheduled_runs, '{"status": "pending"}') p
      on conflict do nothing
      returning id into v_id;
  exception when integrity_constraint_violation or data_exception then
    -- The table takes no such row. The schedule rests, or it would fail again each time.
    update public.agent_schedules
      set next_run_at = null, unplanned_since = 'infinity',
          last_result = '{"success": false, "error": "The schedule has no user, or its agent does not exist."}'
      where id = p_schedule_id;
  end;
  return (select public.firing_json(r) from public.scheduled_runs r where r.id = v_id);
end $$;

revoke execute on function public.fire_schedule(uuid, timestamp with time zone, timestamp with time zone, timestamp with time zone, text, numeric)
  from public, anon, authenticated;
grant execute on function public.fire_schedule(uuid, timestamp with time zone, timestamp with time zone, timestamp with time zone, text, numeric)
  to service_role;
