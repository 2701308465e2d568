-- Returns an agent as admins see it, without its prompt, its knowledge and its functions.
create function public.agent_json(p_agent public.agents) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('agentId', p_agent.id, 'userId', p_agent.user_id, 'email', (select email from auth.users where id = p_agent.user_id), 'name', p_agent.name, 'description', p_agent.description,
    'model', p_agent.ai_model, 'temperature', p_agent.temperature, 'maxTokens', p_agent.max_tokens, 'maxSteps', p_agent.max_steps,
    'executor', p_agent.executor, 'entrypoint', p_agent.entrypoint,
    'isPublished', coalesce(p_agent.is_published, false), 'isHeavy', coalesce(p_agent.is_heavy, false), 'railwayUrl', p_agent.railway_url,
    'createdAt', public.iso_time(p_agent.created_at), 'updatedAt', public.iso_time(p_agent.updated_at));
end $$;

revoke execute on function public.agent_json(public.agents) from public, anon, authenticated;
grant execute on function public.agent_json(public.agents) to service_role;
