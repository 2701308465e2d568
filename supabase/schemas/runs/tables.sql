-- One row a run. A run is written by the functions in runs, leases and steps only. Each of these functions is one
-- transaction, is executable by service_role alone, and raises what a caller did wrong as SQLSTATE PT<http status> with
-- the error's code in the hint. Functions that wait for rows of others give up after five seconds: a caller that has gone
-- must not leave a call behind that succeeds later.
create table public.agent_runs (
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
  cache_seconds integer,
  -- The API key that began the run, and the visitor on whose behalf a publishable one did; null for a user's session.
  api_key_id uuid,
  visitor text
);
create unique index agent_runs_idempotency on public.agent_runs (user_id, idempotency_key, api_key_id, visitor)
  nulls not distinct where idempotency_key is not null;
create index agent_runs_of_key on public.agent_runs (api_key_id, created_at) where api_key_id is not null;
create index agent_runs_newest on public.agent_runs (user_id, created_at desc, id desc);
create index agent_runs_newest_of_all on public.agent_runs (created_at desc, id desc);
create index agent_runs_unfinished on public.agent_runs (lease_until) where finished_at is null;
create index agent_runs_of_user on public.agent_runs (user_id) where finished_at is null;
-- The runs that wait for a process.
create index agent_runs_waiting on public.agent_runs (user_id)
  where finished_at is null and (owner is null or lease_until = '-infinity');
create index agent_runs_owned on public.agent_runs (owner) where finished_at is null;
create index agent_runs_to_erase on public.agent_runs (finished_at) where not erased;
-- The same of a user or an agent, whose texts may be kept for a shorter time.
create index agent_runs_kept_of_user on public.agent_runs (user_id, finished_at) where not erased and finished_at is not null;
create index agent_runs_kept_of_agent on public.agent_runs (agent_id, finished_at) where not erased and finished_at is not null;
alter table public.agent_runs enable row level security;
revoke all on public.agent_runs from public, anon, authenticated;
grant select on public.agent_runs to authenticated;
grant select, insert, update, delete on public.agent_runs to service_role;
create policy agent_runs_own on public.agent_runs for select to authenticated
  using (user_id = (select auth.uid()));
create policy agent_runs_admin on public.agent_runs for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- What another process needs to begin a run again: {agent, messages, functionResults, …}. It is apart from the run because
-- the prompt belongs to the agent's owner, and the run's user must not read it.
create table public.agent_run_inputs (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  input jsonb not null,
  -- How many bytes the input has as JSON; null in rows from before there was such a column.
  bytes integer
);
alter table public.agent_run_inputs enable row level security;
revoke all on public.agent_run_inputs from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_inputs to service_role;

-- Which run answers which chat of a page, as the page calls it, and by which version of the protocol.
create table public.agent_run_chats (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  user_id uuid not null,
  chat_id text not null,
  protocol text not null,
  -- Whether a page was told the run's end.
  told boolean not null default false,
  -- The page's own name of the run, and what it has sent with it, where it asks for that again.
  page_run text,
  messages jsonb,
  created_at timestamptz not null default now()
);
create index agent_run_chats_of_user on public.agent_run_chats (user_id, chat_id, created_at desc);
alter table public.agent_run_chats enable row level security;
revoke all on public.agent_run_chats from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_chats to service_role;

-- The events of a finished run, without the last one. An event is kept as the object that was emitted; a chunk as a number,
-- the count of UTF-16 units that it has of the response.
create table public.agent_run_traces (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  trace jsonb not null
);
alter table public.agent_run_traces enable row level security;
revoke all on public.agent_run_traces from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_traces to service_role;

-- Why a run failed, in the words of a gateway, a database or a program: for admins, since users read a sentence for users.
create table public.agent_run_failures (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  -- Of the run's end; null if it did not fail.
  reason text,
  -- Of the gateway, try by try: [{attempt, at, code, status, reason, cause, model}].
  failures jsonb not null default '[]'
);
alter table public.agent_run_failures enable row level security;
revoke all on public.agent_run_failures from public, anon, authenticated;
grant select on public.agent_run_failures to authenticated;
grant select, insert, update, delete on public.agent_run_failures to service_role;
create policy agent_run_failures_admin on public.agent_run_failures for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- What clients of OpenAI's Responses keep here beside their runs: a row for each response that is not to be forgotten at once.
create table public.agent_responses (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  -- The response that this one continues. It may be gone by now.
  previous_id uuid,
  -- The items that were sent: [{type, role, content, …}].
  input jsonb not null,
  -- What is told again with the response: {instructions, metadata, background, format}.
  details jsonb not null
);
alter table public.agent_responses enable row level security;
revoke all on public.agent_responses from public, anon, authenticated;
grant select, insert, update, delete on public.agent_responses to service_role;

-- Responses that are given again to the same request.
create table public.response_cache (
  key text primary key,
  agent_id uuid not null references public.agents (id) on delete cascade,
  response text not null,
  finish_reason text,
  model text,
  expires_at timestamptz not null
);
create index response_cache_to_erase on public.response_cache (expires_at);
alter table public.response_cache enable row level security;
revoke all on public.response_cache from public, anon, authenticated;
grant select, insert, update, delete on public.response_cache to service_role;
