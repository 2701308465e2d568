-- Ends a firing whose run will never begin.
--   p_refused  true if the schedule is to blame, as for want of credits: after three times in a row it rests for an hour, and
--              for twice as long each further time, up to a day. A run that begins ends that, and an edit ends the rest.
create function public.fail_firing(p_id uuid, p_error text, p_refused boolean default false) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_firing record;
  v_hours integer;
  v_refusals integer;
begin
  -- The schedule is locked before its firing, as by who deletes it.
  perform from public.agent_schedules where id = (select schedule_id from public.scheduled_runs where id = p_id) for no key update;
  select schedule_id, request ->> 'userId' as user_id into v_firing from public.scheduled_runs
    where id = p_id and run_id is null and request is not null for update;
  if not found then
    return '{"failed": false}';
  end if;
  if p_refused then
    insert into public.schedule_refusals as r (user_id, refusals, since) values (v_firing.user_id::uuid, 1, now())
      on conflict (user_id) do update
        set refusals = case when r.since < now() - interval '1 hour' then 1 else r.refusals + 1 end,
            since = case when r.since < now() - interval '1 hour' then now() else r.since end;
    update public.agent_schedules set refusals = least(refusals + 1, 100) where id = v_firing.schedule_id
      returning refusals into v_refusals;
    if v_refusals >= 3 then
      v_hours := least(24, 2 ^ least(v_refusals - 3, 5));
      update public.agent_schedules set next_run_at = null, unplanned_since = now() + make_interval(hours => v_hours)
        where id = v_firing.schedule_id and next_run_at is not null;
    end if;
  end if;
  perform public.end_firing(p_id, 'failed', null,
    p_error || case v_hours when 1 then ' The schedule is tried again in an hour.' else coalesce(format(' The schedule is tried again in %s hours.', v_hours), '') end,
    null, 0, now());
  return '{"failed": true}';
end $$;

revoke execute on function public.fail_firing(uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.fail_firing(uuid, text, boolean) to service_role;
