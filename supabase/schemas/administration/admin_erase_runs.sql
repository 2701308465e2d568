-- Erases on behalf of an admin the texts of a user's runs and firings, or of an agent's, that ended more than p_days ago, at most
-- p_limit of each a call. The runs themselves and the ledger stay. Returns {erased, firings, more}: how many runs and firings, and
-- whether there may be more of them. Raises `bad_request`, `user_not_found`, `agent_not_found`.
create function public.admin_erase_runs(
  p_admin_id uuid, p_user_id uuid, p_agent_id uuid, p_days numeric default 0, p_limit integer default 500
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
  v_before constant timestamptz := now() - make_interval(secs => p_days * 86400);
  v_firings integer;
begin
  perform public.require_admin(p_admin_id);
  if (p_user_id is null) = (p_agent_id is null) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'Name a user or an agent, and not both.';
  end if;
  if p_user_id is not null and not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  -- Of an agent that is deleted by now the runs are left.
  if p_agent_id is not null and not exists (select from public.agents where id = p_agent_id)
    and not exists (select from public.agent_runs where agent_id = p_agent_id)
  then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  select array_agg(id) into v_ids from (
    select id from public.agent_runs
      where finished_at <= v_before and not erased
        and (p_user_id is null or user_id = p_user_id) and (p_agent_id is null or agent_id = p_agent_id)
      limit p_limit for update skip locked) as ended;
  perform public.erase_runs(v_ids);
  v_firings := public.erase_firings(v_before, p_limit, p_user_id, p_agent_id);
  perform public.note_admin_action(p_admin_id, 'erase_runs', p_user_id, jsonb_build_object('agentId', p_agent_id, 'olderThanDays', p_days,
    'erased', coalesce(cardinality(v_ids), 0), 'firings', v_firings));
  return jsonb_build_object('erased', coalesce(cardinality(v_ids), 0), 'firings', v_firings,
    'more', coalesce(cardinality(v_ids), 0) = p_limit or v_firings = p_limit);
end $$;

revoke execute on function public.admin_erase_runs(uuid, uuid, uuid, numeric, integer) from public, anon, authenticated;
grant execute on function public.admin_erase_runs(uuid, uuid, uuid, numeric, integer) to service_role;
