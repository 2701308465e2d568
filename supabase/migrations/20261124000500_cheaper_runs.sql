-- Makes a run cheap for the database; nothing that a caller could see changes.
--
-- PostgreSQL parses and plans a function in SQL anew in every transaction that calls it, unless it can put its body in the
-- call's place, which it does to none with a setting or its owner's rights. It keeps what it has planned of one in PL/pgSQL
-- for the session. So the functions that every run calls are in PL/pgSQL, ask the tables as seldom as they can, and say
-- the rest as plain expressions.

-- --- A run as JSON ----------------------------------------------------------------------------------------------------

-- As iso_time writes the times, whose call would take longer than its work.
create or replace function public.run_json(r public.agent_runs) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_iso constant text := 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
begin
  return jsonb_build_object(
    'runId', r.id,
    'agentId', r.agent_id,
    'status', r.status,
    'attempt', r.attempt,
    'response', r.response,
    'finishReason', r.finish_reason,
    'usage', r.usage,
    'creditsReserved', r.credits_reserved,
    'creditsCharged', r.credits_charged,
    'error', r.error,
    'createdAt', to_char(r.created_at at time zone 'utc', v_iso),
    'startedAt', to_char(r.started_at at time zone 'utc', v_iso),
    'finishedAt', to_char(r.finished_at at time zone 'utc', v_iso))
    || case when r.is_cached then '{"cached": true}'::jsonb else '{}' end;
end $$;

-- --- Rates -----------------------------------------------------------------------------------------------------------

-- {model: rate} of a list of models, and of all others under '*'.
create or replace function public.rates_of(p_models jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_others jsonb;
  v_rate jsonb;
  v_rates jsonb := '{}';
begin
  select jsonb_build_object('perRun', credits_per_run, 'perThousandTokens', credits_per_1k_tokens) into v_others
    from public.model_rates where model = '*';
  v_others := coalesce(v_others, '{"perRun": 1, "perThousandTokens": 0}');
  for i in 0 .. coalesce(jsonb_array_length(p_models), 0) - 1 loop
    select jsonb_build_object('perRun', credits_per_run, 'perThousandTokens', credits_per_1k_tokens) into v_rate
      from public.model_rates where model = p_models ->> i;
    v_rates := v_rates || jsonb_build_object(p_models ->> i, coalesce(v_rate, v_others));
  end loop;
  return v_rates || jsonb_build_object('*', v_others);
end $$;

-- What a run is reserved at first: a run's price, and that of as many tokens as its steps may bring forth.
--   p_rate  {perRun, perThousandTokens}
create or replace function public.credits_to_reserve(p_agent jsonb, p_rate jsonb) returns integer
language plpgsql immutable set search_path = '' as $$
declare
  v_steps integer := 1;
begin
  if p_agent ->> 'executor' = 'python' then
    return (p_rate ->> 'perRun')::integer;
  end if;
  if jsonb_array_length(p_agent -> 'functions') > 0 then
    if exists (select from jsonb_array_elements(p_agent -> 'functions') f where f -> 'config' ? 'parameters' or f ->> 'type' = 'mcp') then
      v_steps := coalesce((p_agent ->> 'maxSteps')::integer, 16);
    end if;
  end if;
  return (p_rate ->> 'perRun')::integer + least(1000000, ceil((p_rate ->> 'perThousandTokens')::numeric
    * coalesce((p_agent ->> 'maxTokens')::integer, 1000) / 1000 * v_steps))::integer;
end $$;

-- --- Runs ------------------------------------------------------------------------------------------------------------

-- Begins a run; see 20261124000200_steps_rates_and_cache.sql.
create or replace function public.begin_run(
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
  p_models jsonb default '[""]'
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_agent jsonb := p_agent;
  v_cache_seconds integer;
  v_is_kept boolean;
  v_models jsonb;
  v_rates jsonb;
  v_cache_key text;
  v_cached jsonb;
  v_credits integer := 0;
begin
  if p_idempotency_key is not null then
    -- Of two first requests with one key the second waits here until the first has its row.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(p_user_id || p_idempotency_key, 0));
    select * into v_run from public.agent_runs
      where user_id = p_user_id and idempotency_key = p_idempotency_key;
    if found then
      if v_run.request_hash <> p_request_hash then
        raise sqlstate 'PT422' using hint = 'idempotency_key_reused',
          message = 'This Idempotency-Key was used before with another request.';
      end if;
      return jsonb_build_object('run', public.run_json(v_run), 'agent', null, 'joined', true);
    end if;
  end if;

  if v_agent is null then
    -- Built where it is read: a field of a row that is kept in a variable would hold a session to the column's type, and
    -- this table is not the service's own.
    select jsonb_build_object(
        'name', a.name, 'systemPrompt', a.system_prompt, 'model', a.ai_model, 'temperature', a.temperature,
        'maxTokens', case when a.max_tokens > 0 then a.max_tokens end, 'knowledgeBase', a.knowledge_base,
        'executor', a.executor, 'entrypoint', a.entrypoint, 'maxSteps', a.max_steps,
        'functions', (select coalesce(jsonb_agg(jsonb_build_object('name', f.name, 'description', f.description,
            'type', f.function_type, 'triggerKeywords', to_jsonb(coalesce(f.trigger_keywords, '{}')),
            'config', case when jsonb_typeof(f.config) = 'object' then f.config else '{}' end)
            order by f.execution_order, f.name), '[]')
          from public.agent_functions f where f.agent_id = a.id and coalesce(f.is_enabled, true))),
        a.cache_seconds, a.cache_seconds > 0 and a.temperature = 0
      into v_agent, v_cache_seconds, v_is_kept
      from public.agents a where a.id = p_agent_id and (a.is_published or a.user_id = p_user_id);
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
    if v_agent ->> 'executor' = 'python' and not p_python then
      raise sqlstate 'PT503' using hint = 'python_unavailable',
        message = 'This agent is written in Python, which this server cannot run.';
    end if;
  end if;
  -- The agent's own model takes the place of the one for agents without; what is code has the rate of "python".
  v_models := case
    when v_agent ->> 'executor' = 'python' then '["python"]'
    when v_agent ->> 'model' is null then p_models
    else jsonb_set(p_models, '{0}', v_agent -> 'model') end;

  v_rates := public.rates_of(v_models);

  if v_is_kept then
    v_cache_key := encode(sha256(convert_to(v_agent::text || v_models || p_request_hash, 'UTF8')), 'hex');
    select jsonb_build_object('response', response, 'finishReason', finish_reason, 'model', model) into v_cached
      from public.response_cache where key = v_cache_key and expires_at > now();
  end if;

  if p_agent is null and v_cached is null then
    v_credits := public.credits_to_reserve(v_agent, v_rates -> coalesce(v_models ->> 0, '*'));
  end if;
  if v_credits > 0 and not public.reserve_credits(p_user_id, v_credits) then
    raise sqlstate 'PT402' using hint = 'insufficient_credits',
      message = 'There are not enough credits for this run.';
  end if;

  insert into public.agent_runs
      (user_id, agent_id, status, idempotency_key, request_hash, model, credits_reserved, is_charged, is_cached, cache_key,
        cache_seconds, started_at, owner, lease_until)
    values (p_user_id, p_agent_id, case when p_waiting then 'queued' else 'running' end, p_idempotency_key,
      p_request_hash, v_agent ->> 'model', v_credits, p_agent is null and v_cached is null, v_cached is not null,
      case when v_cached is null then v_cache_key end, v_cache_seconds,
      case when p_waiting then null else now() end, p_owner, now() + make_interval(secs => p_lease_seconds))
    returning * into v_run;
  insert into public.agent_run_inputs (run_id, input)
    values (v_run.id, p_input || jsonb_build_object('agent', v_agent, 'rates', v_rates, 'cached', v_cached));
  return jsonb_build_object('run', public.run_json(v_run), 'agent', v_agent, 'rates', v_rates,
    'cached', v_cached, 'joined', false);
end $$;

-- Ends a run; see 20261124000200_steps_rates_and_cache.sql.
create or replace function public.finish_run(
  p_run_id uuid,
  p_attempt integer,
  p_status text,
  p_response text,
  p_finish_reason text,
  p_usage jsonb,
  p_credits integer,
  p_model text,
  p_error jsonb,
  p_trace jsonb default null,
  p_keep_messages boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_credits integer;
  v_charged integer;
  v_steps integer := 0;
  v_last_at timestamptz;
  v_prompt bigint := 0;
  v_completion bigint := 0;
  v_total bigint := 0;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.attempt <> p_attempt then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  if v_run.status in ('succeeded', 'failed', 'cancelled') then
    return public.run_json(v_run);
  end if;

  -- Who cancels a run pays for its steps, be it before a new attempt has told of them.
  v_credits := greatest(coalesce(p_credits, 0), case when p_status = 'cancelled' then v_run.credits_used else 0 end);
  if v_credits > v_run.credits_reserved then
    v_run.credits_reserved := public.extend_reservation(p_run_id, v_credits);
  end if;
  v_charged := greatest(0, least(v_credits, v_run.credits_reserved));
  if v_run.credits_reserved > 0 then
    update public.credit_balances
      set credits_reserved = greatest(0, credits_reserved - v_run.credits_reserved),
          credits_remaining = credits_remaining + v_run.credits_reserved - v_charged,
          credits_used_this_month = coalesce(credits_used_this_month, 0) + v_charged
      where user_id = v_run.user_id;
    -- A user who was deleted meanwhile has neither balance nor ledger.
    if not found then
      v_charged := 0;
    end if;
  end if;
  if v_charged > 0 then
    insert into public.credit_usage (user_id, agent_id, run_id, credits_used, operation_type, metadata)
      values (v_run.user_id, (select id from public.agents where id = v_run.agent_id for key share), v_run.id, v_charged,
        'agent_execution', jsonb_build_object('model', p_model, 'status', p_status, 'usage', p_usage));
  end if;
  update public.agent_runs
    set status = p_status, response = p_response, finish_reason = p_finish_reason, usage = p_usage,
        model = coalesce(p_model, model), error = p_error, credits_reserved = 0, credits_charged = v_charged,
        finished_at = clock_timestamp(), owner = null, lease_until = null
    where id = p_run_id
    returning * into v_run;
  -- Few runs have steps before their last, and only of those there is something to sum up.
  if exists (select from public.agent_run_steps where run_id = p_run_id) then
    select coalesce(max(step), 0), max(finished_at), coalesce(sum((usage ->> 'promptTokens')::integer), 0),
        coalesce(sum((usage ->> 'completionTokens')::integer), 0), coalesce(sum((usage ->> 'totalTokens')::integer), 0)
      into v_steps, v_last_at, v_prompt, v_completion, v_total
      from public.agent_run_steps where run_id = p_run_id;
  end if;
  if (p_usage ->> 'totalTokens')::integer - v_total > 0 then
    insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at, finished_at)
      values (p_run_id, v_steps + 1, p_attempt, 'model', v_run.model, p_finish_reason, p_usage || jsonb_build_object(
          'promptTokens', (p_usage ->> 'promptTokens')::integer - v_prompt,
          'completionTokens', (p_usage ->> 'completionTokens')::integer - v_completion,
          'totalTokens', (p_usage ->> 'totalTokens')::integer - v_total),
        coalesce(v_last_at, v_run.started_at), v_run.finished_at);
  end if;
  delete from public.agent_run_checkpoints where run_id = p_run_id;
  if not p_keep_messages then
    delete from public.agent_run_inputs where run_id = p_run_id;
  end if;
  if p_trace is not null then
    insert into public.agent_run_traces (run_id, trace) values (p_run_id, p_trace);
  end if;
  -- What was cut off is no answer to keep.
  if v_run.cache_key is not null and p_status = 'succeeded' and p_response <> '' and p_finish_reason is distinct from 'length' then
    insert into public.response_cache (key, agent_id, response, finish_reason, model, expires_at)
      select v_run.cache_key, id, p_response, p_finish_reason, p_model, now() + make_interval(secs => v_run.cache_seconds)
        from public.agents where id = v_run.agent_id
      on conflict (key) do update set response = excluded.response, finish_reason = excluded.finish_reason,
        model = excluded.model, expires_at = excluded.expires_at;
  end if;
  return public.run_json(v_run);
end $$;

-- What is replaced keeps its grants. Nothing is left that calls agent_json, rate_of, price_to_reserve and
-- usage_of_last_step, but for a call that is under way while this is applied.
revoke execute on function public.credits_to_reserve(jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.credits_to_reserve(jsonb, jsonb) to service_role;
notify pgrst, 'reload schema';
