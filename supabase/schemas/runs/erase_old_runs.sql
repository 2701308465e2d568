-- Erases the texts of runs that ended more than p_days ago, and of firings, at most p_limit of each a call, together with
-- expired cached responses, tickets that nobody has used for a week, workers that have been gone for a day, and refusals of schedules as old. The runs themselves and
-- the ledger stay.
-- Returns {erased}: the number of runs, or that of firings if it is larger.
create function public.erase_old_runs(p_days numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
  v_before constant timestamptz := now() - make_interval(secs => p_days * 86400);
  v_firings integer := 0;
begin
  select array_agg(id) into v_ids from (
    select id from public.agent_runs
      where finished_at <= v_before and not erased
      order by finished_at limit p_limit for update skip locked) as old;
  perform public.erase_runs(v_ids);
  v_firings := public.erase_old_firings(v_before, p_limit);
  delete from public.agent_workers where greatest(lease_until, seen_at) < now() - interval '1 day';
  delete from public.response_cache where expires_at < now();
  delete from public.access_tickets where expires_at < now() - interval '1 day' and coalesce(used_at < now() - interval '7 days', true);
  delete from public.schedule_refusals where since < now() - interval '1 day';
  return jsonb_build_object('erased', greatest(coalesce(cardinality(v_ids), 0), v_firings));
end $$;

revoke execute on function public.erase_old_runs(numeric, integer) from public, anon, authenticated;
grant execute on function public.erase_old_runs(numeric, integer) to service_role;
