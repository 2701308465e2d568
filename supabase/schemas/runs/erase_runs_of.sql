-- Erases the texts of a user's runs and firings, or of an agent's, that ended before a time, at most p_limit of each. The runs themselves
-- and the ledger stay. Returns {erased, firings}: how many runs and firings.
create function public.erase_runs_of(p_user_id uuid, p_agent_id uuid, p_before timestamptz, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
begin
  -- One query for each, so that it has the index of what it looks for.
  if p_user_id is not null then
    select array_agg(id) into v_ids from (
      select id from public.agent_runs
        where user_id = p_user_id and finished_at is not null and finished_at <= p_before and not erased
        order by finished_at limit p_limit for update skip locked) as ended;
  else
    select array_agg(id) into v_ids from (
      select id from public.agent_runs
        where agent_id = p_agent_id and finished_at is not null and finished_at <= p_before and not erased
        order by finished_at limit p_limit for update skip locked) as ended;
  end if;
  perform public.erase_runs(v_ids);
  return jsonb_build_object('erased', coalesce(cardinality(v_ids), 0), 'firings', public.erase_firings(p_before, p_limit, p_user_id, p_agent_id));
end $$;

revoke execute on function public.erase_runs_of(uuid, uuid, timestamp with time zone, integer) from public, anon, authenticated;
grant execute on function public.erase_runs_of(uuid, uuid, timestamp with time zone, integer) to service_role;
