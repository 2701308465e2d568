-- Returns an agent with its prompt and functions on behalf of an admin: see inspected_agent. Raises `agent_not_found`.
create function public.admin_get_agent(p_admin_id uuid, p_agent_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'agent', (select user_id from public.agents where id = p_agent_id),
    jsonb_build_object('agentId', p_agent_id));
  if not exists (select from public.agents where id = p_agent_id) then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  return public.inspected_agent(p_agent_id);
end $$;

revoke execute on function public.admin_get_agent(uuid, uuid) from public, anon, authenticated;
grant execute on function public.admin_get_agent(uuid, uuid) to service_role;
