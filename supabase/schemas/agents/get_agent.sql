-- Returns an agent that the user, or their API key, may run, and where it runs. The edge function asks for it.
create function public.get_agent(p_user_id uuid, p_agent_id uuid, p_api_key_id uuid default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_agent public.agents;
begin
  if p_api_key_id is not null then
    perform public.require_agent_of_key(p_user_id, p_api_key_id, p_agent_id);
  end if;
  select * into v_agent from public.agents
    where id = p_agent_id and (is_published or (user_id = p_user_id and p_api_key_id is null));
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  return jsonb_build_object(
    'agentId', v_agent.id, 'name', left(v_agent.name, 1001), 'systemPrompt', left(v_agent.system_prompt, 200001), 'model', left(v_agent.ai_model, 201),
    'temperature', case when v_agent.temperature between -1000 and 1000 then v_agent.temperature end, 'maxTokens', case when v_agent.max_tokens > 0 then v_agent.max_tokens end,
    'knowledgeBase', coalesce((select c.knowledge from public.agent_knowledge_cuts c where c.agent_id = v_agent.id), public.fit_knowledge(to_jsonb(v_agent.knowledge_base))),
    'executor', v_agent.executor, 'isHeavy', coalesce(v_agent.is_heavy, false), 'railwayUrl', v_agent.railway_url,
    'railwayUrlWaits', v_agent.railway_url_requested is not null,
    'hasFunctions', exists (select from public.agent_functions f where f.agent_id = p_agent_id and coalesce(f.is_enabled, true)),
    -- Whether it has functions that only the service runs: of other types, or such as the model calls.
    'needsService', exists (
      select from public.agent_functions f
        where f.agent_id = p_agent_id and coalesce(f.is_enabled, true)
          and (f.function_type not in ('conditional', 'data_transform', 'webhook') or coalesce(f.config ->> 'parameters', '') <> '')),
    -- Whether some of them are more than of unknown types: these may be misspelt, or newer than the edge function.
    'requiresService', exists (
      select from public.agent_functions f
        where f.agent_id = p_agent_id and coalesce(f.is_enabled, true)
          and (f.function_type in ('api_call', 'python', 'mcp') or coalesce(f.config ->> 'parameters', '') <> '')));
end $$;

revoke execute on function public.get_agent(uuid, uuid, uuid) from public, anon, authenticated;
grant execute on function public.get_agent(uuid, uuid, uuid) to service_role;
