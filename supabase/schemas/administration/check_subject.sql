-- Whether either a user or an agent is named that there is, or, of an agent that is deleted by now, whose runs are left.
-- Raises `bad_request`, `user_not_found`, `agent_not_found`.
create function public.check_subject(p_user_id uuid, p_agent_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if (p_user_id is null) = (p_agent_id is null) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'Name a user or an agent, and not both.';
  end if;
  if p_user_id is not null and not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  if p_agent_id is not null and not exists (select from public.agents where id = p_agent_id)
    and not exists (select from public.agent_runs where agent_id = p_agent_id)
  then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
end $$;

revoke execute on function public.check_subject(uuid, uuid) from public, anon, authenticated;
grant execute on function public.check_subject(uuid, uuid) to service_role;
