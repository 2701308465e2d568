-- Generated from supabase/schemas by `npm run schema`; edit those files instead of this one.
--
-- Defines what the service needs in an empty Supabase database, or beside a live project. Tables, columns and indexes that
-- exist stay as they are; functions, triggers, policies and grants of the service are replaced. It may be applied again.

-- schemas/platform/app_role.sql

do $platform$
begin
  if to_regtype('public.app_role') is null then
    create type public.app_role as enum ('admin', 'moderator', 'user');
  end if;
end $platform$;

-- schemas/platform/agents.sql

do $platform$
begin
  if to_regtype('public.agents') is null then
    create table public.agents (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null references auth.users (id) on delete cascade,
      name text not null,
      description text,
      purpose text not null,
      tech_stack jsonb,
      features jsonb,
      status text default 'draft',
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      system_prompt text default 'You are a helpful AI assistant.',
      ai_model varchar(50) default 'google/gemini-2.5-flash',
      temperature numeric(2, 1) default 0.7,
      max_tokens integer default 1000,
      knowledge_base jsonb default '[]',
      is_published boolean default false,
      is_heavy boolean default false,
      railway_url text,
      -- In a live project this references a table that the service does not use.
      workspace_id uuid,
      is_shared_to_community boolean default false,
      community_category text,
      community_likes integer default 0,
      shared_at timestamptz
    );
    alter table public.agents enable row level security;
    revoke all on public.agents from public, anon, authenticated;
    grant select, insert, update, delete on public.agents to authenticated;
    create policy agents_own on public.agents for all to authenticated
      using (user_id = (select auth.uid()));
  end if;
end $platform$;

-- schemas/platform/agent_functions.sql

do $platform$
begin
  if to_regtype('public.agent_functions') is null then
    create table public.agent_functions (
      id uuid primary key default gen_random_uuid(),
      agent_id uuid not null references public.agents (id) on delete cascade,
      name text not null,
      description text,
      function_type text not null,
      trigger_keywords text[] default '{}',
      config jsonb not null default '{}',
      is_enabled boolean not null default true,
      execution_order integer not null default 0,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now()
    );
    alter table public.agent_functions enable row level security;
    revoke all on public.agent_functions from public, anon, authenticated;
    grant select, insert, update, delete on public.agent_functions to authenticated;
    create policy agent_functions_own on public.agent_functions for all to authenticated
      using (exists (select from public.agents a where a.id = agent_id and a.user_id = (select auth.uid())));
  end if;
end $platform$;

-- schemas/platform/agent_schedules.sql

do $platform$
begin
  if to_regtype('public.agent_schedules') is null then
    create table public.agent_schedules (
      id uuid primary key default gen_random_uuid(),
      agent_id uuid not null references public.agents (id) on delete cascade,
      user_id uuid not null references auth.users (id) on delete cascade,
      is_enabled boolean not null default false,
      schedule_type text not null default 'daily',
      cron_expression text not null default '0 9 * * *',
      timezone text not null default 'UTC',
      prompt_template text not null default 'Generate content',
      last_run_at timestamptz,
      next_run_at timestamptz,
      run_count integer not null default 0,
      last_result jsonb default '{}',
      output_action text not null default 'store',
      output_config jsonb default '{}',
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now()
    );
    alter table public.agent_schedules enable row level security;
    revoke all on public.agent_schedules from public, anon, authenticated;
    grant select, insert, update, delete on public.agent_schedules to authenticated;
    create policy agent_schedules_own on public.agent_schedules for all to authenticated
      using (user_id = (select auth.uid()));
  end if;
end $platform$;

-- schemas/platform/api_keys.sql

do $platform$
begin
  if to_regtype('public.api_keys') is null then
    create table public.api_keys (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null references auth.users (id) on delete cascade,
      key_name text not null,
      key_hash text not null,
      key_prefix text not null,
      last_used_at timestamptz,
      is_active boolean default true,
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );
    alter table public.api_keys enable row level security;
    revoke all on public.api_keys from public, anon, authenticated;
    grant select, insert, update, delete on public.api_keys to authenticated;
    create policy api_keys_own on public.api_keys for all to authenticated
      using (user_id = (select auth.uid()));
  end if;
end $platform$;

-- schemas/platform/conversations.sql

do $platform$
begin
  if to_regtype('public.conversations') is null then
    create table public.conversations (
      id uuid primary key default gen_random_uuid(),
      user_id uuid references auth.users (id) on delete cascade,
      agent_id uuid references public.agents (id) on delete set null,
      title text,
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );
    alter table public.conversations enable row level security;
    revoke all on public.conversations from public, anon, authenticated;
    grant select, insert, update, delete on public.conversations to authenticated;
    create policy conversations_own on public.conversations for all to authenticated
      using (user_id = (select auth.uid()));
  end if;
end $platform$;

-- schemas/platform/credit_balances.sql

do $platform$
begin
  if to_regtype('public.credit_balances') is null then
    -- Row-level security, policies and grants of this table are the same in every project: see credits/tables.sql.
    create table public.credit_balances (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null unique references auth.users (id) on delete cascade,
      credits_remaining integer not null default 0 check (credits_remaining >= 0),
      credits_used_this_month integer not null default 0,
      plan_type text not null default 'basic',
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );
  end if;
end $platform$;

-- schemas/platform/credit_usage.sql

do $platform$
begin
  if to_regtype('public.credit_usage') is null then
    -- Row-level security, policies and grants of this table are the same in every project: see credits/tables.sql.
    create table public.credit_usage (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null references auth.users (id) on delete cascade,
      agent_id uuid references public.agents (id) on delete set null,
      credits_used integer not null,
      operation_type text not null,
      metadata jsonb default '{}',
      created_at timestamptz default now()
    );
  end if;
end $platform$;

-- schemas/platform/messages.sql

do $platform$
begin
  if to_regtype('public.messages') is null then
    create table public.messages (
      id uuid primary key default gen_random_uuid(),
      conversation_id uuid not null references public.conversations (id) on delete cascade,
      role text not null check (role in ('user', 'assistant')),
      content text not null,
      created_at timestamptz default now(),
      attachments jsonb default '[]'
    );
    alter table public.messages enable row level security;
    revoke all on public.messages from public, anon, authenticated;
    grant select, insert, update, delete on public.messages to authenticated;
    create policy messages_own on public.messages for all to authenticated
      using (exists (select from public.conversations c where c.id = conversation_id and c.user_id = (select auth.uid())));
  end if;
end $platform$;

-- schemas/platform/scheduled_runs.sql

do $platform$
begin
  if to_regtype('public.scheduled_runs') is null then
    create table public.scheduled_runs (
      id uuid primary key default gen_random_uuid(),
      schedule_id uuid not null references public.agent_schedules (id) on delete cascade,
      -- A live project has these two as `not null`, which is taken off there too: the service does not fill them.
      agent_id uuid references public.agents (id) on delete cascade,
      user_id uuid,
      status text not null default 'pending',
      started_at timestamptz,
      completed_at timestamptz,
      generated_content text,
      output_result jsonb default '{}',
      error_message text,
      credits_used integer default 0,
      created_at timestamptz not null default now()
    );
    alter table public.scheduled_runs enable row level security;
    revoke all on public.scheduled_runs from public, anon, authenticated;
    grant select on public.scheduled_runs to authenticated;
    create policy scheduled_runs_own on public.scheduled_runs for select to authenticated
      using (exists (select from public.agent_schedules s where s.id = schedule_id and s.user_id = (select auth.uid())));
  end if;
end $platform$;

-- schemas/platform/user_roles.sql

do $platform$
begin
  if to_regtype('public.user_roles') is null then
    -- Row-level security, policies and grants of this table are the same in every project: see access/tables.sql.
    create table public.user_roles (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null references auth.users (id) on delete cascade,
      role public.app_role not null,
      created_at timestamptz default now(),
      unique (user_id, role)
    );
  end if;
end $platform$;

-- schemas/missing_columns.sql

-- Adds the columns that the service needs to tables of a live project that is older than the columns. They are without
-- constraints that existing rows might violate, and without defaults that would change what existing rows mean. A table
-- that schemas/platform has made has all of them.

alter table public.agents
  add column if not exists system_prompt text,
  add column if not exists ai_model text,
  add column if not exists temperature numeric,
  add column if not exists max_tokens integer,
  add column if not exists knowledge_base jsonb,
  add column if not exists is_published boolean not null default false,
  -- Existing agents have no known time of creation; new ones get it by the default below.
  add column if not exists created_at timestamptz,
  add column if not exists is_heavy boolean not null default false,
  add column if not exists railway_url text;
alter table public.agents alter column created_at set default now();

alter table public.agent_functions
  add column if not exists description text,
  add column if not exists trigger_keywords text[] not null default '{}',
  add column if not exists config jsonb not null default '{}',
  add column if not exists is_enabled boolean not null default true,
  add column if not exists execution_order integer not null default 0;

alter table public.agent_schedules
  add column if not exists user_id uuid,
  add column if not exists agent_id uuid,
  add column if not exists cron_expression text,
  add column if not exists timezone text default 'UTC',
  add column if not exists prompt_template text,
  add column if not exists output_action text default 'store',
  add column if not exists output_config jsonb,
  add column if not exists next_run_at timestamptz;

alter table public.scheduled_runs
  add column if not exists schedule_id uuid,
  add column if not exists status text,
  add column if not exists started_at timestamptz default now(),
  add column if not exists completed_at timestamptz;

alter table public.api_keys
  add column if not exists id uuid not null default gen_random_uuid(),
  add column if not exists last_used_at timestamptz,
  add column if not exists is_active boolean not null default true;

alter table public.credit_balances
  add column if not exists credits_used_this_month integer not null default 0,
  add column if not exists plan_type text not null default 'free';

alter table public.credit_usage
  add column if not exists id uuid not null default gen_random_uuid(),
  add column if not exists agent_id uuid,
  add column if not exists metadata jsonb,
  add column if not exists created_at timestamptz not null default now();

-- schemas/access/has_role.sql

-- Returns whether a user has a role. Policies call it, also policies that hold for everybody: to anonymous visitors it
-- answers false instead of refusing them. The platform's frontends call it by this name and with these arguments.
create or replace function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path = '' as $$
  select coalesce(auth.role(), '') <> 'anon'
    and exists (select from public.user_roles where user_id = _user_id and role = _role)
$$;

revoke execute on function public.has_role(uuid, public.app_role) from public, anon;
grant execute on function public.has_role(uuid, public.app_role) to authenticated, service_role;

-- schemas/access/tables.sql

-- Supabase projects made since 2026-10-30 grant a new table in `public` to nobody, not even to service_role.
grant select, insert, update, delete on
  public.agents, public.agent_functions, public.agent_schedules, public.scheduled_runs, public.conversations,
  public.messages, public.credit_balances, public.credit_usage, public.api_keys, public.user_roles
  to service_role;

-- Users read their own roles, admins read all. Who may write them in a live project, the mending of it decides.
alter table public.user_roles enable row level security;
revoke all on public.user_roles from public, anon, authenticated;
grant select on public.user_roles to authenticated;
drop policy if exists user_roles_own on public.user_roles;
create policy user_roles_own on public.user_roles for select to authenticated
  using (user_id = (select auth.uid()));
drop policy if exists user_roles_admin on public.user_roles;
create policy user_roles_admin on public.user_roles for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

create index if not exists api_keys_by_hash on public.api_keys (key_hash);

-- schemas/administration/tables.sql

-- What admins have done and looked at.
create table if not exists public.admin_actions (
  id bigint generated always as identity primary key,
  admin_id uuid not null,
  action text not null,
  user_id uuid,
  details jsonb not null default '{}',
  -- The key of a request that must not be repeated, and the answer to give if it is.
  idempotency_key text,
  result jsonb,
  created_at timestamptz not null default now()
);
create unique index if not exists admin_actions_idempotency on public.admin_actions (admin_id, idempotency_key)
  where idempotency_key is not null;
alter table public.admin_actions enable row level security;
revoke all on public.admin_actions from public, anon, authenticated;
revoke all on sequence public.admin_actions_id_seq from public, anon, authenticated;
grant select on public.admin_actions to authenticated;
grant select, insert, update, delete on public.admin_actions to service_role;
drop policy if exists admin_actions_admin on public.admin_actions;
create policy admin_actions_admin on public.admin_actions for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- schemas/agents/tables.sql

-- The service's columns of the platform's agents.
alter table public.agents
  -- What runs the agent, and for `python` the code: `package.module:function`.
  add column if not exists executor text not null default 'model' check (executor in ('model', 'python')),
  add column if not exists entrypoint text,
  -- Null means the service's default.
  add column if not exists max_steps integer check (max_steps between 1 and 100),
  -- How long responses are cached; only those of agents with temperature 0 are.
  add column if not exists cache_seconds integer check (cache_seconds between 0 and 31536000);

create index if not exists agent_functions_in_order on public.agent_functions (agent_id, execution_order);

-- schemas/credits/tables.sql

-- A balance consists of credits that can be spent (credits_remaining) and credits that unfinished runs have reserved.
alter table public.credit_balances
  add column if not exists credits_reserved integer not null default 0 check (credits_reserved >= 0);
alter table public.credit_balances enable row level security;
revoke all on public.credit_balances from public, anon, authenticated;
grant select on public.credit_balances to authenticated;
drop policy if exists credit_balances_own on public.credit_balances;
create policy credit_balances_own on public.credit_balances for select to authenticated
  using (user_id = (select auth.uid()));
drop policy if exists credit_balances_admin on public.credit_balances;
create policy credit_balances_admin on public.credit_balances for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- An entry of the ledger names the run it was made for. No run has two.
alter table public.credit_usage
  add column if not exists run_id uuid;
create unique index if not exists credit_usage_once_a_run on public.credit_usage (run_id);
create index if not exists credit_usage_newest on public.credit_usage (user_id, created_at desc);
alter table public.credit_usage enable row level security;
revoke all on public.credit_usage from public, anon, authenticated;
grant select on public.credit_usage to authenticated;
drop policy if exists credit_usage_own on public.credit_usage;
create policy credit_usage_own on public.credit_usage for select to authenticated
  using (user_id = (select auth.uid()));
drop policy if exists credit_usage_admin on public.credit_usage;
create policy credit_usage_admin on public.credit_usage for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- The credits that a user had before the first entry of the ledger. From then on
--   opening - sum of the ledger = remaining + reserved.
-- There is no foreign key because a live project may have balances of deleted users.
create table if not exists public.credit_openings (
  user_id uuid primary key,
  credits bigint not null,
  created_at timestamptz not null default now()
);
alter table public.credit_openings enable row level security;
revoke all on public.credit_openings from public, anon, authenticated;
grant select, insert, update, delete on public.credit_openings to service_role;

-- The price of each model. The row '*' is for models without a row; if it is missing too, a run costs one credit.
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

-- schemas/leases/tables.sql

-- The processes that run agents. One lease a process, renewed by its heartbeat, covers all its runs.
create table if not exists public.agent_workers (
  owner uuid primary key,
  lease_until timestamptz not null
);
alter table public.agent_workers enable row level security;
revoke all on public.agent_workers from public, anon, authenticated;
grant select, insert, update, delete on public.agent_workers to service_role;

-- schemas/runs/tables.sql

-- One row a run. A run is written by the functions in runs, leases and steps only. Each of these functions is one
-- transaction, is executable by service_role alone, and raises what a caller did wrong as SQLSTATE PT<http status> with
-- the error's code in the hint. Functions that wait for rows of others give up after five seconds: a caller that has gone
-- must not leave a call behind that succeeds later.
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
  -- The process that has the run, if any.
  owner uuid,
  -- The end of the lease that the run itself has; the lease of its owner (agent_workers) extends it. '-infinity' means
  -- that the owner has released the run.
  lease_until timestamptz,
  -- How many processes have died while they owned the run.
  crashes integer not null default 0,
  cancel_requested boolean not null default false,
  -- Whether the texts have been erased.
  erased boolean not null default false,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  -- Whether the run costs its user anything, and the cost of its recorded steps.
  is_charged boolean not null default true,
  credits_used integer not null default 0,
  -- Whether the response came from the cache; otherwise where it is cached and for how long, if it is.
  is_cached boolean not null default false,
  cache_key text,
  cache_seconds integer
);
create unique index if not exists agent_runs_idempotency on public.agent_runs (user_id, idempotency_key)
  where idempotency_key is not null;
create index if not exists agent_runs_newest on public.agent_runs (user_id, created_at desc, id desc);
create index if not exists agent_runs_newest_of_all on public.agent_runs (created_at desc, id desc);
create index if not exists agent_runs_unfinished on public.agent_runs (lease_until) where finished_at is null;
create index if not exists agent_runs_owned on public.agent_runs (owner) where finished_at is null;
create index if not exists agent_runs_to_erase on public.agent_runs (finished_at) where not erased;
alter table public.agent_runs enable row level security;
revoke all on public.agent_runs from public, anon, authenticated;
grant select on public.agent_runs to authenticated;
grant select, insert, update, delete on public.agent_runs to service_role;
drop policy if exists agent_runs_own on public.agent_runs;
create policy agent_runs_own on public.agent_runs for select to authenticated
  using (user_id = (select auth.uid()));
drop policy if exists agent_runs_admin on public.agent_runs;
create policy agent_runs_admin on public.agent_runs for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- What another process needs to begin a run again: {agent, messages, functionResults, …}. It is apart from the run because
-- the prompt belongs to the agent's owner, and the run's user must not read it.
create table if not exists public.agent_run_inputs (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  input jsonb not null
);
alter table public.agent_run_inputs enable row level security;
revoke all on public.agent_run_inputs from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_inputs to service_role;

-- The events of a finished run, without the last one. An event is kept as the object that was emitted; a chunk as a number,
-- the count of UTF-16 units that it has of the response.
create table if not exists public.agent_run_traces (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  trace jsonb not null
);
alter table public.agent_run_traces enable row level security;
revoke all on public.agent_run_traces from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_traces to service_role;

-- Responses that are given again to the same request.
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

-- schemas/schedules/tables.sql

-- The service's columns of the platform's schedules. If next_run_at and unplanned_since are both null, the schedule is
-- faulty and its user has been told.
alter table public.agent_schedules
  add column if not exists is_active boolean not null default true,
  -- Since when the schedule waits for the service to compute next_run_at.
  add column if not exists unplanned_since timestamptz default now();
create index if not exists agent_schedules_due on public.agent_schedules (next_run_at)
  where is_active and next_run_at is not null;
create index if not exists agent_schedules_unplanned on public.agent_schedules (unplanned_since)
  where is_active and unplanned_since is not null;

-- The service's columns of the platform's firings.
alter table public.scheduled_runs
  add column if not exists result text,
  add column if not exists error text,
  -- The time that the firing was due, and the run that it began.
  add column if not exists scheduled_for timestamptz,
  add column if not exists run_id uuid,
  -- Until the run has begun: {userId, agentId, content}, and the lease of the process that begins it.
  add column if not exists request jsonb,
  add column if not exists lease_until timestamptz,
  -- If the result is sent: `pending`, `delivered` or `failed`; the time of the next try; the number of tries.
  add column if not exists delivery_status text,
  add column if not exists delivery_at timestamptz,
  add column if not exists delivery_tries integer not null default 0;
create unique index if not exists scheduled_runs_once_a_time on public.scheduled_runs (schedule_id, scheduled_for)
  where scheduled_for is not null;
create index if not exists scheduled_runs_by_run on public.scheduled_runs (run_id) where run_id is not null;
create index if not exists scheduled_runs_to_begin on public.scheduled_runs (lease_until) where run_id is null and request is not null;
create index if not exists scheduled_runs_to_deliver on public.scheduled_runs (delivery_at) where delivery_status = 'pending';

-- schemas/steps/tables.sql

-- The finished steps of a run, for its user: which model or tool ran, when, and what it used; no texts.
create table if not exists public.agent_run_steps (
  run_id uuid not null references public.agent_runs (id) on delete cascade,
  step integer not null,
  attempt integer not null,
  kind text not null check (kind in ('model', 'tool')),
  -- The name of the model or of the tool.
  name text,
  finish_reason text,
  usage jsonb,
  started_at timestamptz,
  finished_at timestamptz not null default now(),
  primary key (run_id, step)
);
alter table public.agent_run_steps enable row level security;
revoke all on public.agent_run_steps from public, anon, authenticated;
grant select on public.agent_run_steps to authenticated;
grant select, insert, update, delete on public.agent_run_steps to service_role;
drop policy if exists agent_run_steps_own on public.agent_run_steps;
create policy agent_run_steps_own on public.agent_run_steps for select to authenticated
  using (exists (select from public.agent_runs r where r.id = run_id and r.user_id = (select auth.uid())));
drop policy if exists agent_run_steps_admin on public.agent_run_steps;
create policy agent_run_steps_admin on public.agent_run_steps for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- The finished steps of an unfinished run, with their texts, for the process that goes on with the run.
create table if not exists public.agent_run_checkpoints (
  run_id uuid not null references public.agent_runs (id) on delete cascade,
  step integer not null,
  record jsonb not null,
  attempt integer,
  -- The events that the attempt emitted since the step before: {first, events}; `first` is the number of the first one.
  told jsonb,
  primary key (run_id, step)
);
alter table public.agent_run_checkpoints enable row level security;
revoke all on public.agent_run_checkpoints from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_checkpoints to service_role;

-- schemas/runs/run_json.sql

-- Returns a run as callers see it.
--
-- This function and the others that every run calls are in PL/pgSQL because PostgreSQL keeps the plans of such a function
-- for the whole session. It parses and plans a function in SQL again in every transaction, unless it can inline the body,
-- and it never inlines a function that has a setting or its owner's rights. The times are formatted here for the same
-- reason: a call of iso_time costs more than the formatting.
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

revoke execute on function public.run_json(public.agent_runs) from public, anon, authenticated;
grant execute on function public.run_json(public.agent_runs) to service_role;

-- schemas/credits/expected_balances.sql

-- Returns each balance with the amount that its opening and its ledger add up to. `expected` is null if the balance has no
-- opening.
create or replace function public.expected_balances()
returns table (user_id uuid, expected bigint, actual bigint)
language sql stable security definer set search_path = '' as $$
  select b.user_id, o.credits - coalesce(l.used, 0), coalesce(b.credits_remaining, 0)::bigint + b.credits_reserved
    from public.credit_balances b
    left join public.credit_openings o on o.user_id = b.user_id
    left join (select u.user_id, sum(u.credits_used)::bigint as used from public.credit_usage u group by u.user_id) l
      on l.user_id = b.user_id
    where b.user_id is not null
$$;

revoke execute on function public.expected_balances() from public, anon, authenticated;
grant execute on function public.expected_balances() to service_role;

-- schemas/access/authenticate_api_key.sql

-- Returns {userId}: the user whose active API key has this hash, or null if there is none. The time of use is written
-- once a minute at most.
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

revoke execute on function public.authenticate_api_key(text) from public, anon, authenticated;
grant execute on function public.authenticate_api_key(text) to service_role;

-- schemas/access/realtime.sql

-- Publishes runs and balances to frontends through Supabase Realtime, which obeys row-level security. A project whose
-- publication does not exist or holds all tables needs nothing.
do $$
declare
  v_table text;
begin
  if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime' and not puballtables) then
    return;
  end if;
  foreach v_table in array array['agent_runs', 'credit_balances'] loop
    continue when exists (
      select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = v_table);
    -- PostgreSQL refuses updates of a published table that has no replica identity.
    if not exists (select from pg_catalog.pg_index where indrelid = ('public.' || v_table)::regclass and indisprimary) then
      execute format('alter table public.%I replica identity full', v_table);
    end if;
    execute format('alter publication supabase_realtime add table public.%I', v_table);
  end loop;
exception when insufficient_privilege then
  raise notice 'supabase_realtime is not this role''s: add agent_runs and credit_balances to it in the dashboard';
end $$;

-- schemas/administration/admin_audit_credits.sql

-- Runs the audit on behalf of an admin.
create or replace function public.admin_audit_credits(p_admin_id uuid, p_limit integer default 100) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'audit');
  return public.audit_credits(p_limit);
end $$;

revoke execute on function public.admin_audit_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.admin_audit_credits(uuid, integer) to service_role;

-- schemas/administration/admin_get_ledger.sql

-- Returns a user's balance and a page of the ledger, newest first, on behalf of an admin: {credits, entries, next}. p_after
-- is the `next` of the page before, which is the id of its last entry.
create or replace function public.admin_get_ledger(p_admin_id uuid, p_user_id uuid, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after public.credit_usage;
begin
  perform public.note_admin_action(p_admin_id, 'ledger', p_user_id, jsonb_build_object('after', p_after));
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  select * into v_after from public.credit_usage where id = p_after and user_id = p_user_id;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select u.*, row_number() over (order by created_at desc, id desc) as n from public.credit_usage u
      where user_id = p_user_id and (p_after is null or (created_at, id) < (v_after.created_at, v_after.id))
      order by created_at desc, id desc
      limit p_limit + 1
  )
  select jsonb_build_object(
    'credits', public.get_credits(p_user_id),
    'entries', coalesce((select jsonb_agg(jsonb_build_object('id', id, 'runId', run_id, 'agentId', agent_id,
        'creditsUsed', credits_used, 'operationType', operation_type, 'metadata', metadata,
        'createdAt', public.iso_time(created_at)) order by n) from page where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_get_ledger(uuid, uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.admin_get_ledger(uuid, uuid, integer, uuid) to service_role;

-- schemas/administration/admin_grant_credits.sql

-- Gives credits to a user on behalf of an admin. A repeated call with the same idempotency key gives nothing again and
-- returns what the first call did.
create or replace function public.admin_grant_credits(
  p_admin_id uuid, p_user_id uuid, p_credits integer, p_reason text, p_idempotency_key text default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_details jsonb := jsonb_build_object('credits', p_credits, 'reason', p_reason);
  v_before public.admin_actions;
  v_credits jsonb;
begin
  perform public.require_admin(p_admin_id);
  if p_idempotency_key is not null then
    -- If two requests with the same key arrive at once, the second waits here until the first has ended.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('grant' || p_admin_id || p_idempotency_key, 0));
    select * into v_before from public.admin_actions where admin_id = p_admin_id and idempotency_key = p_idempotency_key;
    if found then
      if v_before.user_id is distinct from p_user_id or v_before.details <> v_details then
        raise sqlstate 'PT422' using hint = 'idempotency_key_reused',
          message = 'This Idempotency-Key was used before with another request.';
      end if;
      return v_before.result;
    end if;
  end if;
  v_credits := public.grant_credits(p_user_id, p_credits, p_reason, p_admin_id);
  insert into public.admin_actions (admin_id, action, user_id, details, idempotency_key, result)
    values (p_admin_id, 'grant', p_user_id, v_details, p_idempotency_key, v_credits);
  return v_credits;
end $$;

revoke execute on function public.admin_grant_credits(uuid, uuid, integer, text, text)
  from public, anon, authenticated;
grant execute on function public.admin_grant_credits(uuid, uuid, integer, text, text) to service_role;

-- schemas/administration/admin_list_runs.sql

-- Returns a page of everybody's runs, or of one user's, on behalf of an admin; see page_of_runs.
create or replace function public.admin_list_runs(
  p_admin_id uuid,
  p_limit integer,
  p_user_id uuid default null,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'runs', p_user_id,
    jsonb_build_object('status', p_status, 'agentId', p_agent_id, 'after', p_after));
  return public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
end $$;

revoke execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid)
  from public, anon, authenticated;
grant execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid) to service_role;

-- schemas/administration/admin_stats.sql

-- Returns the platform's figures to the service, on behalf of an admin.
create or replace function public.admin_stats(p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_user_id, 'stats');
  return (select to_jsonb(s) from public.platform_stats() s);
end $$;

revoke execute on function public.admin_stats(uuid) from public, anon, authenticated;
grant execute on function public.admin_stats(uuid) to service_role;

-- schemas/administration/get_admin_stats.sql

-- Returns the platform's figures to a signed-in admin, and to the service role, whose auth.uid() is null. The platform's
-- admin page calls it by this name.
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

revoke execute on function public.get_admin_stats() from public, anon, authenticated;
grant execute on function public.get_admin_stats() to authenticated, service_role;

-- schemas/administration/note_admin_action.sql

-- Records what an admin does. Raises `forbidden` for anybody else.
create or replace function public.note_admin_action(p_admin_id uuid, p_action text, p_user_id uuid default null, p_details jsonb default '{}')
returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform public.require_admin(p_admin_id);
  insert into public.admin_actions (admin_id, action, user_id, details)
    values (p_admin_id, p_action, p_user_id, jsonb_strip_nulls(p_details));
end $$;

revoke execute on function public.note_admin_action(uuid, text, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.note_admin_action(uuid, text, uuid, jsonb) to service_role;

-- schemas/administration/platform_stats.sql

-- Returns the platform's figures, for get_admin_stats and admin_stats, which check who asks. Entries of type `grant` and
-- `adjustment` do not count as use.
create or replace function public.platform_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language sql stable security definer set search_path = '' as $$
  with used as (
    select user_id, credits_used, created_at from public.credit_usage where operation_type not in ('grant', 'adjustment')
  )
  select
    (select count(*) from auth.users),
    (select count(*) from public.agents),
    (select count(*) from public.agents where created_at >= now() - interval '7 days'),
    (select count(*) from public.agents where created_at >= now() - interval '30 days'),
    (select count(distinct user_id) from used where created_at >= now() - interval '30 days'),
    (select coalesce(sum(credits_used), 0)::bigint from used),
    (select coalesce(sum(credits_used), 0)::bigint from used where created_at >= now() - interval '7 days'),
    (select count(*) from public.credit_balances where plan_type = 'pro'),
    (select count(*) from public.credit_balances where plan_type = 'expert')
$$;

revoke execute on function public.platform_stats() from public, anon, authenticated;
grant execute on function public.platform_stats() to service_role;

-- schemas/administration/require_admin.sql

-- Raises `forbidden` unless the user is an admin. For functions that take the user on whose behalf they are called.
create or replace function public.require_admin(p_admin_id uuid) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if not exists (select from public.user_roles where user_id = p_admin_id and role = 'admin') then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'This is for admins.';
  end if;
end $$;

revoke execute on function public.require_admin(uuid) from public, anon, authenticated;
grant execute on function public.require_admin(uuid) to service_role;

-- schemas/agents/get_agent.sql

-- Returns an agent that the user may run, and where it runs. The edge function asks for it.
create or replace function public.get_agent(p_user_id uuid, p_agent_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_agent public.agents;
begin
  select * into v_agent from public.agents where id = p_agent_id and (is_published or user_id = p_user_id);
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  return jsonb_build_object(
    'agentId', v_agent.id, 'name', v_agent.name, 'systemPrompt', v_agent.system_prompt, 'model', v_agent.ai_model,
    'temperature', v_agent.temperature, 'maxTokens', case when v_agent.max_tokens > 0 then v_agent.max_tokens end, 'knowledgeBase', v_agent.knowledge_base,
    'executor', v_agent.executor, 'isHeavy', coalesce(v_agent.is_heavy, false), 'railwayUrl', v_agent.railway_url,
    'hasFunctions', exists (select from public.agent_functions f where f.agent_id = p_agent_id and coalesce(f.is_enabled, true)));
end $$;

revoke execute on function public.get_agent(uuid, uuid) from public, anon, authenticated;
grant execute on function public.get_agent(uuid, uuid) to service_role;

-- schemas/agents/guard_agent_executor.sql

-- Refuses users who set where an agent runs or what runs it; only admins and the service do. The edge function sends its
-- secret to `railway_url`, and `entrypoint` names code that the service runs. A blank value, or the value that the row
-- already has, may be saved by anybody who may write the row.
create or replace function public.guard_agent_executor() returns trigger
language plpgsql set search_path = '' as $$
declare
  -- current_user is the role of the request; within a function that has its owner's rights it is the owner.
  v_is_user boolean := current_user in ('anon', 'authenticated');
  v_before jsonb := '{}';
begin
  if not v_is_user then
    return new;
  end if;
  -- An insert may turn out to be an upsert of a row that exists.
  select to_jsonb(a) into v_before from public.agents a where a.id = case when tg_op = 'UPDATE' then old.id else new.id end;
  if (coalesce(new.railway_url, '') not in ('', coalesce(v_before ->> 'railway_url', ''))
      or new.executor not in ('model', coalesce(v_before ->> 'executor', ''))
      or coalesce(new.entrypoint, '') not in ('', coalesce(v_before ->> 'entrypoint', '')))
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'Only admins set an agent''s railway_url, executor or entrypoint.';
  end if;
  return new;
end $$;

create or replace trigger guard_agent_executor before insert or update on public.agents for each row
  execute function public.guard_agent_executor();

revoke execute on function public.guard_agent_executor() from public, anon, authenticated;

-- schemas/agents/guard_function_code.sql

-- Refuses users who create functions of type `python`, or who change which code such a function names; only admins and
-- the service do.
create or replace function public.guard_function_code() returns trigger
language plpgsql set search_path = '' as $$
begin
  if current_user in ('anon', 'authenticated') and new.function_type = 'python'
    and not exists (
      select from public.agent_functions f
        where f.id = case when tg_op = 'UPDATE' then old.id else new.id end and f.agent_id = new.agent_id
          and f.function_type = 'python' and f.config -> 'entrypoint' is not distinct from new.config -> 'entrypoint')
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'Only admins make functions that are Python, or say what code they are.';
  end if;
  return new;
end $$;

create or replace trigger guard_function_code before insert or update on public.agent_functions for each row
  execute function public.guard_function_code();

revoke execute on function public.guard_function_code() from public, anon, authenticated;

-- schemas/common/iso_time.sql

-- Formats a time as ISO 8601 in UTC with milliseconds.
create or replace function public.iso_time(p_time timestamptz) returns text
language sql immutable set search_path = '' as $$
  select to_char(p_time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

revoke execute on function public.iso_time(timestamp with time zone) from public, anon, authenticated;
grant execute on function public.iso_time(timestamp with time zone) to service_role;

-- schemas/common/schema_version.sql

-- Returns {version, oldest, writable}: the version of these definitions, the oldest version of the service's code that
-- they still serve, and whether the database accepts writes, which a standby does not. The service compares them with
-- its own version before it uses the database.
create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 4, 'oldest', 1,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off')
$$;

revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;

-- schemas/credits/adjust_ledger.sql

-- Adds the entries that make each ledger add up to its balance, with the given reason. It is meant for balances that were
-- changed on purpose without an entry. Returns {adjusted}: the number of balances.
create or replace function public.adjust_ledger(p_reason text) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_count integer;
begin
  if coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An adjustment needs a reason.';
  end if;
  -- A change during the comparison would be entered twice.
  lock table public.credit_balances, public.credit_usage in share row exclusive mode;
  insert into public.credit_openings (user_id, credits)
    select e.user_id, e.actual + (select coalesce(sum(u.credits_used), 0) from public.credit_usage u where u.user_id = e.user_id)
      from public.expected_balances() e where e.expected is null;
  insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
    select e.user_id, e.expected - e.actual, 'adjustment', jsonb_build_object('reason', p_reason)
      from public.expected_balances() e where e.actual <> e.expected;
  get diagnostics v_count = row_count;
  return jsonb_build_object('adjusted', v_count);
end $$;

revoke execute on function public.adjust_ledger(text) from public, anon, authenticated;
grant execute on function public.adjust_ledger(text) to service_role;

-- schemas/credits/audit_credits.sql

-- Compares balances, ledger and runs in one snapshot.
-- Returns {checked: {balances, entries, runs}, problems: [{kind, userId, runId, expected, found, message}], total}, with
-- at most p_limit of the problems; `total` is the number of all.
create or replace function public.audit_credits(p_limit integer default 100) returns jsonb
language sql stable security definer set search_path = '' as $$
  with per_run as (
    select run_id, sum(credits_used)::bigint as entered, (array_agg(user_id))[1] as user_id
      from public.credit_usage where run_id is not null group by run_id
  ), held as (
    select user_id, sum(credits_reserved)::bigint as credits
      from public.agent_runs where finished_at is null and credits_reserved > 0 group by user_id
  ), problem (kind, user_id, run_id, expected, found, message) as (
    select 'balance', user_id, null::uuid, expected, actual,
        case when expected is null then 'The balance has no opening to be held against.'
          else 'The balance is not what its ledger makes of it.' end
      from public.expected_balances() where actual is distinct from expected
    union all
    select 'negative_balance', user_id, null, 0, credits_remaining::bigint, 'The balance is below zero.'
      from public.credit_balances where credits_remaining < 0
    union all
    select 'reservation', coalesce(b.user_id, h.user_id), null, coalesce(h.credits, 0), coalesce(b.credits_reserved, 0)::bigint,
        'What is reserved is not what the runs under way hold.'
      from public.credit_balances b full join held h on h.user_id = b.user_id
      where coalesce(h.credits, 0) <> coalesce(b.credits_reserved, 0)
    union all
    select 'charge', coalesce(r.user_id, e.user_id), coalesce(r.id, e.run_id), coalesce(r.credits_charged, 0)::bigint,
        coalesce(e.entered, 0), case when r.id is null then 'The ledger has an entry for a run that is not there.'
          else 'What the run was charged is not what the ledger says.' end
      from (select * from public.agent_runs where credits_charged > 0) r full join per_run e on e.run_id = r.id
      where coalesce(r.credits_charged, 0) <> coalesce(e.entered, 0)
        -- The ledger of a deleted user is deleted too.
        and exists (select from auth.users a where a.id = coalesce(r.user_id, e.user_id))
    union all
    select 'held_after_end', user_id, id, 0, credits_reserved::bigint, 'The run has ended and holds credits still.'
      from public.agent_runs where finished_at is not null and credits_reserved > 0
    union all
    select 'stuck', user_id, id, null, null, 'The run has not ended, and no process has had it for ten minutes.'
      from public.agent_runs r
      where finished_at is null and greatest(lease_until, created_at) < now() - interval '10 minutes'
        and not exists (
          select from public.agent_workers w
            where w.lease_until > now() - interval '10 minutes'
              -- A released run waits for any living process.
              and (w.owner = r.owner or r.lease_until = '-infinity'))
  ), numbered as (
    select *, row_number() over (order by kind, user_id, run_id) as n from problem
  )
  select jsonb_build_object(
    'checked', jsonb_build_object(
      'balances', (select count(*) from public.credit_balances),
      'entries', (select count(*) from public.credit_usage),
      'runs', (select count(*) from public.agent_runs)),
    'problems', (select coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'userId', user_id, 'runId', run_id,
        'expected', expected, 'found', found, 'message', message) order by n), '[]') from numbered where n <= p_limit),
    'total', (select count(*) from problem))
$$;

revoke execute on function public.audit_credits(integer) from public, anon, authenticated;
grant execute on function public.audit_credits(integer) to service_role;

-- schemas/credits/credits_to_reserve.sql

-- Returns how many credits a run reserves at first: the price of a run, and the price of the tokens that its steps can
-- produce at most.
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

revoke execute on function public.credits_to_reserve(jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.credits_to_reserve(jsonb, jsonb) to service_role;

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
    raise sqlstate 'PT402' using hint = 'insufficient_credits', message = 'There are not enough credits.';
  end if;
  if p_credits > 0 then
    insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (p_user_id, p_credits, 'deduction', '{}');
  end if;
end $$;

revoke execute on function public.deduct_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.deduct_credits(uuid, integer) to service_role;

-- schemas/credits/extend_reservation.sql

-- Extends the reservation of a run to p_credits, or as far as the balance allows. Returns the reservation.
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

revoke execute on function public.extend_reservation(uuid, integer) from public, anon, authenticated;
grant execute on function public.extend_reservation(uuid, integer) to service_role;

-- schemas/credits/get_credits.sql

-- Returns the balance of a user; a user without a balance has no credits.
create or replace function public.get_credits(p_user_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
      'creditsRemaining', coalesce(max(credits_remaining), 0),
      'creditsReserved', coalesce(max(credits_reserved), 0),
      'creditsUsedThisMonth', coalesce(max(credits_used_this_month), 0),
      'planType', coalesce(max(plan_type), 'free'))
    from public.credit_balances where user_id = p_user_id
$$;

revoke execute on function public.get_credits(uuid) from public, anon, authenticated;
grant execute on function public.get_credits(uuid) to service_role;

-- schemas/credits/grant_credits.sql

-- Gives credits to a user and enters them in the ledger as a negative use. Returns the balance.
create or replace function public.grant_credits(p_user_id uuid, p_credits integer, p_reason text, p_granted_by uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_credits is null or p_credits < 1 or coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'A grant is of one credit or more, and has a reason.';
  end if;
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  insert into public.credit_balances (user_id, credits_remaining) values (p_user_id, 0) on conflict (user_id) do nothing;
  update public.credit_balances set credits_remaining = coalesce(credits_remaining, 0) + p_credits
    where user_id = p_user_id and coalesce(credits_remaining, 0)::bigint + credits_reserved + p_credits <= 2147483647;
  if not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The balance would be larger than a balance can be.';
  end if;
  insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
    values (p_user_id, -p_credits, 'grant', jsonb_build_object('reason', p_reason, 'grantedBy', p_granted_by));
  return public.get_credits(p_user_id);
end $$;

revoke execute on function public.grant_credits(uuid, integer, text, uuid) from public, anon, authenticated;
grant execute on function public.grant_credits(uuid, integer, text, uuid) to service_role;

-- schemas/credits/open_balance.sql

-- Notes the opening of a new balance, so that the audit can compare the balance with its ledger.
create or replace function public.open_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.credit_openings (user_id, credits)
    values (new.user_id, coalesce(new.credits_remaining, 0) + new.credits_reserved
      + (select coalesce(sum(credits_used), 0) from public.credit_usage where user_id = new.user_id))
    on conflict do nothing;
  return null;
end $$;

create or replace trigger open_balance after insert on public.credit_balances for each row
  when (new.user_id is not null) execute function public.open_balance();

revoke execute on function public.open_balance() from public, anon, authenticated;
grant execute on function public.open_balance() to service_role;

-- schemas/credits/rates_of.sql

-- Returns {model: {perRun, perThousandTokens}} for a list of models. The rate of all other models is under '*'; without a
-- row for it, that is one credit a run.
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

revoke execute on function public.rates_of(jsonb) from public, anon, authenticated;
grant execute on function public.rates_of(jsonb) to service_role;

-- schemas/credits/replace_bare_deduction.sql

-- Removes the ledger entry that deduct_credits has just made when its caller adds an entry of its own for the same
-- credits, as the platform's functions do. Otherwise the ledger would count them twice.
create or replace function public.replace_bare_deduction() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.credit_usage where id = (
    select id from public.credit_usage
      where user_id = new.user_id and operation_type = 'deduction' and credits_used = new.credits_used
        and created_at > now() - interval '1 minute'
      order by created_at limit 1 for update skip locked);
  return new;
end $$;

create or replace trigger replace_bare_deduction before insert on public.credit_usage for each row
  when (new.run_id is null and new.operation_type not in ('deduction', 'grant', 'adjustment'))
  execute function public.replace_bare_deduction();

revoke execute on function public.replace_bare_deduction() from public, anon, authenticated;

-- schemas/credits/reserve_credits.sql

-- Moves credits of a user from remaining to reserved. Returns false if there are too few.
create or replace function public.reserve_credits(p_user_id uuid, p_credits integer) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits, credits_reserved = credits_reserved + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  if found then
    return true;
  end if;
  -- Before a user is refused, the runs that no process will continue return their reservations.
  if not public.end_forsaken_runs(p_user_id) then
    return false;
  end if;
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits, credits_reserved = credits_reserved + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  return found;
end $$;

revoke execute on function public.reserve_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.reserve_credits(uuid, integer) to service_role;

-- schemas/leases/claim_run.sql

-- Takes one run, which the queue has handed out by its id.
--   p_max_per_user  how many runs of one user may be under way at a time, over all processes
--   p_keep_first    see take_run
-- Returns {claimed} or {refused}, which is one of `ended`; `owned`, a living process has the run; `busy`, the user has
-- p_max_per_user runs under way; `unable`, the agent is written in Python and this process cannot run it.
create or replace function public.claim_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_per_user integer, p_python boolean default true,
  p_max_crashes integer default 20, p_keep_first boolean default true
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_taken jsonb;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found or v_run.finished_at is not null then
    return '{"refused": "ended"}';
  elsif not public.is_abandoned(v_run) then
    return '{"refused": "owned"}';
  elsif not p_python and public.is_python_run(p_run_id) then
    return '{"refused": "unable"}';
  end if;
  -- If two processes take the user's last slot at once, the second waits here until the first has it.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('slots of ' || v_run.user_id, 0));
  if (select count(*) from public.agent_runs r
      where user_id = v_run.user_id and finished_at is null and owner is not null and id <> p_run_id
        and not public.is_abandoned(r)) >= p_max_per_user then
    return '{"refused": "busy"}';
  end if;
  v_taken := public.take_run(p_run_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, true);
  return case when v_taken is null then '{"refused": "ended"}' else jsonb_build_object('claimed', v_taken) end;
end $$;

revoke execute on function public.claim_run(uuid, uuid, numeric, integer, boolean, integer, boolean)
  from public, anon, authenticated;
grant execute on function public.claim_run(uuid, uuid, numeric, integer, boolean, integer, boolean) to service_role;

-- schemas/leases/claim_runs.sql

-- Takes over abandoned runs, oldest first, each as a new attempt. A run during which p_max_crashes processes have died
-- is ended instead and costs nothing.
--   p_python      false leaves runs of agents written in Python to other processes
--   p_keep_first  see take_run
--   p_lapsed      true takes only runs whose owner has stopped its heartbeats; runs that wait, or were released, are
--                 handed out by claim_run
-- Returns {claimed: [{run, userId, cancel, input, steps}], outstanding}: `outstanding` is true if any run is unfinished.
create or replace function public.claim_runs(
  p_owner uuid, p_lease_seconds numeric, p_limit integer, p_max_crashes integer default 20, p_python boolean default true,
  p_keep_first boolean default false, p_lapsed boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_taken jsonb;
  v_claimed jsonb := '[]';
begin
  for v_id in
    select id from public.agent_runs r
      where finished_at is null and lease_until < now() and public.is_abandoned(r)
        and (not p_lapsed or (owner is not null and lease_until > '-infinity'))
        and (p_python or not public.is_python_run(id))
      order by lease_until, created_at
      limit p_limit
      for update skip locked
  loop
    v_taken := public.take_run(v_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, false);
    if v_taken is not null then
      v_claimed := v_claimed || v_taken;
    end if;
  end loop;
  return jsonb_build_object(
    'claimed', v_claimed,
    'outstanding', exists (select from public.agent_runs where finished_at is null));
end $$;

revoke execute on function public.claim_runs(uuid, numeric, integer, integer, boolean, boolean, boolean)
  from public, anon, authenticated;
grant execute on function public.claim_runs(uuid, numeric, integer, integer, boolean, boolean, boolean)
  to service_role;

-- schemas/leases/end_forsaken_runs.sql

-- Ends the runs of a user that no process has owned for ten minutes, and returns whether there were any. Such runs exist
-- where the edge function runs agents and no service takes them over. A run that waits for a slot counts as forsaken only
-- if no process lives.
create or replace function public.end_forsaken_runs(p_user_id uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_any boolean := false;
begin
  for v_run in
    select * from public.agent_runs r
      where user_id = p_user_id and finished_at is null
        and case when lease_until > '-infinity' then lease_until else created_at end < now() - interval '10 minutes'
        and public.is_abandoned(r)
        and ((lease_until > '-infinity' and (owner is not null or status = 'running'))
          or not exists (select from public.agent_workers w where w.lease_until > now() - interval '10 minutes'))
      for update skip locked
  loop
    update public.agent_runs set attempt = attempt + 1 where id = v_run.id;
    perform public.finish_run(v_run.id, v_run.attempt + 1, 'failed', '', null, null, 0, null, jsonb_build_object(
      'code', 'abandoned', 'message', 'The run was ended: nobody went on with it.'));
    v_any := true;
  end loop;
  return v_any;
end $$;

revoke execute on function public.end_forsaken_runs(uuid) from public, anon, authenticated;
grant execute on function public.end_forsaken_runs(uuid) to service_role;

-- schemas/leases/get_owned_runs.sql

-- Returns the unfinished runs of a process as {id: attempt}.
create or replace function public.get_owned_runs(p_owner uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_object_agg(id, attempt), '{}') from public.agent_runs
    where owner = p_owner and finished_at is null
$$;

revoke execute on function public.get_owned_runs(uuid) from public, anon, authenticated;
grant execute on function public.get_owned_runs(uuid) to service_role;

-- schemas/leases/heartbeat_worker.sql

-- Extends the lease of a process, and with it the lease of all its runs.
-- Returns {lapsed, owned, cancel}: whether the lease had run out, so that other processes may have taken its runs; how many
-- runs it owns; and which of them are to be cancelled.
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

revoke execute on function public.heartbeat_worker(uuid, numeric) from public, anon, authenticated;
grant execute on function public.heartbeat_worker(uuid, numeric) to service_role;

-- schemas/leases/is_abandoned.sql

-- Returns whether a run is unfinished and no living process owns it. A lease of '-infinity' means that its owner released
-- it.
create or replace function public.is_abandoned(r public.agent_runs) returns boolean
language sql stable set search_path = '' as $$
  select r.finished_at is null and r.lease_until < now()
    and (r.lease_until = '-infinity' or not exists (
      select from public.agent_workers w where w.owner = r.owner and w.lease_until >= now()))
$$;

revoke execute on function public.is_abandoned(public.agent_runs) from public, anon, authenticated;
grant execute on function public.is_abandoned(public.agent_runs) to service_role;

-- schemas/leases/is_python_run.sql

-- Returns whether a run's agent is written in Python.
create or replace function public.is_python_run(p_run_id uuid) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (
    select from public.agent_run_inputs where run_id = p_run_id and input -> 'agent' ->> 'executor' = 'python')
$$;

revoke execute on function public.is_python_run(uuid) from public, anon, authenticated;
grant execute on function public.is_python_run(uuid) to service_role;

-- schemas/leases/list_waiting_runs.sql

-- Returns runs that wait for a process, oldest first: {runs: [{runId, userId}], outstanding}. The queue hands them out.
--   p_queued  true includes runs that never had an owner; they are in the queue already, unless the queue was lost
create or replace function public.list_waiting_runs(p_limit integer, p_queued boolean) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'runs', coalesce((
      select jsonb_agg(jsonb_build_object('runId', id, 'userId', user_id) order by created_at) from (
        select id, user_id, created_at from public.agent_runs r
          where finished_at is null and lease_until < now() and public.is_abandoned(r)
            and (lease_until = '-infinity' or (owner is null and (p_queued or status = 'running')))
          order by created_at limit p_limit) u), '[]'),
    'outstanding', exists (select from public.agent_runs where finished_at is null))
$$;

revoke execute on function public.list_waiting_runs(integer, boolean) from public, anon, authenticated;
grant execute on function public.list_waiting_runs(integer, boolean) to service_role;

-- schemas/leases/release_runs.sql

-- Releases the runs of a process, so that another takes them over at once.
--   p_owner    null releases the runs of all processes; for a process that is the only one
--   p_crashed  true if the owner died
--   p_run_ids  releases only these runs; their owner lives but has lost track of them
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

revoke execute on function public.release_runs(uuid, boolean, jsonb) from public, anon, authenticated;
grant execute on function public.release_runs(uuid, boolean, jsonb) to service_role;

-- schemas/leases/take_run.sql

-- Gives an abandoned run to a process, as a new attempt.
--   p_keep_first  true keeps the first attempt of a run that never had an owner: none of its events has another author
--   p_starts      true if the run has a slot
-- Returns what the process needs to make the attempt, or null if the run was ended because p_max_crashes processes have
-- died while they owned it.
create or replace function public.take_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_crashes integer, p_keep_first boolean, p_starts boolean
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_is_fresh boolean;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  v_is_fresh := v_run.owner is null and v_run.status = 'queued' and v_run.attempt = 1;
  update public.agent_runs
    set attempt = case when v_is_fresh and p_keep_first then attempt else attempt + 1 end,
        crashes = case when v_is_fresh or lease_until = '-infinity' then crashes else crashes + 1 end,
        status = case when p_starts then 'running' else status end,
        started_at = case when p_starts then coalesce(started_at, now()) else started_at end,
        owner = p_owner, lease_until = now() + make_interval(secs => p_lease_seconds)
    where id = p_run_id
    returning * into v_run;
  if v_run.crashes >= p_max_crashes then
    begin
      perform public.finish_run(v_run.id, v_run.attempt, 'failed', '', null, null, 0, null, jsonb_build_object(
        'code', 'crashed_too_often', 'message', 'The run was ended: the server broke down over it again and again.'));
    exception when lock_not_available then
      -- Another transaction holds the user's balance. The run is ended by a later claim.
      null;
    end;
    return null;
  end if;
  return jsonb_build_object(
    'run', public.run_json(v_run),
    'userId', v_run.user_id,
    'cancel', v_run.cancel_requested,
    'input', (select input from public.agent_run_inputs where run_id = v_run.id),
    'steps', public.checkpoints_of(v_run.id));
end $$;

revoke execute on function public.take_run(uuid, uuid, numeric, integer, boolean, boolean)
  from public, anon, authenticated;
grant execute on function public.take_run(uuid, uuid, numeric, integer, boolean, boolean) to service_role;

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
        message = 'This agent is written in Python, which this server cannot run.';
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

revoke execute on function public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb)
  from public, anon, authenticated;
grant execute on function public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb)
  to service_role;

-- schemas/runs/cancel_run.sql

-- Cancels a run. The process that owns it learns of this by its next heartbeat. If no living process owns the run, it ends
-- here and costs nothing.
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
    -- The cancellation is a new attempt, so that readers drop the text of the attempt before.
    update public.agent_runs set attempt = attempt + 1 where id = p_run_id returning * into v_run;
    return public.finish_run(v_run.id, v_run.attempt, 'cancelled', '', null, null, 0, null, null);
  end if;
  update public.agent_runs set cancel_requested = true where id = p_run_id and finished_at is null;
  return public.run_json(v_run);
end $$;

revoke execute on function public.cancel_run(uuid, uuid) from public, anon, authenticated;
grant execute on function public.cancel_run(uuid, uuid) to service_role;

-- schemas/runs/drop_run.sql

-- Ends a run that no process could be found for; it costs nothing. A run that has an owner or has ended stays as it is.
create or replace function public.drop_run(p_user_id uuid, p_run_id uuid, p_error jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.owner is not null or v_run.finished_at is not null then
    return public.run_json(v_run);
  end if;
  return public.finish_run(p_run_id, v_run.attempt, 'failed', '', null, null, 0, null, p_error);
end $$;

revoke execute on function public.drop_run(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.drop_run(uuid, uuid, jsonb) to service_role;

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
        model = coalesce(p_model, model), error = p_error, credits_reserved = 0, credits_charged = v_charged,
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

-- schemas/runs/get_ended_runs.sql

-- Returns those of the given runs that have ended, with the traces from which their events are replayed: [{run, trace}].
create or replace function public.get_ended_runs(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('run', public.run_json(r), 'trace', t.trace)), '[]')
    from jsonb_array_elements_text(p_run_ids) as wanted (id)
    join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is not null
    left join public.agent_run_traces t on t.run_id = r.id
$$;

revoke execute on function public.get_ended_runs(jsonb) from public, anon, authenticated;
grant execute on function public.get_ended_runs(jsonb) to service_role;

-- schemas/runs/get_run.sql

-- Returns one run of a user.
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

revoke execute on function public.get_run(uuid, uuid) from public, anon, authenticated;
grant execute on function public.get_run(uuid, uuid) to service_role;

-- schemas/runs/list_runs.sql

-- Returns a page of a user's runs, newest first, as {runs, next}. p_after is the `next` of the page before.
create or replace function public.list_runs(
  p_user_id uuid,
  p_limit integer,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_user_id is null then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'Whose runs?';
  end if;
  return public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
end $$;

revoke execute on function public.list_runs(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
grant execute on function public.list_runs(uuid, integer, text, uuid, uuid) to service_role;

-- schemas/runs/page_of_runs.sql

-- Returns a page of runs, newest first, as {runs, next}, each run with its user. p_user_id null means everybody's runs;
-- p_after is the `next` of the page before, which is the id of its last run.
create or replace function public.page_of_runs(p_user_id uuid, p_limit integer, p_status text, p_agent_id uuid, p_after uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_after public.agent_runs;
begin
  select * into v_after from public.agent_runs where id = p_after and (p_user_id is null or user_id = p_user_id);
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select r from public.agent_runs r
      where (p_user_id is null or r.user_id = p_user_id)
        and (p_status is null or r.status = p_status)
        and (p_agent_id is null or r.agent_id = p_agent_id)
        and (p_after is null or (r.created_at, r.id) < (v_after.created_at, v_after.id))
      order by r.created_at desc, r.id desc
      limit p_limit + 1
  ), numbered as (
    select r, row_number() over (order by (r).created_at desc, (r).id desc) as n from page
  )
  select jsonb_build_object(
    'runs', coalesce((select jsonb_agg(public.run_json(r) || jsonb_build_object('userId', (r).user_id) order by n)
      from numbered where n <= p_limit), '[]'),
    'next', (select (r).id from numbered where n = p_limit and exists (select from numbered where n > p_limit))));
end $$;

revoke execute on function public.page_of_runs(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
grant execute on function public.page_of_runs(uuid, integer, text, uuid, uuid) to service_role;

-- schemas/runs/start_run.sql

-- Marks a queued run as running, once it has a slot.
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

revoke execute on function public.start_run(uuid, integer) from public, anon, authenticated;
grant execute on function public.start_run(uuid, integer) to service_role;

-- schemas/schedules/claim_deliveries.sql

-- Takes results that are to be sent now, for p_lease_seconds. The try counts even if the process dies during it.
create or replace function public.claim_deliveries(p_lease_seconds numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_deliveries jsonb;
begin
  with claimed as (
    update public.scheduled_runs r
      set delivery_at = now() + make_interval(secs => p_lease_seconds), delivery_tries = delivery_tries + 1
      where r.id in (
        select id from public.scheduled_runs where delivery_status = 'pending' and delivery_at <= now()
          order by delivery_at limit p_limit for update skip locked)
      returning r.*)
  select coalesce(jsonb_agg(jsonb_build_object(
      'id', c.id, 'scheduleId', c.schedule_id, 'runId', c.run_id, 'tries', c.delivery_tries, 'result', to_jsonb(c) ->> 'result',
      'scheduledFor', public.iso_time(c.scheduled_for), 'completedAt', public.iso_time(c.completed_at::timestamptz),
      'agentId', s.agent_id, 'userId', s.user_id, 'action', s.output_action, 'config', s.output_config,
      'prompt', s.prompt_template, 'timezone', s.timezone)), '[]')
    into v_deliveries
    from claimed c join public.agent_schedules s on s.id = c.schedule_id;
  return v_deliveries;
end $$;

revoke execute on function public.claim_deliveries(numeric, integer) from public, anon, authenticated;
grant execute on function public.claim_deliveries(numeric, integer) to service_role;

-- schemas/schedules/claim_firings.sql

-- Takes over firings whose process died before their run began.
create or replace function public.claim_firings(p_lease_seconds numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_firings jsonb;
begin
  with claimed as (
    update public.scheduled_runs r set lease_until = now() + make_interval(secs => p_lease_seconds)
      where r.id in (
        select id from public.scheduled_runs where run_id is null and request is not null and lease_until < now()
          order by lease_until limit p_limit for update skip locked)
      returning r.*)
  select coalesce(jsonb_agg(public.firing_json(c)), '[]') into v_firings from claimed c;
  return v_firings;
end $$;

revoke execute on function public.claim_firings(numeric, integer) from public, anon, authenticated;
grant execute on function public.claim_firings(numeric, integer) to service_role;

-- schemas/schedules/fail_firing.sql

-- Ends a firing whose run will never begin.
create or replace function public.fail_firing(p_id uuid, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set (status, error) = (
          select p.status, p.error
            from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p),
        completed_at = now(), request = null, lease_until = null
    where id = p_id and run_id is null and request is not null;
  return jsonb_build_object('failed', found);
end $$;

revoke execute on function public.fail_firing(uuid, text) from public, anon, authenticated;
grant execute on function public.fail_firing(uuid, text) to service_role;

-- schemas/schedules/fault_schedule.sql

-- Reports a faulty schedule once, by a failed row in scheduled_runs, and stops planning it until it is edited.
--   p_since  when it was due, or since when it waits to be planned, as it was read
-- Returns {told}: whether this call has reported it.
create or replace function public.fault_schedule(p_schedule_id uuid, p_since timestamptz, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_told boolean;
begin
  update public.agent_schedules set next_run_at = null, unplanned_since = null
    where id = p_schedule_id and date_trunc('milliseconds', coalesce(unplanned_since, next_run_at)) = p_since;
  v_told := found;
  if v_told then
    insert into public.scheduled_runs (id, schedule_id, status, error, started_at, completed_at)
      select gen_random_uuid(), p_schedule_id, p.status, p.error, now(), now()
        from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p;
  end if;
  return jsonb_build_object('told', v_told);
end $$;

revoke execute on function public.fault_schedule(uuid, timestamp with time zone, text)
  from public, anon, authenticated;
grant execute on function public.fault_schedule(uuid, timestamp with time zone, text) to service_role;

-- schemas/schedules/fire_schedule.sql

-- Moves a due schedule to its next time and writes the row of its firing. Only one of several callers succeeds.
--   p_due      the time that the schedule was due, as it was read, in milliseconds
--   p_for      the time of the firing: the latest of those that were missed
--   p_content  the question to the agent
-- Returns the firing, or null if the schedule was fired or edited in the meantime.
create or replace function public.fire_schedule(
  p_schedule_id uuid, p_due timestamptz, p_for timestamptz, p_next timestamptz, p_content text, p_lease_seconds numeric
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_schedule public.agent_schedules;
  v_id uuid;
begin
  update public.agent_schedules set next_run_at = p_next
    where id = p_schedule_id and is_active and date_trunc('milliseconds', next_run_at) = p_due
    returning * into v_schedule;
  if not found then
    return null;
  end if;
  insert into public.scheduled_runs (id, schedule_id, status, started_at, scheduled_for, request, lease_until)
    select gen_random_uuid(), p_schedule_id, p.status, now(), p_for,
        jsonb_build_object('userId', v_schedule.user_id, 'agentId', v_schedule.agent_id, 'content', p_content),
        now() + make_interval(secs => p_lease_seconds)
      from jsonb_populate_record(null::public.scheduled_runs, '{"status": "running"}') p
    on conflict do nothing
    returning id into v_id;
  return (select public.firing_json(r) from public.scheduled_runs r where r.id = v_id);
end $$;

revoke execute on function public.fire_schedule(uuid, timestamp with time zone, timestamp with time zone, timestamp with time zone, text, numeric)
  from public, anon, authenticated;
grant execute on function public.fire_schedule(uuid, timestamp with time zone, timestamp with time zone, timestamp with time zone, text, numeric)
  to service_role;

-- schemas/schedules/firing_json.sql

-- Returns a firing that has no run yet, with all that is needed to begin the run.
create or replace function public.firing_json(r public.scheduled_runs) returns jsonb
language sql stable set search_path = '' as $$
  select r.request || jsonb_build_object('id', r.id, 'scheduleId', r.schedule_id, 'startedAt', public.iso_time(r.started_at), 'now', public.iso_time(now()))
$$;

revoke execute on function public.firing_json(public.scheduled_runs) from public, anon, authenticated;
grant execute on function public.firing_json(public.scheduled_runs) to service_role;

-- schemas/schedules/get_schedules.sql

-- Returns active schedules with all that is needed to plan and fire them: {now, schedules}.
create or replace function public.get_schedules(p_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'schedules', coalesce(jsonb_agg(jsonb_build_object(
      'id', s.id, 'userId', s.user_id, 'agentId', s.agent_id, 'cron', s.cron_expression, 'timezone', s.timezone,
      'prompt', s.prompt_template, 'action', s.output_action, 'config', s.output_config,
      'nextRunAt', public.iso_time(s.next_run_at), 'unplannedSince', public.iso_time(s.unplanned_since))), '[]'))
    from public.agent_schedules s
    where s.is_active and s.id in (select value::uuid from jsonb_array_elements_text(p_ids))
$$;

revoke execute on function public.get_schedules(jsonb) from public, anon, authenticated;
grant execute on function public.get_schedules(jsonb) to service_role;

-- schemas/schedules/guard_schedule.sql

-- Refuses schedules on another user's account, and keeps the planning to the service: a new or edited schedule is planned
-- again. `unplanned_since` is the moment of the edit, so that no firing between the edit and the planning is lost.
create or replace function public.guard_schedule() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_is_user boolean := current_user in ('anon', 'authenticated');
begin
  if v_is_user and new.user_id is distinct from auth.uid()
    and (tg_op = 'INSERT' or new.user_id is distinct from old.user_id)
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'A schedule is its own user''s.';
  end if;
  if tg_op = 'INSERT' then
    new.next_run_at := null;
    new.unplanned_since := now();
    return new;
  end if;
  -- A page that saves the whole row sends these back as it has read them.
  if v_is_user then
    new.next_run_at := old.next_run_at;
    new.unplanned_since := old.unplanned_since;
  end if;
  if (new.cron_expression, new.timezone, new.is_active) is distinct from (old.cron_expression, old.timezone, old.is_active)
    or (old.next_run_at is null and old.unplanned_since is null
      and (new.user_id, new.agent_id, new.prompt_template, new.output_action, new.output_config)
        is distinct from (old.user_id, old.agent_id, old.prompt_template, old.output_action, old.output_config))
  then
    new.next_run_at := null;
    new.unplanned_since := now();
  end if;
  return new;
end $$;

create or replace trigger guard_schedule before insert or update on public.agent_schedules for each row
  execute function public.guard_schedule();

revoke execute on function public.guard_schedule() from public, anon, authenticated;
grant execute on function public.guard_schedule() to service_role;

-- schemas/schedules/link_scheduled_run.sql

-- Links a run and its firing when the run is inserted, so that the link survives the death of the process. The run's
-- idempotency key names the firing. A user who sends such a key gains nothing: the run's user must be the firing's.
create or replace function public.link_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs set run_id = new.id, request = null, lease_until = null
    where id = substr(new.idempotency_key, 10)::uuid and run_id is null and request ->> 'userId' = new.user_id::text;
  return null;
end $$;

create or replace trigger link_scheduled_run after insert on public.agent_runs for each row
  when (new.idempotency_key ~ '^schedule:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$')
  execute function public.link_scheduled_run();

revoke execute on function public.link_scheduled_run() from public, anon, authenticated;
grant execute on function public.link_scheduled_run() to service_role;

-- schemas/schedules/list_schedules.sql

-- Returns the schedules that are due within p_within_seconds (null: at any time), the earliest first, and the ids of the
-- schedules that have to be planned: {now, timed: [{id, cron, timezone, nextRunAt}], unplanned: [id]}.
create or replace function public.list_schedules(p_within_seconds numeric, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'timed', (
      select coalesce(jsonb_agg(jsonb_build_object(
          'id', s.id, 'cron', s.cron_expression, 'timezone', s.timezone, 'nextRunAt', public.iso_time(s.next_run_at)) order by s.next_run_at), '[]')
        from (
          select * from public.agent_schedules
            where is_active and next_run_at is not null
              and (p_within_seconds is null or next_run_at <= now() + make_interval(secs => p_within_seconds))
            order by next_run_at limit p_limit) s),
    'unplanned', (
      select coalesce(jsonb_agg(s.id), '[]')
        from (
          select id from public.agent_schedules where is_active and unplanned_since is not null and id is not null
            order by unplanned_since limit p_limit) s))
$$;

revoke execute on function public.list_schedules(numeric, integer) from public, anon, authenticated;
grant execute on function public.list_schedules(numeric, integer) to service_role;

-- schemas/schedules/plan_schedule.sql

-- Sets when a schedule is due next, unless it was edited since it was read. Returns {planned}.
create or replace function public.plan_schedule(p_schedule_id uuid, p_cron text, p_timezone text, p_next timestamptz) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.agent_schedules set next_run_at = p_next, unplanned_since = null
    where id = p_schedule_id and unplanned_since is not null
      and cron_expression is not distinct from p_cron and timezone is not distinct from p_timezone;
  return jsonb_build_object('planned', found);
end $$;

revoke execute on function public.plan_schedule(uuid, text, text, timestamp with time zone)
  from public, anon, authenticated;
grant execute on function public.plan_schedule(uuid, text, text, timestamp with time zone) to service_role;

-- schemas/schedules/postpone_firing.sql

-- Lets a firing whose run could not begin be tried again after p_seconds, by any process.
create or replace function public.postpone_firing(p_id uuid, p_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs set lease_until = now() + make_interval(secs => p_seconds)
    where id = p_id and run_id is null and request is not null;
  return jsonb_build_object('postponed', found);
end $$;

revoke execute on function public.postpone_firing(uuid, numeric) from public, anon, authenticated;
grant execute on function public.postpone_firing(uuid, numeric) to service_role;

-- schemas/schedules/record_delivery.sql

-- Records the outcome of a try to send a result, unless another process has tried since.
--   p_status  `delivered`; `failed` for good; `pending`, to be tried again after p_seconds; or null if nothing is to be
--             sent any more
-- Returns {recorded}.
create or replace function public.record_delivery(
  p_id uuid, p_tries integer, p_status text, p_error text default null, p_seconds numeric default 0
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set delivery_status = p_status, delivery_at = now() + make_interval(secs => p_seconds)
    where id = p_id and delivery_tries = p_tries and delivery_status = 'pending';
  if found and p_status = 'failed' then
    update public.scheduled_runs r
      set (status, error) = (
        select p.status, p.error
          from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p)
      where id = p_id;
  end if;
  return jsonb_build_object('recorded', found);
end $$;

revoke execute on function public.record_delivery(uuid, integer, text, text, numeric)
  from public, anon, authenticated;
grant execute on function public.record_delivery(uuid, integer, text, text, numeric) to service_role;

-- schemas/schedules/settle_scheduled_run.sql

-- Copies the end of a run to its firing, in the transaction that settles the run. If the live table refuses the values,
-- the run is settled nevertheless.
create or replace function public.settle_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set (status, result, error) = (
          select p.status, p.result, p.error
            from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object(
              'status', case when new.status = 'succeeded' then 'completed' else 'failed' end,
              'result', case when new.status = 'succeeded' then new.response else nullif(new.response, '') end,
              'error', case new.status
                when 'failed' then coalesce(new.error ->> 'message', 'The run failed.')
                when 'cancelled' then 'The run was cancelled.' end)) p),
        completed_at = new.finished_at,
        delivery_status = case when new.status = 'succeeded' and exists (
          select from public.agent_schedules s where s.id = r.schedule_id and s.output_action in ('webhook', 'api_call')) then 'pending' end,
        delivery_at = now()
    where run_id = new.id;
  return null;
exception when data_exception or integrity_constraint_violation then
  raise warning 'scheduled_runs does not take the end of run %: %', new.id, sqlerrm;
  return null;
end $$;

create or replace trigger settle_scheduled_run after update of finished_at on public.agent_runs for each row
  when (old.finished_at is null and new.finished_at is not null and new.idempotency_key like 'schedule:%')
  execute function public.settle_scheduled_run();

revoke execute on function public.settle_scheduled_run() from public, anon, authenticated;
grant execute on function public.settle_scheduled_run() to service_role;

-- schemas/steps/checkpoints_of.sql

-- Returns the recorded steps of a run, in order, for the process that goes on with it.
create or replace function public.checkpoints_of(p_run_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(record || jsonb_build_object('step', step) order by step), '[]') from public.agent_run_checkpoints where run_id = p_run_id
$$;

revoke execute on function public.checkpoints_of(uuid) from public, anon, authenticated;
grant execute on function public.checkpoints_of(uuid) to service_role;

-- schemas/steps/get_told_steps.sql

-- Returns the events of finished steps of unfinished runs: [{runId, attempt, told: [{first, events}]}]. Readers that are
-- connected to another process than the run's get them this way.
--   p_cursors  {runId: the number of the last event that the reader knows}
create or replace function public.get_told_steps(p_cursors jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('runId', r.id, 'attempt', r.attempt, 'told', t.told)), '[]')
    from jsonb_each_text(p_cursors) as wanted (id, cursor)
    join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is null
    cross join lateral (
      select jsonb_agg(c.told order by c.step) as told from public.agent_run_checkpoints c
        where c.run_id = r.id and c.attempt = r.attempt and (c.told ->> 'first')::bigint + jsonb_array_length(c.told -> 'events') > wanted.cursor::bigint + 1) t
    where t.told is not null
$$;

revoke execute on function public.get_told_steps(jsonb) from public, anon, authenticated;
grant execute on function public.get_told_steps(jsonb) to service_role;

-- schemas/steps/record_step.sql

-- Records a finished step, so that it is never done again. A repeated call records nothing new.
--   p_step     {kind, name, finishReason, usage, startedAt}, which the user may read, and credits: the run's cost so far
--   p_record   what another process needs to go on after the step
--   p_credits  what the run may cost by the end of its next step; the reservation grows to that
--   p_told     the events since the step before: {first, events}
-- Returns {reserved, isEnough}.
create or replace function public.record_step(
  p_run_id uuid, p_attempt integer, p_number integer, p_step jsonb, p_record jsonb, p_credits integer default 0,
  p_told jsonb default null
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
  insert into public.agent_run_checkpoints (run_id, step, record, attempt, told)
    values (p_run_id, p_number, p_record, p_attempt, p_told)
    on conflict (run_id, step) do update set attempt = excluded.attempt, told = excluded.told;
  insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at)
    values (p_run_id, p_number, p_attempt, p_step ->> 'kind', p_step ->> 'name', p_step ->> 'finishReason', p_step -> 'usage',
      (p_step ->> 'startedAt')::timestamptz)
    on conflict do nothing;
  update public.agent_runs set credits_used = greatest(credits_used, (p_step ->> 'credits')::integer) where id = p_run_id;
  v_reserved := public.extend_reservation(p_run_id, p_credits);
  return jsonb_build_object('reserved', v_reserved, 'isEnough', not v_run.is_charged or v_reserved >= coalesce(p_credits, 0));
end $$;

revoke execute on function public.record_step(uuid, integer, integer, jsonb, jsonb, integer, jsonb)
  from public, anon, authenticated;
grant execute on function public.record_step(uuid, integer, integer, jsonb, jsonb, integer, jsonb) to service_role;

-- PostgREST learns of what is new.
notify pgrst, 'reload schema';
