-- Makes a function of a user's agent, or changes one, for save_row.
create function public.save_function(p_user_id uuid, p_id uuid, p_row jsonb, p_is_admin boolean) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_function public.agent_functions;
begin
  if p_id is null then
    insert into public.agent_functions (agent_id, name, function_type)
      values ((p_row ->> 'agent_id')::uuid, p_row ->> 'name', p_row ->> 'function_type') returning * into v_function;
  else
    select f.* into v_function from public.agent_functions f join public.agents a on a.id = f.agent_id
      where f.id = p_id and a.user_id = p_user_id for update of f;
    if not found then
      raise sqlstate 'PT404' using hint = 'not_found', message = 'There is no such row.';
    end if;
  end if;
  if coalesce(p_row ->> 'function_type', v_function.function_type) = 'python' and not p_is_admin
    and (p_id is null or v_function.function_type <> 'python'
      or coalesce(p_row -> 'config', v_function.config) -> 'entrypoint' is distinct from v_function.config -> 'entrypoint')
  then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'Only admins make functions that are Python, or say what code they are.';
  end if;
  update public.agent_functions f
    set (name, description, function_type, trigger_keywords, config, is_enabled, execution_order, updated_at) = (
      select n.name, n.description, n.function_type, n.trigger_keywords, n.config, n.is_enabled, n.execution_order, now()
        from jsonb_populate_record(v_function, p_row) n)
    where id = v_function.id
    returning * into v_function;
  return to_jsonb(v_function);
end $$;

revoke execute on function public.save_function(uuid, uuid, jsonb, boolean) from public, anon, authenticated;
grant execute on function public.save_function(uuid, uuid, jsonb, boolean) to service_role;
