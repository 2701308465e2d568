-- Brings the tables of schedules, of their firings and of processes to what schemas/ says of them. It may be applied again.

-- `is_enabled` decides from now on; older projects may lack it, and what the platform's page shows.
alter table public.agent_schedules
  add column if not exists is_enabled boolean not null default false,
  add column if not exists last_run_at timestamptz,
  add column if not exists run_count integer not null default 0,
  add column if not exists last_result jsonb;
alter table public.scheduled_runs
  add column if not exists agent_id uuid,
  add column if not exists user_id uuid,
  add column if not exists generated_content text,
  add column if not exists output_result jsonb,
  add column if not exists error_message text,
  add column if not exists credits_used integer,
  add column if not exists created_at timestamptz default now();

drop index if exists public.agent_schedules_due, public.agent_schedules_unplanned;
create index agent_schedules_due on public.agent_schedules (next_run_at)
  where is_enabled and next_run_at is not null;
create index agent_schedules_unplanned on public.agent_schedules (unplanned_since)
  where is_enabled and next_run_at is null;

-- Every process that looks for runs is known, whether it has any or not.
alter table public.agent_workers
  add column if not exists seen_at timestamptz not null default now();

-- It has one more parameter, and PostgREST takes no two functions of one name.
drop function if exists public.record_delivery(uuid, integer, text, text, numeric);
