-- Returns an agent as its owner's pages read it.
create function public.agent_row(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object('id', a.id, 'user_id', a.user_id, 'name', a.name, 'description', a.description, 'purpose', a.purpose,
    'status', a.status, 'system_prompt', a.system_prompt, 'ai_model', a.ai_model, 'temperature', case when a.temperature between -1000 and 1000 then a.temperature end, 'max_tokens', a.max_tokens,
    'knowledge_base', a.knowledge_base, 'is_published', coalesce(a.is_published, false), 'is_heavy', coalesce(a.is_heavy, false),
    'executor', a.executor, 'entrypoint', a.entrypoint, 'created_at', a.created_at, 'updated_at', a.updated_at);
end $$;

revoke execute on function public.agent_row(public.agents) from public, anon, authenticated;
grant execute on function public.agent_row(public.agents) to service_role;
