-- Deletes a row of a user's: {deleted: true}. Raises `not_found`.
--   p_table  agents, agent_functions or agent_schedules
create function public.delete_row(p_user_id uuid, p_table text, p_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_table = 'agents' then
    delete from public.agents where id = p_id and user_id = p_user_id;
  elsif p_table = 'agent_functions' then
    delete from public.agent_functions f using public.agents a where f.id = p_id and a.id = f.agent_id and a.user_id = p_user_id;
  else
    delete from public.agent_schedules where id = p_id and user_id = p_user_id;
  end if;
  if not found then
    raise sqlstate 'PT404' using hint = 'not_found', message = 'There is no such row.';
  end if;
  return '{"deleted": true}';
end $$;

revoke execute on function public.delete_row(uuid, text, uuid) from public, anon, authenticated;
grant execute on function public.delete_row(uuid, text, uuid) to service_role;
