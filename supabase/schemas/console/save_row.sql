-- Makes a row of a user's, or changes the one whose id `p_row` has, and returns it: {row}. What `p_row` does not name stays as
-- it is. Whose a row is and what the service writes into it cannot be set. As the policies and triggers have it for users:
-- only admins set which code runs. Raises `not_found`, `agent_not_found`, `forbidden`, `unauthorized`, and what triggers refuse.
--   p_table  agents, agent_functions or agent_schedules
create function public.save_row(p_user_id uuid, p_table text, p_row jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_id uuid := p_row ->> 'id';
  v_agent_id uuid := p_row ->> 'agent_id';
  v_is_admin boolean := exists (select from public.user_roles where user_id = p_user_id and role = 'admin');
begin
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT401' using hint = 'unauthorized', message = 'There is no such user any more.';
  end if;
  if v_agent_id is not null and not exists (select from public.agents where id = v_agent_id and user_id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  if p_table = 'agents' then
    return jsonb_build_object('row', public.save_agent(p_user_id, v_id, p_row, v_is_admin));
  elsif p_table = 'agent_functions' then
    return jsonb_build_object('row', public.save_function(p_user_id, v_id, p_row, v_is_admin));
  end if;
  return jsonb_build_object('row', public.save_schedule(p_user_id, v_id, p_row));
end $$;

revoke execute on function public.save_row(uuid, text, jsonb) from public, anon, authenticated;
grant execute on function public.save_row(uuid, text, jsonb) to service_role;
