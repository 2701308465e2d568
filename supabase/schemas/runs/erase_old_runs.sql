-- Erases the texts of runs that ended more than p_days ago, at most p_limit runs a call, together with expired cached
-- responses, workers that have been gone for a day, and refusals of schedules as old. The runs themselves and the ledger stay.
-- Returns {erased}: the number of runs.
create function public.erase_old_runs(p_days numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
begin
  select array_agg(id) into v_ids from (
    select id from public.agent_runs
      where finished_at < now() - make_interval(secs => p_days * 86400) and not erased
      order by finished_at limit p_limit for update skip locked) as old;
  update public.agent_runs set response = '', erased = true where id = any (v_ids);
  delete from public.agent_run_inputs where run_id = any (v_ids);
  delete from public.agent_run_traces where run_id = any (v_ids);
  delete from public.agent_run_failures where run_id = any (v_ids);
  delete from public.agent_workers where greatest(lease_until, seen_at) < now() - interval '1 day';
  delete from public.response_cache where expires_at < now();
  delete from public.schedule_refusals where since < now() - interval '1 day';
  return jsonb_build_object('erased', coalesce(cardinality(v_ids), 0));
end $$;

revoke execute on function public.erase_old_runs(numeric, integer) from public, anon, authenticated;
grant execute on function public.erase_old_runs(numeric, integer) to service_role;
