-- Takes results that are to be sent now, those of each user in turn, until they have batch_bytes, for p_lease_seconds. The try
-- counts even if the process dies during it. A result that cannot be taken fails by itself, after four tries for good.
--   p_sending   {userId: how many results of the user the process is sending already}
--   p_per_user  how many results of one user the process sends at a time
create function public.claim_deliveries(
  p_lease_seconds numeric, p_limit integer, p_sending jsonb default '{}', p_per_user integer default 5
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_one jsonb;
  v_claimed jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  for v_id in
    select r.id from public.scheduled_runs r
      join (
        select d.id, d.delivery_at as due_at, coalesce((p_sending ->> s.user_id::text)::integer, 0)
            + row_number() over (partition by s.user_id order by d.delivery_at) as turn
          from public.scheduled_runs d join public.agent_schedules s on s.id = d.schedule_id
          where d.delivery_status = 'pending' and d.delivery_at <= now()) due on due.id = r.id
      where r.delivery_status = 'pending' and r.delivery_at <= now() and turn <= p_per_user
      order by turn, due_at limit p_limit for update of r skip locked
  loop
    v_one := public.take_delivery(v_id, p_lease_seconds);
    if v_one is not null then
      v_claimed := v_claimed || v_one;
      v_bytes := v_bytes + pg_column_size(v_one);
    end if;
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return to_jsonb(v_claimed);
end $$;

revoke execute on function public.claim_deliveries(numeric, integer, jsonb, integer) from public, anon, authenticated;
grant execute on function public.claim_deliveries(numeric, integer, jsonb, integer) to service_role;
