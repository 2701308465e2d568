-- Reports a faulty schedule once, by a failed row in scheduled_runs, and stops planning it until it is edited.
--   p_since  when it was due, or since when it waits to be planned, as it was read
-- Returns {told}: whether this call has reported it.
create function public.fault_schedule(p_schedule_id uuid, p_since timestamptz, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_told boolean;
begin
  update public.agent_schedules set next_run_at = null, unplanned_since = null
    where id = p_schedule_id and date_trunc('milliseconds', coalesce(unplanned_since, next_run_at)) = p_since;
  v_told := found;
  if v_told then
    insert into public.scheduled_runs (id, schedule_id, status, error, started_at, completed_at)
      select gen_random_uuid(), p_schedule_id, p.status, p.error, now(), now()
        from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p;
  end if;
  return jsonb_build_object('told', v_told);
end $$;

revoke execute on function public.fault_schedule(uuid, timestamp with time zone, text)
  from public, anon, authenticated;
grant execute on function public.fault_schedule(uuid, timestamp with time zone, text) to service_role;
