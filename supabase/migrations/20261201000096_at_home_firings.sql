-- What is looked for among firings and steps at each firing and each second. It may be applied again.
create index if not exists scheduled_runs_of_schedule on public.scheduled_runs (schedule_id, started_at);
create index if not exists scheduled_runs_of_agent on public.scheduled_runs (agent_id, created_at desc);
create index if not exists scheduled_runs_of_user on public.scheduled_runs (user_id, created_at desc);
create index if not exists scheduled_runs_of_runner on public.scheduled_runs (started_at) where scheduled_for is null;

-- The number of the last event that was told of a step: who looks for what is new does not read the events for it.
alter table public.agent_run_checkpoints add column if not exists told_last bigint;
