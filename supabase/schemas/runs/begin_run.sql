-- Begins a run. One transaction checks the idempotency key, reads the agent, reserves the credits and writes the run.
--   p_input   {messages, functionResults, responseFormat, kind, traceContext}; it is kept so that another process can begin the run again
--   p_owner   the process that owns the run; null means that no process owns it until one adopts it or its lease ends
--   p_agent   the agent's configuration, given by a caller that has checked the user and the credits itself; the run is
--             then never charged, and the table of agents is not read
--   p_waiting true if no slot is free: the run begins as `queued`
--   p_python  true if the calling service can run agents written in Python
--   p_models  first the model for agents that name none, then the models to fall back to
--   p_api_key_id, p_visitor  the API key that begins the run and its visitor, if it is not the user's session. A key executes
--             published agents within its limits, and its idempotency keys are its own, and each visitor's
--   p_run_id  the id of the new run. A call whose answer was lost may be repeated with it: see begun_before
--   p_prompt_tokens  how many tokens the messages have, estimated; where tokens cost something, they are reserved for
--   p_inline_bytes  an agent with more bytes of JSON is not returned: get_run_input returns it when the run has its slot
--   p_max_per_user, p_room  if the first is given, the run begins at the owner only where it may, see may_begin_here, and the owner
--             can execute it; otherwise nothing is done, and null is returned: the run has to begin without an owner, and wait
--   p_is_repeated, p_waited_ms  if the first is given, the client repeats requests without keys, and this one is, or is none, a
--             repetition; it arrived so long ago. A repetition joins the run of its request, and a request whose repetition came
--             in before it joins that one's
-- Returns {run, agent, rates, cached, joined, inputBytes}; the last is the size of what get_run_input returns. `joined` is
-- true if the key has begun this run before; then nothing is
-- done. `cached` is {response, finishReason, model} of an earlier run with the same request, or null.
create function public.begin_run(
  p_user_id uuid,
  p_agent_id uuid,
  p_request_hash text,
  p_input jsonb,
  p_owner uuid,
  p_lease_seconds numeric,
  p_idempotency_key text default null,
  p_agent jsonb default null,
  p_waiting boolean default false,
  p_python boolean default false,
  p_models jsonb default '[""]',
  p_api_key_id uuid default null,
  p_visitor text default null,
  p_run_id uuid default null,
  p_prompt_tokens integer default 0,
  p_inline_bytes integer default null,
  p_max_per_user integer default null,
  p_room bigint default null,
  p_is_repeated boolean default null,
  p_waited_ms double precision default 0
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_run_id uuid := coalesce(p_run_id, gen_random_uuid());
  v_agent jsonb := p_agent;
  v_cache_seconds integer;
  v_is_kept boolean;
  v_models jsonb;
  v_rates jsonb;
  v_cache_key text;
  v_cached jsonb;
  v_credits integer := 0;
  v_before jsonb;
  v_input jsonb;
  v_bytes integer;
begin
  if p_run_id is not null then
    v_before := public.begun_before(p_user_id, p_run_id, p_owner, p_lease_seconds, p_inline_bytes);
    if v_before is not null then
      return v_before;
    end if;
  end if;

  if p_idempotency_key is not null then
    -- If two requests with the same key arrive at once, the second waits here until the row of the first exists.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(
      p_user_id || coalesce(p_api_key_id || coalesce(p_visitor, ''), '') || p_idempotency_key, 0));
    select * into v_run from public.agent_runs
      where user_id = p_user_id and idempotency_key = p_idempotency_key
        and api_key_id is not distinct from p_api_key_id and visitor is not distinct from p_visitor;
    if found then
      if v_run.request_hash <> p_request_hash then
        raise sqlstate 'PT422' using hint = 'idempotency_key_reused',
          message = 'This Idempotency-Key was used before with another request.';
      end if;
      return jsonb_build_object('run', public.run_json(v_run), 'agent', null, 'joined', true);
    end if;
  end if;

  if p_is_repeated is not null then
    -- A request and its repetition may begin at once, in either order: the second waits here until the run of the first exists. One
    -- lock a user, since calls that share a transaction are in the order of their users.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('requests of ' || p_user_id, 0));
    v_before := public.find_equal_run(p_user_id, p_api_key_id, p_visitor, p_request_hash, case when not p_is_repeated then p_waited_ms end);
    if v_before is not null then
      return jsonb_build_object('run', v_before, 'agent', null, 'joined', true);
    end if;
  end if;

  if p_api_key_id is not null then
    perform public.require_agent_of_key(p_user_id, p_api_key_id, p_agent_id);
  end if;
  if v_agent is null then
    -- Of what is larger than its author may write, from before the limits, a little more is read than is used: the service tells.
    -- The JSON is built by the query: a row variable would bind the session's plan to the types of the columns, which the
    -- platform may change.
    select jsonb_build_object(
        'name', left(a.name, 1001), 'systemPrompt', left(a.system_prompt, 200001), 'model', left(a.ai_model, 201), 'temperature', case when a.temperature between -1000 and 1000 then a.temperature end,
        'maxTokens', case when a.max_tokens > 0 then a.max_tokens end,
        'knowledgeBase', coalesce((select c.knowledge from public.agent_knowledge_cuts c where c.agent_id = a.id), public.fit_knowledge(to_jsonb(a.knowledge_base))),
        'executor', a.executor, 'entrypoint', a.entrypoint, 'maxSteps', a.max_steps,
        'functions', (select coalesce(jsonb_agg(jsonb_build_object('name', left(f.name, 201), 'description', left(f.description, 4001),
            'type', left(f.function_type::text, 101), 'triggerKeywords', to_jsonb(coalesce(f.trigger_keywords, '{}')),
            'config', case when jsonb_typeof(f.config) = 'object' then f.config else '{}' end)
            order by f.execution_order, f.name), '[]')
          from (select * from public.agent_functions f where f.agent_id = a.id and coalesce(f.is_enabled, true)
            order by f.execution_order, f.name limit 101) f)),
        a.cache_seconds, a.cache_seconds > 0 and a.temperature = 0
      into v_agent, v_cache_seconds, v_is_kept
      from public.agents a where a.id = p_agent_id and (a.is_published or (a.user_id = p_user_id and p_api_key_id is null));
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
    if v_agent ->> 'executor' = 'python' and not p_python then
      if p_max_per_user is not null then
        return null;
      end if;
      raise sqlstate 'PT503' using hint = 'python_unavailable',
        message = 'This agent is not available right now.';
    end if;
  end if;
  -- An agent's own model replaces the default model. Agents written in Python have the rate of "python".
  v_models := case
    when v_agent ->> 'executor' = 'python' then '["python"]'
    when v_agent ->> 'model' is null then p_models
    else jsonb_set(p_models, '{0}', v_agent -> 'model') end;

  v_rates := public.rates_of(v_models);

  if v_is_kept then
    v_cache_key := encode(sha256(convert_to(v_agent::text || v_models || p_request_hash, 'UTF8')), 'hex');
    select jsonb_build_object('response', response, 'finishReason', finish_reason, 'model', model) into v_cached
      from public.response_cache where key = v_cache_key and expires_at > now() and finish_reason = 'stop';
  end if;

  v_input := p_input || jsonb_build_object('agent', v_agent, 'rates', v_rates, 'cached', v_cached);
  v_bytes := octet_length(v_input::text);
  if p_max_per_user is not null then
    -- The balance, which is reserved from below, is locked before the slots: a call that waits for a balance holds up no claims.
    if p_agent is null and v_cached is null then
      perform from public.credit_balances where user_id = p_user_id for no key update;
    end if;
    if not public.may_begin_here(p_user_id, p_max_per_user, v_bytes, p_python, p_room, p_inline_bytes) then
      return null;
    end if;
  end if;

  if p_agent is null and v_cached is null then
    perform public.check_plan_limits(p_user_id, case when p_api_key_id is null then p_idempotency_key end);
    v_credits := public.credits_to_reserve(v_agent, v_rates -> coalesce(v_models ->> 0, '*'), p_prompt_tokens);
  end if;
  if v_credits > 0 and not public.reserve_credits(p_user_id, v_credits) then
    -- A key does not read its owner's balance.
    if p_api_key_id is not null then
      raise sqlstate 'PT402' using hint = 'insufficient_credits', message = 'There are not enough credits.';
    end if;
    raise sqlstate 'PT402' using hint = 'insufficient_credits',
      message = format('There are not enough credits (needed: %s, left: %s).', v_credits, public.credits_left(p_user_id));
  end if;
  if p_api_key_id is not null then
    perform public.check_key_budget(p_api_key_id, v_credits);
  end if;

  insert into public.agent_runs
      (id, user_id, agent_id, status, idempotency_key, request_hash, model, credits_reserved, is_charged, is_cached, cache_key,
        cache_seconds, started_at, owner, lease_until, api_key_id, visitor)
    values (v_run_id, p_user_id, p_agent_id, case when p_waiting then 'queued' else 'running' end,
      coalesce(p_idempotency_key, case when p_is_repeated then 'repeated:' || v_run_id end),
      p_request_hash, v_agent ->> 'model', v_credits, p_agent is null and v_cached is null, v_cached is not null,
      case when v_cached is null then v_cache_key end, v_cache_seconds,
      case when p_waiting then null else now() end, p_owner, now() + make_interval(secs => p_lease_seconds), p_api_key_id, p_visitor)
    returning * into v_run;
  insert into public.agent_run_inputs (run_id, input, bytes) values (v_run.id, v_input, v_bytes);
  return jsonb_build_object('run', public.run_json(v_run), 'rates', v_rates, 'cached', v_cached, 'joined', false,
    'agent', case when v_bytes <= p_inline_bytes or octet_length(v_agent::text) <= coalesce(p_inline_bytes, 2147483647) then v_agent end,
    'inputBytes', v_bytes);
end $$;

revoke execute on function
  public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb, uuid, text, uuid, integer, integer,
    integer, bigint, boolean, double precision)
  from public, anon, authenticated;
grant execute on function
  public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb, uuid, text, uuid, integer, integer,
    integer, bigint, boolean, double precision)
  to service_role;
