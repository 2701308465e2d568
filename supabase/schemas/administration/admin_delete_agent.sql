-- Deletes an agent with its functions and schedules on behalf of an admin. Its runs and the ledger stay. Raises `agent_not_found`.
create function public.admin_delete_agent(p_admin_id uuid, p_agent_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_user_id uuid;
begin
  perform public.require_admin(p_admin_id);
  delete from public.agents where id = p_agent_id returning user_id into v_user_id;
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  perform public.note_admin_action(p_admin_id, 'agent_delete', v_user_id, jsonb_build_object('agentId', p_agent_id));
  return jsonb_build_object('agentId', p_agent_id, 'deleted', true);
end $$;

revoke execute on function public.admin_delete_agent(uuid, uuid) from public, anon, authenticated;
grant execute on function public.admin_delete_agent(uuid, uuid) to service_role;
