-- Erases on behalf of an admin the texts of a user's runs and firings, or of an agent's, that ended more than p_days ago, at most
-- p_limit of each a call. The runs themselves and the ledger stay. Returns {erased, firings, more}: how many runs and firings, and
-- whether there may be more of them. Raises `bad_request`, `user_not_found`, `agent_not_found`.
create function public.admin_erase_runs(
  p_admin_id uuid, p_user_id uuid, p_agent_id uuid, p_days numeric default 0, p_limit integer default 500
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_erased jsonb;
begin
  perform public.require_admin(p_admin_id);
  perform public.check_subject(p_user_id, p_agent_id);
  v_erased := public.erase_runs_of(p_user_id, p_agent_id, now() - make_interval(secs => p_days * 86400), p_limit);
  perform public.note_admin_action(p_admin_id, 'erase_runs', p_user_id, jsonb_build_object('agentId', p_agent_id, 'olderThanDays', p_days) || v_erased);
  return v_erased || jsonb_build_object('more', greatest((v_erased ->> 'erased')::integer, (v_erased ->> 'firings')::integer) = p_limit);
end $$;

revoke execute on function public.admin_erase_runs(uuid, uuid, uuid, numeric, integer) from public, anon, authenticated;
grant execute on function public.admin_erase_runs(uuid, uuid, uuid, numeric, integer) to service_role;
