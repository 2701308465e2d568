-- Sets, on behalf of an admin, whether the edge function hands an agent to the service: {agentId, isHeavy}. Raises `agent_not_found`.
create function public.admin_set_heavy(p_admin_id uuid, p_agent_id uuid, p_heavy boolean) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_user_id uuid;
begin
  perform public.require_admin(p_admin_id);
  update public.agents set is_heavy = p_heavy where id = p_agent_id returning user_id into v_user_id;
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  perform public.note_admin_action(p_admin_id, 'heavy', v_user_id, jsonb_build_object('agentId', p_agent_id, 'heavy', p_heavy));
  return jsonb_build_object('agentId', p_agent_id, 'isHeavy', p_heavy);
end $$;

revoke execute on function public.admin_set_heavy(uuid, uuid, boolean) from public, anon, authenticated;
grant execute on function public.admin_set_heavy(uuid, uuid, boolean) to service_role;
