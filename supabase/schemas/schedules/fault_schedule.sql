-- Reports a faulty schedule once, by a failed row in scheduled_runs and in its last result, and stops planning it until it
-- is edited.
--   p_since  when it was due, or since when it waits to be planned, as it was read
-- Returns {told}: whether this call has reported it.
create function public.fault_schedule(p_schedule_id uuid, p_since timestamptz, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid;
  v_agent_id uuid;
begin
  update public.agent_schedules
    set next_run_at = null, unplanned_since = 'infinity', last_result = jsonb_build_object('success', false, 'error', p_error)
    where id = p_schedule_id and is_enabled and date_trunc('milliseconds', coalesce(next_run_at, unplanned_since)) = p_since
    returning user_id, agent_id into v_user_id, v_agent_id;
  if not found then
    return '{"told": false}';
  end if;
  begin
    insert into public.scheduled_runs (id, schedule_id, agent_id, user_id, status, error_message, error, started_at, completed_at)
      select gen_random_uuid(), p_schedule_id, v_agent_id, v_user_id, p.status, p.error_message, p.error, now(), now()
        from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object(
          'status', 'failed', 'error_message', p_error, 'error', p_error)) p;
  exception when integrity_constraint_violation or data_exception then
    -- The table takes no such row, be it that the schedule has no user or an agent that is gone. The schedule rests anyway.
    null;
  end;
  return '{"told": true}';
end $$;

revoke execute on function public.fault_schedule(uuid, timestamp with time zone, text)
  from public, anon, authenticated;
grant execute on function public.fault_schedule(uuid, timestamp with time zone, text) to service_role;
