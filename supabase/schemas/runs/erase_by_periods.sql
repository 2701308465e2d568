-- Erases the texts of runs and firings of those users and agents whose own period is shorter than p_days and over, at most p_limit of
-- each a period, of the next 20 periods behind p_after, and of fewer once that has taken three seconds, so that a call is short however many there are. A period that fails costs the others nothing.
-- Returns {next, more}: where to go on, null at the end; and whether one of them may have more to erase.
create function public.erase_by_periods(p_days numeric, p_limit integer, p_after bigint default 0) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_period record;
  v_erased jsonb;
  v_next bigint;
  v_count integer := 0;
  v_more boolean := false;
  v_is_late boolean := false;
begin
  for v_period in select * from public.retention_periods where days < p_days and id > p_after order by id limit 20 loop
    v_count := v_count + 1;
    v_next := v_period.id;
    begin
      v_erased := public.erase_runs_of(v_period.user_id, v_period.agent_id, now() - make_interval(secs => v_period.days * 86400), p_limit);
      v_more := v_more or greatest((v_erased ->> 'erased')::integer, (v_erased ->> 'firings')::integer) >= p_limit;
    exception when others then
      raise warning 'the texts of retention period % are not erased: %', v_period.id, sqlerrm;
    end;
    v_is_late := clock_timestamp() > now() + interval '3 seconds';
    exit when v_is_late;
  end loop;
  return jsonb_build_object('next', case when v_count = 20 or v_is_late then v_next end, 'more', v_more);
end $$;

revoke execute on function public.erase_by_periods(numeric, integer, bigint) from public, anon, authenticated;
grant execute on function public.erase_by_periods(numeric, integer, bigint) to service_role;
