-- Returns an agent as admins see it, without its prompt, its knowledge and its functions; what is longer than authors may write is cut,
-- and a temperature that is no number of JSON is none.
create function public.agent_json(p_agent public.agents) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('agentId', p_agent.id, 'userId', p_agent.user_id, 'email', (select email from auth.users where id = p_agent.user_id), 'name', left(p_agent.name, 1000), 'description', left(p_agent.description, 10000),
    'model', left(p_agent.ai_model, 200), 'temperature', case when p_agent.temperature between -1000 and 1000 then p_agent.temperature end, 'maxTokens', p_agent.max_tokens, 'maxSteps', p_agent.max_steps,
    'executor', p_agent.executor, 'entrypoint', p_agent.entrypoint,
    'isPublished', coalesce(p_agent.is_published, false), 'isHeavy', coalesce(p_agent.is_heavy, false), 'railwayUrl', left(p_agent.railway_url, 2000),
    'createdAt', public.iso_time(p_agent.created_at), 'updatedAt', public.iso_time(p_agent.updated_at));
end $$;

revoke execute on function public.agent_json(public.agents) from public, anon, authenticated;
grant execute on function public.agent_json(public.agents) to service_role;
