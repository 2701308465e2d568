-- What agents of several steps need: steps that are recorded as they end and never done again, rates a model, a
-- reservation that grows with a long run, and answers that are kept for those who ask the same again.

alter table public.agents
  add column if not exists max_steps integer check (max_steps between 1 and 100),
  add column if not exists cache_seconds integer check (cache_seconds between 0 and 31536000);

-- What a live project may lack of its functions.
alter table public.agent_functions
  add column if not exists description text,
  add column if not exists trigger_keywords text[] not null default '{}',
  add column if not exists config jsonb not null default '{}';

-- --- Rates -----------------------------------------------------------------------------------------------------------

-- Credits a run, and credits per 1,000 tokens, by model. '*' is every model that has no row; without it, one credit a run.
create table if not exists public.model_rates (
  model text primary key,
  credits_per_run integer not null default 1 check (credits_per_run >= 0),
  credits_per_1k_tokens numeric not null default 0 check (credits_per_1k_tokens >= 0)
);
alter table public.model_rates enable row level security;
revoke all on public.model_rates from public, anon, authenticated;
grant select on public.model_rates to authenticated;
grant select, insert, update, delete on public.model_rates to service_role;
drop policy if exists model_rates_all on public.model_rates;
create policy model_rates_all on public.model_rates for select to authenticated using (true);

-- {perRun, perThousandTokens} of a model.
create or replace function public.rate_of(p_model text) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(
    (select jsonb_build_object('perRun', credits_per_run, 'perThousandTokens', credits_per_1k_tokens)
      from public.model_rates where model in (p_model, '*') order by model = '*' limit 1),
    '{"perRun": 1, "perThousandTokens": 0}')
$$;

-- --- Steps -----------------------------------------------------------------------------------------------------------

-- Whether a run is anybody's to pay, and where its answer is kept.
alter table public.agent_runs
  add column if not exists is_charged boolean not null default true,
  add column if not exists is_cached boolean not null default false,
  add column if not exists cache_key text,
  -- What the steps that are recorded cost.
  add column if not exists credits_used integer not null default 0,
  add column if not exists cache_seconds integer;

-- A run as callers see it.
create or replace function public.run_json(r public.agent_runs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
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
    'createdAt', public.iso_time(r.created_at),
    'startedAt', public.iso_time(r.started_at),
    'finishedAt', public.iso_time(r.finished_at))
    || case when r.is_cached then '{"cached": true}'::jsonb else '{}' end
$$;

-- What has been done of an unfinished run, for whoever goes on with it: the steps with what was said in them.
create table if not exists public.agent_run_checkpoints (
  run_id uuid not null references public.agent_runs (id) on delete cascade,
  step integer not null,
  record jsonb not null,
  primary key (run_id, step)
);
alter table public.agent_run_checkpoints enable row level security;
revoke all on public.agent_run_checkpoints from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_checkpoints to service_role;

create or replace function public.checkpoints_of(p_run_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(record || jsonb_build_object('step', step) order by step), '[]') from public.agent_run_checkpoints where run_id = p_run_id
$$;

-- Makes a run's reservation as large as this, or as the balance allows. Returns what it is then.
create or replace function public.extend_reservation(p_run_id uuid, p_credits integer) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_more integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not v_run.is_charged or coalesce(p_credits, 0) <= v_run.credits_reserved then
    return v_run.credits_reserved;
  end if;
  select least(p_credits - v_run.credits_reserved, credits_remaining) into v_more
    from public.credit_balances where user_id = v_run.user_id for update;
  if coalesce(v_more, 0) <= 0 then
    return v_run.credits_reserved;
  end if;
  update public.credit_balances
    set credits_remaining = credits_remaining - v_more, credits_reserved = credits_reserved + v_more
    where user_id = v_run.user_id;
  update public.agent_runs set credits_reserved = credits_reserved + v_more where id = p_run_id;
  return v_run.credits_reserved + v_more;
end $$;

-- A step has ended: it is never done again. Repeated, nothing changes.
--   p_step     {kind, name, finishReason, usage, startedAt}, for its user to read; and what the run has cost so far, credits
--   p_record   what it takes to go on after it
--   p_credits  what the run may cost by the end of its next step
-- Returns {reserved, isEnough}.
create or replace function public.record_step(
  p_run_id uuid, p_attempt integer, p_number integer, p_step jsonb, p_record jsonb, p_credits integer default 0
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_reserved integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.attempt <> p_attempt or v_run.finished_at is not null then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  insert into public.agent_run_checkpoints (run_id, step, record) values (p_run_id, p_number, p_record)
    on conflict do nothing;
  insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at)
    values (p_run_id, p_number, p_attempt, p_step ->> 'kind', p_step ->> 'name', p_step ->> 'finishReason', p_step -> 'usage',
      (p_step ->> 'startedAt')::timestamptz)
    on conflict do nothing;
  update public.agent_runs set credits_used = greatest(credits_used, (p_step ->> 'credits')::integer) where id = p_run_id;
  v_reserved := public.extend_reservation(p_run_id, p_credits);
  return jsonb_build_object('reserved', v_reserved, 'isEnough', not v_run.is_charged or v_reserved >= coalesce(p_credits, 0));
end $$;

-- What a run's last step used: all that was used but for what its earlier steps did.
create or replace function public.usage_of_last_step(p_run_id uuid, p_usage jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select p_usage || jsonb_build_object(
      'promptTokens', (p_usage ->> 'promptTokens')::integer - coalesce(sum((usage ->> 'promptTokens')::integer), 0),
      'completionTokens', (p_usage ->> 'completionTokens')::integer - coalesce(sum((usage ->> 'completionTokens')::integer), 0),
      'totalTokens', (p_usage ->> 'totalTokens')::integer - coalesce(sum((usage ->> 'totalTokens')::integer), 0))
    from public.agent_run_steps where run_id = p_run_id
$$;

-- --- Answers that are kept -------------------------------------------------------------------------------------------

create table if not exists public.response_cache (
  key text primary key,
  agent_id uuid not null references public.agents (id) on delete cascade,
  response text not null,
  finish_reason text,
  model text,
  expires_at timestamptz not null
);
create index if not exists response_cache_to_erase on public.response_cache (expires_at);
alter table public.response_cache enable row level security;
revoke all on public.response_cache from public, anon, authenticated;
grant select, insert, update, delete on public.response_cache to service_role;

-- --- Runs ------------------------------------------------------------------------------------------------------------

-- What of an agent a run is made from.
create or replace function public.agent_json(a public.agents) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'name', a.name, 'systemPrompt', a.system_prompt, 'model', a.ai_model, 'temperature', a.temperature,
    'maxTokens', case when a.max_tokens > 0 then a.max_tokens end, 'knowledgeBase', a.knowledge_base, 'executor', a.executor, 'entrypoint', a.entrypoint,
    'maxSteps', a.max_steps,
    'functions', (select coalesce(jsonb_agg(jsonb_build_object('name', f.name, 'description', f.description,
        'type', f.function_type, 'triggerKeywords', to_jsonb(coalesce(f.trigger_keywords, '{}')),
        'config', case when jsonb_typeof(f.config) = 'object' then f.config else '{}' end)
        order by f.execution_order, f.name), '[]')
      from public.agent_functions f where f.agent_id = a.id and coalesce(f.is_enabled, true)))
$$;

-- What a run is reserved at first: a run's price, and that of as many tokens as its steps may bring forth.
create or replace function public.price_to_reserve(p_agent jsonb, p_model text) returns integer
language sql stable security definer set search_path = '' as $$
  select (rate ->> 'perRun')::integer + case when p_agent ->> 'executor' = 'python' then 0 else
      least(1000000, ceil((rate ->> 'perThousandTokens')::numeric * coalesce((p_agent ->> 'maxTokens')::integer, 1000) / 1000
        * case when exists (select from jsonb_array_elements(p_agent -> 'functions') f where f -> 'config' ? 'parameters' or f ->> 'type' = 'mcp')
            then coalesce((p_agent ->> 'maxSteps')::integer, 16) else 1 end))::integer end
    from (select public.rate_of(p_model) as rate) r
$$;

-- Begins a run: idempotency, the agent, the reservation and the run's row, in one transaction.
--   p_input   {messages, functionResults, responseFormat}, kept so that another process can begin the run anew
--   p_owner   the process that has the run; null: nobody yet, until it is adopted or its lease ends
--   p_agent   the agent's configuration where the caller has checked user and credits itself; such a run is
--             never charged, and the agents table is not read
--   p_waiting there is no free slot: the run begins as `queued`
--   p_python  this service can run agents that are Python
--   p_models  the model of agents that name none, then those that are taken where it fails
-- Returns {run, agent, rates, cached, joined}; joined: the key has begun this run before, and nothing was done now;
-- cached: {response, finishReason, model} of somebody who asked this agent the same.
drop function if exists public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean);
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
  v_row public.agents;
  v_agent jsonb := p_agent;
  v_models jsonb;
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
    select * into v_row from public.agents where id = p_agent_id and (is_published or user_id = p_user_id);
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
    v_agent := public.agent_json(v_row);
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

  if v_row.cache_seconds > 0 and v_row.temperature = 0 then
    v_cache_key := encode(sha256(convert_to(v_agent::text || v_models || p_request_hash, 'UTF8')), 'hex');
    select jsonb_build_object('response', response, 'finishReason', finish_reason, 'model', model) into v_cached
      from public.response_cache where key = v_cache_key and expires_at > now();
  end if;

  if p_agent is null and v_cached is null then
    v_credits := public.price_to_reserve(v_agent, v_models ->> 0);
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
      case when v_cached is null then v_cache_key end, v_row.cache_seconds,
      case when p_waiting then null else now() end, p_owner, now() + make_interval(secs => p_lease_seconds))
    returning * into v_run;
  insert into public.agent_run_inputs (run_id, input)
    values (v_run.id, p_input || jsonb_build_object('agent', v_agent, 'rates', public.rates_of(v_models), 'cached', v_cached));
  return jsonb_build_object('run', public.run_json(v_run), 'agent', v_agent, 'rates', public.rates_of(v_models),
    'cached', v_cached, 'joined', false);
end $$;

-- {model: rate} of a list of models, and of all others under '*'.
create or replace function public.rates_of(p_models jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_object_agg(model, public.rate_of(model)), '{}') || jsonb_build_object('*', public.rate_of('*'))
    from (select distinct value as model from jsonb_array_elements_text(p_models)) m
$$;

-- Ends a run: its result, its last step, the settlement of its reservation, the ledger's entry, and what is kept of its
-- answer, in one transaction. What it cost beyond its reservation is taken as far as the balance goes.
-- Repeated, it answers what the first call did; from an attempt that is no longer the run's, it is refused.
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
  v_usage jsonb;
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
  v_usage := public.usage_of_last_step(p_run_id, p_usage);
  if (v_usage ->> 'totalTokens')::integer > 0 then
    insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at, finished_at)
      select p_run_id, coalesce(max(step), 0) + 1, p_attempt, 'model', v_run.model, p_finish_reason, v_usage,
          coalesce(max(finished_at), v_run.started_at), v_run.finished_at
        from public.agent_run_steps where run_id = p_run_id;
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

-- Takes over unfinished runs that no living process has, oldest first, each as a new attempt. A run over which so many
-- processes died is ended instead, and costs nothing.
--   p_python  this process can run agents that are Python; those of who cannot are left to others
-- Returns {claimed: [{run, userId, cancel, input, steps}], outstanding}: whether anybody has unfinished runs at all.
drop function if exists public.claim_runs(uuid, numeric, integer, integer);
create or replace function public.claim_runs(
  p_owner uuid, p_lease_seconds numeric, p_limit integer, p_max_crashes integer default 20, p_python boolean default true
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_claimed jsonb := '[]';
begin
  for v_run in
    select * from public.agent_runs r
      where finished_at is null and lease_until < now() and public.is_abandoned(r)
        and (p_python or not exists (
          select from public.agent_run_inputs i where i.run_id = r.id and i.input -> 'agent' ->> 'executor' = 'python'))
      order by lease_until, created_at
      limit p_limit
      for update skip locked
  loop
    if v_run.lease_until > '-infinity' then
      v_run.crashes := v_run.crashes + 1;
    end if;
    update public.agent_runs
      set attempt = attempt + 1, crashes = v_run.crashes, owner = p_owner,
          lease_until = now() + make_interval(secs => p_lease_seconds)
      where id = v_run.id
      returning * into v_run;
    if v_run.crashes >= p_max_crashes then
      begin
        perform public.finish_run(v_run.id, v_run.attempt, 'failed', '', null, null, 0, null, jsonb_build_object(
          'code', 'crashed_too_often', 'message', 'The run was ended: the server broke down over it again and again.'));
      exception when lock_not_available then
        -- Somebody holds its user's balance: it is given up as unknown, and ended another time.
        null;
      end;
    else
      v_claimed := v_claimed || jsonb_build_object(
        'run', public.run_json(v_run),
        'userId', v_run.user_id,
        'cancel', v_run.cancel_requested,
        'input', (select input from public.agent_run_inputs where run_id = v_run.id),
        'steps', public.checkpoints_of(v_run.id));
    end if;
  end loop;
  return jsonb_build_object(
    'claimed', v_claimed,
    'outstanding', exists (select from public.agent_runs where finished_at is null));
end $$;

-- Takes on a run that another has begun for this process, and that nobody has had yet.
--   p_python  this process can run agents that are Python
-- Returns as begin_run does; joined: somebody has it already, or had.
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
        message = 'This agent is written in Python, which this server cannot run.';
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

-- Erases what was said in runs that ended so many days ago, some at a time, and answers that are kept no longer; runs
-- and ledger stay.
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
  delete from public.agent_workers where lease_until < now() - interval '1 day';
  delete from public.response_cache where expires_at < now();
  return jsonb_build_object('erased', coalesce(cardinality(v_ids), 0));
end $$;

create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 3, 'oldest', 1,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off')
$$;

do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid::regprocedure from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname in (
        'rate_of', 'rates_of', 'checkpoints_of', 'extend_reservation', 'record_step', 'usage_of_last_step', 'agent_json',
        'price_to_reserve', 'begin_run', 'finish_run', 'claim_runs', 'adopt_run', 'erase_old_runs', 'schema_version')
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
end $$;
notify pgrst, 'reload schema';
