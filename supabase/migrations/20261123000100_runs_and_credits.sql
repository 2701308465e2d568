-- Runs, and the credits they take. All that must be atomic is one function here; each is called by name with
-- named arguments, returns jsonb, and may be executed by service_role alone. What a caller did wrong is raised
-- as SQLSTATE PT<http status> with the error's code in the hint. Those that wait for rows others may hold give up after
-- five seconds: a caller that has gone must not leave a call behind that is done later.

-- A balance is what can still be spent (credits_remaining) and what runs under way hold (credits_reserved).
alter table public.credit_balances
  add column if not exists credits_reserved integer not null default 0 check (credits_reserved >= 0);

-- The ledger names the run it was for, and no run twice.
alter table public.credit_usage add column if not exists run_id uuid;
create unique index if not exists credit_usage_once_a_run on public.credit_usage (run_id);

create table if not exists public.agent_runs (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  agent_id uuid not null,
  status text not null check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  attempt integer not null default 1,
  idempotency_key text,
  request_hash text not null,
  model text,
  response text not null default '',
  finish_reason text,
  usage jsonb,
  credits_reserved integer not null default 0 check (credits_reserved >= 0),
  credits_charged integer not null default 0 check (credits_charged >= 0),
  error jsonb,
  -- The process that has the run; until when without a word of it (see agent_workers), '-infinity' where it gave the
  -- run up on purpose; and how often one died over it.
  owner uuid,
  lease_until timestamptz,
  crashes integer not null default 0,
  cancel_requested boolean not null default false,
  -- What was said is no longer kept.
  erased boolean not null default false,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz
);
create unique index if not exists agent_runs_idempotency on public.agent_runs (user_id, idempotency_key)
  where idempotency_key is not null;
create index if not exists agent_runs_newest on public.agent_runs (user_id, created_at desc, id desc);
create index if not exists agent_runs_unfinished on public.agent_runs (lease_until) where finished_at is null;
create index if not exists agent_runs_owned on public.agent_runs (owner) where finished_at is null;
create index if not exists agent_runs_to_erase on public.agent_runs (finished_at) where not erased;

-- The processes that run runs, and until when they are taken for alive: one row to renew, however many runs they have.
create table if not exists public.agent_workers (
  owner uuid primary key,
  lease_until timestamptz not null
);
alter table public.agent_workers enable row level security;
grant select, insert, update, delete on public.agent_workers to service_role;

alter table public.agent_runs enable row level security;
drop policy if exists agent_runs_own on public.agent_runs;
create policy agent_runs_own on public.agent_runs for select to authenticated
  using (user_id = (select auth.uid()));
grant select on public.agent_runs to authenticated;
grant select, insert, update, delete on public.agent_runs to service_role;

-- What it takes to begin a run anew: {agent, messages, functionResults}. A table of its own, for an agent's prompt is
-- its owner's and not its user's to read.
create table if not exists public.agent_run_inputs (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  input jsonb not null
);

-- The events of a finished run but for the last: an object as it was told, a number for a chunk of so many UTF-16
-- units of the response.
create table if not exists public.agent_run_traces (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  trace jsonb not null
);

alter table public.agent_run_inputs enable row level security;
alter table public.agent_run_traces enable row level security;
grant select, insert, update, delete on public.agent_run_inputs, public.agent_run_traces to service_role;

-- The version of what stands in these files; the service asks for it to know that it speaks to a database it fits.
create or replace function public.schema_version() returns jsonb
language sql immutable set search_path = '' as $$ select jsonb_build_object('version', 1) $$;

create or replace function public.iso_time(p_time timestamptz) returns text
language sql immutable set search_path = '' as $$
  select to_char(p_time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

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
$$;

-- Begins a run: idempotency, the agent, the reservation and the run's row, in one transaction.
--   p_input   {messages, functionResults}, kept so that another process can begin the run anew
--   p_agent   the agent's configuration where the caller has checked user and credits itself; such a run is
--             never charged, and the agents table is not read
--   p_waiting there is no free slot: the run begins as `queued`
--   p_python  this service can run agents that are Python
-- Returns {run, agent, joined}; joined: the key has begun this run before, and nothing was done now.
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
  p_python boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_agent jsonb := p_agent;
  v_credits integer := case when p_agent is null then 1 else 0 end;
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
    select jsonb_build_object(
        'name', a.name, 'systemPrompt', a.system_prompt, 'model', a.ai_model, 'temperature', a.temperature,
        'maxTokens', a.max_tokens, 'knowledgeBase', a.knowledge_base, 'executor', a.executor)
      into v_agent
      from public.agents a
      where a.id = p_agent_id and (a.is_published or a.user_id = p_user_id);
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
    if v_agent ->> 'executor' = 'python' and not p_python then
      raise sqlstate 'PT503' using hint = 'python_unavailable',
        message = 'This agent is written in Python, which this server cannot run.';
    end if;
  end if;

  if v_credits > 0 then
    update public.credit_balances
      set credits_remaining = credits_remaining - v_credits, credits_reserved = credits_reserved + v_credits
      where user_id = p_user_id and credits_remaining >= v_credits;
    if not found then
      raise sqlstate 'PT402' using hint = 'insufficient_credits',
        message = 'There are not enough credits for this run.';
    end if;
  end if;

  insert into public.agent_runs
      (user_id, agent_id, status, idempotency_key, request_hash, model, credits_reserved, started_at, owner, lease_until)
    values (p_user_id, p_agent_id, case when p_waiting then 'queued' else 'running' end, p_idempotency_key,
      p_request_hash, v_agent ->> 'model', v_credits, case when p_waiting then null else now() end, p_owner,
      now() + make_interval(secs => p_lease_seconds))
    returning * into v_run;
  insert into public.agent_run_inputs (run_id, input)
    values (v_run.id, p_input || jsonb_build_object('agent', v_agent));
  return jsonb_build_object('run', public.run_json(v_run), 'agent', v_agent, 'joined', false);
end $$;

-- A queued run got its slot.
create or replace function public.start_run(p_run_id uuid, p_attempt integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
begin
  update public.agent_runs set status = 'running', started_at = coalesce(started_at, now())
    where id = p_run_id and attempt = p_attempt and status in ('queued', 'running')
    returning * into v_run;
  if not found then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  return public.run_json(v_run);
end $$;

-- Ends a run: its result, the settlement of its reservation, and the ledger's entry, in one transaction.
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
  v_charged integer;
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

  v_charged := greatest(0, least(p_credits, v_run.credits_reserved));
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
      values (v_run.user_id, (select id from public.agents where id = v_run.agent_id), v_run.id, v_charged,
        'agent_execution', jsonb_build_object('model', p_model, 'status', p_status, 'usage', p_usage));
  end if;
  update public.agent_runs
    set status = p_status, response = p_response, finish_reason = p_finish_reason, usage = p_usage,
        model = coalesce(p_model, model), error = p_error, credits_reserved = 0, credits_charged = v_charged,
        finished_at = clock_timestamp(), owner = null, lease_until = null
    where id = p_run_id
    returning * into v_run;
  if not p_keep_messages then
    delete from public.agent_run_inputs where run_id = p_run_id;
  end if;
  if p_trace is not null then
    insert into public.agent_run_traces (run_id, trace) values (p_run_id, p_trace);
  end if;
  return public.run_json(v_run);
end $$;

-- A process says that it lives: its runs are its own for so much longer.
-- Returns {lapsed, owned, cancel}: whether it was taken for dead since it spoke last, so that its runs may be another's
-- by now; how many it has; and those of them that are to be cancelled.
create or replace function public.heartbeat_worker(p_owner uuid, p_lease_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_before timestamptz;
begin
  select lease_until into v_before from public.agent_workers where owner = p_owner for update;
  insert into public.agent_workers (owner, lease_until)
    values (p_owner, now() + make_interval(secs => p_lease_seconds))
    on conflict (owner) do update set lease_until = excluded.lease_until;
  return jsonb_build_object(
    'lapsed', v_before is null or v_before < now(),
    'owned', (select count(*) from public.agent_runs where owner = p_owner and finished_at is null),
    'cancel', (select coalesce(jsonb_agg(id), '[]') from public.agent_runs
      where owner = p_owner and cancel_requested and finished_at is null));
end $$;

-- The unfinished runs of a process, as {id: attempt}.
create or replace function public.get_owned_runs(p_owner uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_object_agg(id, attempt), '{}') from public.agent_runs
    where owner = p_owner and finished_at is null
$$;

-- Whether no living process has an unfinished run.
create or replace function public.is_abandoned(r public.agent_runs) returns boolean
language sql stable set search_path = '' as $$
  select r.finished_at is null and r.lease_until < now()
    and (r.lease_until = '-infinity' or not exists (
      select from public.agent_workers w where w.owner = r.owner and w.lease_until >= now()))
$$;

-- Takes over unfinished runs that no living process has, oldest first, each as a new attempt. A run over which so many
-- processes died is ended instead, and costs nothing.
-- Returns {claimed: [{run, userId, input}], outstanding}: whether anybody has unfinished runs at all.
create or replace function public.claim_runs(p_owner uuid, p_lease_seconds numeric, p_limit integer, p_max_crashes integer default 20)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_claimed jsonb := '[]';
begin
  for v_run in
    select * from public.agent_runs r
      where finished_at is null and lease_until < now() and public.is_abandoned(r)
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
      perform public.finish_run(v_run.id, v_run.attempt, 'failed', '', null, null, 0, null, jsonb_build_object(
        'code', 'crashed_too_often', 'message', 'The run was ended: the server broke down over it again and again.'));
    else
      v_claimed := v_claimed || jsonb_build_object(
        'run', public.run_json(v_run),
        'userId', v_run.user_id,
        'cancel', v_run.cancel_requested,
        'input', (select input from public.agent_run_inputs where run_id = v_run.id));
    end if;
  end loop;
  return jsonb_build_object(
    'claimed', v_claimed,
    'outstanding', exists (select from public.agent_runs where finished_at is null));
end $$;

-- A process gives up what it has, so that another takes it over at once.
--   p_owner    null: everybody's, for a process that knows itself to be the only one
--   p_crashed  the owner died
--   p_run_ids  only these; the owner lives, and has lost sight of them
create or replace function public.release_runs(p_owner uuid, p_crashed boolean default false, p_run_ids jsonb default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_count integer;
begin
  if p_run_ids is null then
    delete from public.agent_workers where p_owner is null or owner = p_owner;
  end if;
  update public.agent_runs
    set lease_until = case when p_crashed then now() - interval '1 second' else '-infinity' end
    where finished_at is null and (p_owner is null or owner = p_owner) and lease_until > '-infinity'
      and (p_run_ids is null or p_run_ids ? id::text);
  get diagnostics v_count = row_count;
  return jsonb_build_object('released', v_count);
end $$;

-- Asks for a run's end. Whoever has it learns of it by its next heartbeat; a run that nobody has ends here, and
-- costs nothing.
create or replace function public.cancel_run(p_user_id uuid, p_run_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if public.is_abandoned(v_run) then
    -- As an attempt of its own: what the one before had told, its readers have to forget.
    update public.agent_runs set attempt = attempt + 1 where id = p_run_id returning * into v_run;
    return public.finish_run(v_run.id, v_run.attempt, 'cancelled', '', null, null, 0, null, null);
  end if;
  update public.agent_runs set cancel_requested = true where id = p_run_id and finished_at is null;
  return public.run_json(v_run);
end $$;

-- Of these runs those that have ended, with what their events can be told from: [{run, trace}].
create or replace function public.get_ended_runs(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('run', public.run_json(r), 'trace', t.trace)), '[]')
    from jsonb_array_elements_text(p_run_ids) as wanted (id)
    join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is not null
    left join public.agent_run_traces t on t.run_id = r.id
$$;

-- Erases what was said in runs that ended so many days ago, some at a time; runs and ledger stay.
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
  return jsonb_build_object('erased', coalesce(cardinality(v_ids), 0));
end $$;

create or replace function public.get_run(p_user_id uuid, p_run_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  return public.run_json(v_run);
end $$;

-- A page of a user's runs, newest first; p_after is the `next` of the page before, the id of its last run.
create or replace function public.list_runs(
  p_user_id uuid,
  p_limit integer,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_after public.agent_runs;
begin
  select * into v_after from public.agent_runs where id = p_after and user_id = p_user_id;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select r from public.agent_runs r
      where r.user_id = p_user_id
        and (p_status is null or r.status = p_status)
        and (p_agent_id is null or r.agent_id = p_agent_id)
        and (p_after is null or (r.created_at, r.id) < (v_after.created_at, v_after.id))
      order by r.created_at desc, r.id desc
      limit p_limit + 1
  ), numbered as (
    select r, row_number() over (order by (r).created_at desc, (r).id desc) as n from page
  )
  select jsonb_build_object(
    'runs', coalesce((select jsonb_agg(public.run_json(r) order by n) from numbered where n <= p_limit), '[]'),
    'next', (select (r).id from numbered where n = p_limit and exists (select from numbered where n > p_limit))));
end $$;

create or replace function public.get_credits(p_user_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
      'creditsRemaining', coalesce(max(credits_remaining), 0),
      'creditsReserved', coalesce(max(credits_reserved), 0),
      'creditsUsedThisMonth', coalesce(max(credits_used_this_month), 0),
      'planType', coalesce(max(plan_type), 'free'))
    from public.credit_balances where user_id = p_user_id
$$;

-- Whose API key this is, {userId}, or {userId: null}. When it was used is noted once a minute at most.
create or replace function public.authenticate_api_key(p_key_hash text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_key public.api_keys;
begin
  select * into v_key from public.api_keys where key_hash = p_key_hash and is_active limit 1;
  if v_key.last_used_at is null or v_key.last_used_at < now() - interval '1 minute' then
    update public.api_keys set last_used_at = now() where id = v_key.id;
  end if;
  return jsonb_build_object('userId', v_key.user_id);
end $$;

-- Takes credits outside of a run. The live project's own version let a balance fall below zero.
create or replace function public.deduct_credits(p_user_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if p_credits is null or p_credits < 0 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'p_credits must be zero or more.';
  end if;
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits,
        credits_used_this_month = coalesce(credits_used_this_month, 0) + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  if not found then
    raise sqlstate 'PT402' using hint = 'insufficient_credits', message = 'There are not enough credits.';
  end if;
end $$;

-- The figures themselves, for the two functions below, which check who asks.
create or replace function public.platform_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language sql stable security definer set search_path = '' as $$
  select
    (select count(*) from auth.users),
    (select count(*) from public.agents),
    (select count(*) from public.agents where created_at >= now() - interval '7 days'),
    (select count(*) from public.agents where created_at >= now() - interval '30 days'),
    (select count(distinct user_id) from public.credit_usage where created_at >= now() - interval '30 days'),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage
      where created_at >= now() - interval '7 days'),
    (select count(*) from public.credit_balances where plan_type = 'pro'),
    (select count(*) from public.credit_balances where plan_type = 'expert')
$$;

-- For the frontend of an admin, and for the service role, whose auth.uid() is null.
create or replace function public.get_admin_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language plpgsql stable security definer set search_path = '' as $$
begin
  if coalesce(auth.role(), '') <> 'service_role'
      and not coalesce(public.has_role(auth.uid(), 'admin'), false) then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'This is for admins.';
  end if;
  return query select * from public.platform_stats();
end $$;

-- For the service, which passes the user on whose behalf it asks.
create or replace function public.admin_stats(p_user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  if not public.has_role(p_user_id, 'admin') then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'This is for admins.';
  end if;
  return (select to_jsonb(s) from public.platform_stats() s);
end $$;

do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid::regprocedure from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname in (
        'heartbeat_worker', 'get_owned_runs', 'is_abandoned', 'claim_runs', 'release_runs', 'cancel_run', 'get_ended_runs', 'erase_old_runs',
        'schema_version', 'iso_time', 'run_json', 'begin_run', 'start_run', 'finish_run', 'get_run', 'list_runs',
        'get_credits', 'authenticate_api_key', 'deduct_credits', 'platform_stats', 'get_admin_stats', 'admin_stats')
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
end $$;
grant execute on function public.get_admin_stats() to authenticated;
