-- Takes over firings whose process died before their run began, those of each user in turn, until they have batch_bytes. Those
-- of schedules that were switched off in the meantime are ended instead.
create function public.claim_firings(p_lease_seconds numeric, p_limit integer) returns jsonb
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
        select id, lease_until as left_at, row_number() over (partition by request ->> 'userId' order by lease_until) as turn
          from public.scheduled_runs
          where run_id is null and request is not null and lease_until < now()) left_behind using (id)
      where r.run_id is null and r.request is not null and r.lease_until < now()
      order by turn, left_at limit p_limit for update of r skip locked
  loop
    v_one := public.take_firing(v_id, p_lease_seconds);
    if v_one is not null then
      v_claimed := v_claimed || v_one;
      v_bytes := v_bytes + pg_column_size(v_one);
    end if;
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return to_jsonb(v_claimed);
end $$;

revoke execute on function public.claim_firings(numeric, integer) from public, anon, authenticated;
grant execute on function public.claim_firings(numeric, integer) to service_role;
