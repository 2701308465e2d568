-- The finished steps of a run, for its user: which model or tool ran, when, and what it used; no texts.
create table public.agent_run_steps (
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
create policy agent_run_steps_own on public.agent_run_steps for select to authenticated
  using (exists (select from public.agent_runs r where r.id = run_id and r.user_id = (select auth.uid())));
create policy agent_run_steps_admin on public.agent_run_steps for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- The finished steps of an unfinished run, with their texts, for the process that goes on with the run.
create table public.agent_run_checkpoints (
  run_id uuid not null references public.agent_runs (id) on delete cascade,
  step integer not null,
  record jsonb not null,
  attempt integer,
  -- The events that the attempt emitted since the step before: {first, events}; `first` is the number of the first one.
  told jsonb,
  -- The number of the last of them.
  told_last bigint,
  primary key (run_id, step)
);
alter table public.agent_run_checkpoints enable row level security;
revoke all on public.agent_run_checkpoints from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_checkpoints to service_role;
