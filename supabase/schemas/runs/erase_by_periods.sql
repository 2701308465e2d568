-- Erases the texts of runs and firings of those users and agents whose own period is shorter than p_days and over, at most p_limit of
-- each a call. Returns the number of runs, or that of firings if it is larger.
create function public.erase_by_periods(p_days numeric, p_limit integer) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_period record;
  v_erased jsonb;
  v_runs integer := 0;
  v_firings integer := 0;
begin
  for v_period in select user_id, agent_id, days from public.retention_periods where days < p_days order by id loop
    exit when greatest(v_runs, v_firings) >= p_limit;
    v_erased := public.erase_runs_of(v_period.user_id, v_period.agent_id, now() - make_interval(secs => v_period.days * 86400),
      p_limit - greatest(v_runs, v_firings));
    v_runs := v_runs + (v_erased ->> 'erased')::integer;
    v_firings := v_firings + (v_erased ->> 'firings')::integer;
  end loop;
  return greatest(v_runs, v_firings);
end $$;

revoke execute on function public.erase_by_periods(numeric, integer) from public, anon, authenticated;
grant execute on function public.erase_by_periods(numeric, integer) to service_role;
