-- Makes an agent, or changes one of the user's, for save_row.
create function public.save_agent(p_user_id uuid, p_id uuid, p_row jsonb, p_is_admin boolean) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_agent public.agents;
begin
  if p_id is null then
    insert into public.agents (user_id, name, purpose, status) values (p_user_id, p_row ->> 'name', '', 'active') returning * into v_agent;
  else
    select * into v_agent from public.agents where id = p_id and user_id = p_user_id for update;
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
  end if;
  if not p_is_admin and (coalesce(p_row ->> 'executor', v_agent.executor), coalesce(p_row ->> 'entrypoint', v_agent.entrypoint, ''))
    is distinct from (v_agent.executor, coalesce(v_agent.entrypoint, ''))
  then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'Only admins set the executor or the entrypoint of an agent.';
  end if;
  update public.agents a
    set (name, description, purpose, system_prompt, ai_model, temperature, max_tokens, knowledge_base, is_published, is_heavy, executor, entrypoint, updated_at) = (
      select n.name, n.description, n.purpose, n.system_prompt, n.ai_model, n.temperature, n.max_tokens, n.knowledge_base, n.is_published, n.is_heavy,
          n.executor, n.entrypoint, now()
        from jsonb_populate_record(v_agent, p_row) n)
    where id = v_agent.id
    returning * into v_agent;
  return public.agent_row(v_agent);
end $$;

revoke execute on function public.save_agent(uuid, uuid, jsonb, boolean) from public, anon, authenticated;
grant execute on function public.save_agent(uuid, uuid, jsonb, boolean) to service_role;
