-- Raises `unauthorized` unless the API key is an active one of the user, and `agent_not_found` if it is for other agents.
create function public.require_agent_of_key(p_user_id uuid, p_api_key_id uuid, p_agent_id uuid) returns void
language plpgsql stable security definer set search_path = '' as $$
declare
  v_agent_ids uuid[];
begin
  select agent_ids into v_agent_ids from public.api_keys where id = p_api_key_id and user_id = p_user_id and is_active;
  if not found then
    raise sqlstate 'PT401' using hint = 'unauthorized', message = 'The API key is unknown or no longer active.';
  end if;
  if cardinality(v_agent_ids) > 0 and p_agent_id <> all (v_agent_ids) then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
end $$;

revoke execute on function public.require_agent_of_key(uuid, uuid, uuid) from public, anon, authenticated;
grant execute on function public.require_agent_of_key(uuid, uuid, uuid) to service_role;
