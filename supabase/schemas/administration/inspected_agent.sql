-- Returns an agent as agent_json does, with its prompt and its functions in the order in which they run.
create function public.inspected_agent(p_agent_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (select public.agent_json(a) || jsonb_build_object('systemPrompt', a.system_prompt, 'functions', coalesce((
      select jsonb_agg(jsonb_build_object('functionId', f.id, 'name', f.name, 'description', f.description, 'type', f.function_type,
          'triggerKeywords', coalesce(to_jsonb(f.trigger_keywords), '[]'), 'config', coalesce(f.config, '{}'),
          'isEnabled', coalesce(f.is_enabled, true)) order by f.execution_order, f.created_at, f.id)
        from public.agent_functions f where f.agent_id = a.id), '[]'))
    from public.agents a where a.id = p_agent_id);
end $$;

revoke execute on function public.inspected_agent(uuid) from public, anon, authenticated;
grant execute on function public.inspected_agent(uuid) to service_role;
