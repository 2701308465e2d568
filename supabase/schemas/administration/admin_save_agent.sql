-- Makes an agent on behalf of an admin, or changes one. Returns it as inspected_agent does. The record has the names of what was
-- written, and no texts: it is kept for ever. Raises `user_not_found`, `agent_not_found`, `bad_request`.
--   p_agent_id  null makes one
--   p_values    {userId (of a new one), name, description, systemPrompt, model, temperature, maxTokens, maxSteps, executor, entrypoint,
--               isPublished, isHeavy, functions}: what is missing stays as it is. `functions` replaces all that the agent has:
--               [{name, description, type, triggerKeywords, config, isEnabled}], in the order in which they run
create function public.admin_save_agent(p_admin_id uuid, p_agent_id uuid, p_values jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_id uuid := coalesce(p_agent_id, gen_random_uuid());
  v_user_id uuid;
begin
  perform public.require_admin(p_admin_id);
  if p_agent_id is null then
    select id into v_user_id from auth.users where id = (p_values ->> 'userId')::uuid;
    if not found then
      raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
    end if;
    -- Without a model, a temperature and a limit of tokens, so that the service's own defaults apply.
    insert into public.agents (id, user_id, name, purpose, status, ai_model, temperature, max_tokens)
      values (v_id, v_user_id, p_values ->> 'name', coalesce(p_values ->> 'description', p_values ->> 'name'),
        case when (p_values ->> 'isPublished')::boolean then 'active' else 'draft' end, null, null, null);
  else
    select user_id into v_user_id from public.agents where id = v_id for update;
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
  end if;
  perform public.note_admin_action(p_admin_id, case when p_agent_id is null then 'agent_create' else 'agent_edit' end, v_user_id,
    jsonb_build_object('agentId', v_id, 'fields', (select jsonb_agg(key order by key) from jsonb_object_keys(p_values) as keys (key))));
  update public.agents set
      name = case when p_values ? 'name' then p_values ->> 'name' else name end,
      description = case when p_values ? 'description' then p_values ->> 'description' else description end,
      system_prompt = case when p_values ? 'systemPrompt' then p_values ->> 'systemPrompt' else system_prompt end,
      ai_model = case when p_values ? 'model' then p_values ->> 'model' else ai_model end,
      temperature = case when p_values ? 'temperature' then (p_values ->> 'temperature')::numeric else temperature end,
      max_tokens = case when p_values ? 'maxTokens' then (p_values ->> 'maxTokens')::integer else max_tokens end,
      max_steps = case when p_values ? 'maxSteps' then (p_values ->> 'maxSteps')::integer else max_steps end,
      executor = case when p_values ? 'executor' then p_values ->> 'executor' else executor end,
      entrypoint = case when p_values ? 'entrypoint' then p_values ->> 'entrypoint' else entrypoint end,
      is_published = case when p_values ? 'isPublished' then (p_values ->> 'isPublished')::boolean else is_published end,
      is_heavy = case when p_values ? 'isHeavy' then (p_values ->> 'isHeavy')::boolean else is_heavy end,
      updated_at = now()
    where id = v_id;
  if (select executor = 'python' and coalesce(entrypoint, '') = '' from public.agents where id = v_id) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An agent in Python needs an entrypoint: package.module:function.';
  end if;
  if p_values ? 'functions' then
    delete from public.agent_functions where agent_id = v_id;
    insert into public.agent_functions (agent_id, name, description, function_type, trigger_keywords, config, is_enabled, execution_order)
      select v_id, f ->> 'name', f ->> 'description', f ->> 'type',
          array(select jsonb_array_elements_text(coalesce(f -> 'triggerKeywords', '[]'))), coalesce(f -> 'config', '{}'),
          coalesce((f ->> 'isEnabled')::boolean, true), n
        from jsonb_array_elements(p_values -> 'functions') with ordinality as functions (f, n);
  end if;
  return public.inspected_agent(v_id);
end $$;

revoke execute on function public.admin_save_agent(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.admin_save_agent(uuid, uuid, jsonb) to service_role;
