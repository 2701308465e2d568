-- Generated from supabase/schemas by `npm run schema`; edit those files instead of this one.
--
-- Defines the functions and triggers that are new in this release, or other than in the one before. It may be applied again.

-- schemas/administration/admin_list_runs.sql

-- Returns a page of everybody's runs, or of one user's, on behalf of an admin: see page_of_runs. A run has the `reason` for
-- which it failed, which its user does not read.
create or replace function public.admin_list_runs(
  p_admin_id uuid,
  p_limit integer,
  p_user_id uuid default null,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_page jsonb;
begin
  perform public.note_admin_action(p_admin_id, 'runs', p_user_id,
    jsonb_build_object('status', p_status, 'agentId', p_agent_id, 'after', p_after));
  v_page := public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
  return v_page || jsonb_build_object('runs', (
    select coalesce(jsonb_agg(r || jsonb_build_object('reason', f.reason) order by n), '[]')
      from jsonb_array_elements(v_page -> 'runs') with ordinality as page (r, n)
        left join public.agent_run_failures f on f.run_id = (r ->> 'runId')::uuid));
end $$;

revoke execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid)
  from public, anon, authenticated;
grant execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid) to service_role;

-- schemas/common/schema_version.sql

-- Returns {version, oldest, writable}: the version of these definitions, the oldest version of the service's code that
-- they still serve, and whether the database accepts writes, which a standby does not. The service compares them with
-- its own version before it uses the database.
create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 5, 'oldest', 4,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off')
$$;

revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;

-- schemas/credits/credits_left.sql

-- Returns what a user can spend.
create or replace function public.credits_left(p_user_id uuid) returns integer
language sql stable security definer set search_path = '' as $$
  select coalesce(max(credits_remaining), 0) from public.credit_balances where user_id = p_user_id
$$;

revoke execute on function public.credits_left(uuid) from public, anon, authenticated;
grant execute on function public.credits_left(uuid) to service_role;

-- schemas/credits/deduct_credits.sql

-- Takes credits outside of a run and enters them in the ledger. The platform's functions call it by this name and with
-- these arguments.
create or replace function public.deduct_credits(p_user_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_credits is null or p_credits < 0 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'p_credits must be zero or more.';
  end if;
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits,
        credits_used_this_month = coalesce(credits_used_this_month, 0) + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  if not found then
    raise sqlstate 'PT402' using hint = 'insufficient_credits',
      message = format('There are not enough credits (needed: %s, left: %s).', p_credits, public.credits_left(p_user_id));
  end if;
  if p_credits > 0 then
    insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (p_user_id, p_credits, 'deduction', '{}');
  end if;
end $$;

revoke execute on function public.deduct_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.deduct_credits(uuid, integer) to service_role;

-- schemas/runs/adopt_run.sql

-- Gives a run that was begun without an owner to the calling process.
--   p_waiting  true if no slot is free: the run stays `queued`
--   p_python   true if this process can run agents written in Python
-- Returns the same as begin_run; `joined` is true if the run has or had an owner, or has ended.
create or replace function public.adopt_run(
  p_user_id uuid, p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_waiting boolean default false,
  p_python boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_input jsonb;
  v_joined boolean;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  select input into v_input from public.agent_run_inputs where run_id = p_run_id;
  v_joined := v_run.owner is not null or v_run.attempt > 1 or v_run.finished_at is not null;
  if not v_joined then
    if v_input -> 'agent' ->> 'executor' = 'python' and not p_python then
      raise sqlstate 'PT503' using hint = 'python_unavailable',
        message = 'This agent is not available right now.';
    end if;
    update public.agent_runs
      set owner = p_owner, lease_until = now() + make_interval(secs => p_lease_seconds),
          status = case when p_waiting then 'queued' else 'running' end,
          started_at = case when p_waiting then null else now() end
      where id = p_run_id
      returning * into v_run;
  end if;
  return jsonb_build_object('run', public.run_json(v_run), 'joined', v_joined, 'agent', v_input -> 'agent',
    'rates', v_input -> 'rates', 'cached', v_input -> 'cached');
end $$;

revoke execute on function public.adopt_run(uuid, uuid, uuid, numeric, boolean, boolean)
  from public, anon, authenticated;
grant execute on function public.adopt_run(uuid, uuid, uuid, numeric, boolean, boolean) to service_role;

-- schemas/runs/begin_run.sql

-- Begins a run. One transaction checks the idempotency key, reads the agent, reserves the credits and writes the run.
--   p_input   {messages, functionResults, responseFormat}; it is kept so that another process can begin the run again
--   p_owner   the process that owns the run; null means that no process owns it until one adopts it or its lease ends
--   p_agent   the agent's configuration, given by a caller that has checked the user and the credits itself; the run is
--             then never charged, and the table of agents is not read
--   p_waiting true if no slot is free: the run begins as `queued`
--   p_python  true if the calling service can run agents written in Python
--   p_models  first the model for agents that name none, then the models to fall back to
-- Returns {run, agent, rates, cached, joined}. `joined` is true if the key has begun this run before; then nothing is
-- done. `cached` is {response, finishReason, model} of an earlier run with the same request, or null.
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
    -- If two requests with the same key arrive at once, the second waits here until the row of the first exists.
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
    -- The JSON is built by the query: a row variable would bind the session's plan to the types of the columns, which the
    -- platform may change.
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
      from public.response_cache where key = v_cache_key and expires_at > now();
  end if;

  if p_agent is null and v_cached is null then
    v_credits := public.credits_to_reserve(v_agent, v_rates -> coalesce(v_models ->> 0, '*'));
  end if;
  if v_credits > 0 and not public.reserve_credits(p_user_id, v_credits) then
    raise sqlstate 'PT402' using hint = 'insufficient_credits',
      message = format('There are not enough credits (needed: %s, left: %s).', v_credits, public.credits_left(p_user_id));
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

revoke execute on function public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb)
  from public, anon, authenticated;
grant execute on function public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb)
  to service_role;

-- schemas/runs/erase_old_runs.sql

-- Erases the texts of runs that ended more than p_days ago, at most p_limit runs a call, together with expired cached
-- responses and workers that have been gone for a day. The runs themselves and the ledger stay.
-- Returns {erased}: the number of runs.
create or replace function public.erase_old_runs(p_days numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
begin
  select array_agg(id) into v_ids from (
    select id from public.agent_runs
      where finished_at < now() - make_interval(secs => p_days * 86400) and not erased
      order by finished_at limit p_limit for update skip locked) as old;
  update public.agent_runs set response = '', erased = true where id = any (v_ids);
  delete from public.agent_run_inputs where run_id = any (v_ids);
  delete from public.agent_run_traces where run_id = any (v_ids);
  delete from public.agent_run_failures where run_id = any (v_ids);
  delete from public.agent_workers where lease_until < now() - interval '1 day';
  delete from public.response_cache where expires_at < now();
  return jsonb_build_object('erased', coalesce(cardinality(v_ids), 0));
end $$;

revoke execute on function public.erase_old_runs(numeric, integer) from public, anon, authenticated;
grant execute on function public.erase_old_runs(numeric, integer) to service_role;

-- schemas/runs/finish_run.sql

-- Ends a run. One transaction writes the result and the last step, settles the reservation, enters the charge in the
-- ledger and caches the response. Credits beyond the reservation are taken as far as the balance allows.
-- A repeated call returns what the first call did. A call by an attempt that no longer owns the run is refused.
--   p_credits        what the run cost; at most the reservation, as extended, is charged
--   p_error          {code, message, reason?}; admins alone read the reason
--   p_trace          the events from which the run can be replayed
--   p_keep_messages  true keeps the run's input
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

  -- A cancelled run costs at least its recorded steps, even if a new attempt has not reported them yet.
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
    -- A user who was deleted in the meantime has neither a balance nor a ledger.
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
        model = coalesce(p_model, model), error = public.note_failure(p_run_id, p_error), credits_reserved = 0, credits_charged = v_charged,
        finished_at = clock_timestamp(), owner = null, lease_until = null
    where id = p_run_id
    returning * into v_run;
  -- The usage of the last step is the total less the earlier steps; few runs have any.
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
  -- A response that was cut off is not cached.
  if v_run.cache_key is not null and p_status = 'succeeded' and p_response <> '' and p_finish_reason is distinct from 'length' then
    insert into public.response_cache (key, agent_id, response, finish_reason, model, expires_at)
      select v_run.cache_key, id, p_response, p_finish_reason, p_model, now() + make_interval(secs => v_run.cache_seconds)
        from public.agents where id = v_run.agent_id
      on conflict (key) do update set response = excluded.response, finish_reason = excluded.finish_reason,
        model = excluded.model, expires_at = excluded.expires_at;
  end if;
  return public.run_json(v_run);
end $$;

revoke execute on function public.finish_run(uuid, integer, text, text, text, jsonb, integer, text, jsonb, jsonb, boolean)
  from public, anon, authenticated;
grant execute on function public.finish_run(uuid, integer, text, text, text, jsonb, integer, text, jsonb, jsonb, boolean)
  to service_role;

-- schemas/runs/note_failure.sql

-- Keeps the reason of a failed run, which admins alone read, apart from what its user reads. Returns {code, message}.
--   p_error  {code, message, reason?}, or null
create or replace function public.note_failure(p_run_id uuid, p_error jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  if p_error ->> 'reason' is not null then
    insert into public.agent_run_failures (run_id, reason) values (p_run_id, left(p_error ->> 'reason', 300))
      on conflict (run_id) do nothing;
  end if;
  return p_error - 'reason';
end $$;

revoke execute on function public.note_failure(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.note_failure(uuid, jsonb) to service_role;

-- PostgREST learns of what is new.
notify pgrst, 'reload schema';
