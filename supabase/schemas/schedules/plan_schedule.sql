-- Sets when a schedule is due next, unless it was edited since it was read. Returns {planned}.
create function public.plan_schedule(p_schedule_id uuid, p_cron text, p_timezone text, p_next timestamptz) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.agent_schedules set next_run_at = p_next
    where id = p_schedule_id and next_run_at is null and unplanned_since < 'infinity'
      and cron_expression is not distinct from p_cron and timezone is not distinct from p_timezone;
  return jsonb_build_object('planned', found);
end $$;

revoke execute on function public.plan_schedule(uuid, text, text, timestamp with time zone)
  from public, anon, authenticated;
grant execute on function public.plan_schedule(uuid, text, text, timestamp with time zone) to service_role;
