-- Returns an agent as agent_json does, with its prompt and its functions in the order in which they run: as many of these as have 2 MB
-- together, the first in any case, for an answer is written in one turn of an event loop.
create function public.inspected_agent(p_agent_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (select public.agent_json(a) || jsonb_build_object('systemPrompt', left(a.system_prompt, 200001), 'functions', coalesce((
      select jsonb_agg(content order by n) from (
        select content, n, sum(octet_length(content::text)) over (order by n) as bytes from (
          select jsonb_build_object('functionId', f.id, 'name', left(f.name, 201), 'description', left(f.description, 4001), 'type', left(f.function_type::text, 101),
              'triggerKeywords', coalesce(to_jsonb(f.trigger_keywords), '[]'), 'config', coalesce(f.config, '{}'),
              'isEnabled', coalesce(f.is_enabled, true)) as content,
              row_number() over (order by f.execution_order, f.created_at, f.id) as n
            from public.agent_functions f where f.agent_id = a.id) r) summed
        where n = 1 or bytes <= 2000000), '[]'))
    from public.agents a where a.id = p_agent_id);
end $$;

revoke execute on function public.inspected_agent(uuid) from public, anon, authenticated;
grant execute on function public.inspected_agent(uuid) to service_role;
