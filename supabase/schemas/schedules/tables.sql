-- The service's column of the platform's schedules: since when the schedule waits for the service to compute next_run_at.
-- It counts only while next_run_at is null. 'infinity' means that the schedule is faulty and its user has been told.
alter table public.agent_schedules
  add column unplanned_since timestamptz default now(),
  -- How many firings in a row were refused, as for want of credits.
  add column refusals integer not null default 0,
  -- When next_run_at was last written.
  add column timed_at timestamptz;
create index agent_schedules_due on public.agent_schedules (next_run_at)
  where is_enabled and next_run_at is not null;
create index agent_schedules_unplanned on public.agent_schedules (unplanned_since)
  where is_enabled and next_run_at is null;

-- The service's columns of the platform's firings.
alter table public.scheduled_runs
  -- The same as generated_content and error_message, for those who read these columns before the service filled those.
  add column result text,
  add column error text,
  -- The time that the firing was due, and the run that it began.
  add column scheduled_for timestamptz,
  add column run_id uuid,
  -- Until the run has begun: {userId, agentId, content}, and the lease of the process that begins it.
  add column request jsonb,
  add column lease_until timestamptz,
  -- If the result is sent: `pending`, `delivered` or `failed`; the time of the next try; the number of tries.
  add column delivery_status text,
  add column delivery_at timestamptz,
  add column delivery_tries integer not null default 0;
create unique index scheduled_runs_once_a_time on public.scheduled_runs (schedule_id, scheduled_for)
  where scheduled_for is not null;
create index scheduled_runs_by_run on public.scheduled_runs (run_id) where run_id is not null;
create index scheduled_runs_to_begin on public.scheduled_runs (lease_until) where run_id is null and request is not null;
create index scheduled_runs_to_erase on public.scheduled_runs (completed_at)
  where generated_content is not null or result is not null or error_message is not null or error is not null;
-- Each firing, the pages, and whoever is deleted look for these; of the runner's there are none where it does not run.
create index scheduled_runs_of_schedule on public.scheduled_runs (schedule_id, started_at);
create index scheduled_runs_of_agent on public.scheduled_runs (agent_id, created_at desc);
create index scheduled_runs_of_user on public.scheduled_runs (user_id, created_at desc);
create index scheduled_runs_of_runner on public.scheduled_runs (started_at) where scheduled_for is null;
create index scheduled_runs_to_deliver on public.scheduled_runs (delivery_at) where delivery_status = 'pending';

-- How many firings of a user were refused since a time. After 20 within an hour the user's schedules rest, without a row each.
create table public.schedule_refusals (
  user_id uuid primary key,
  refusals integer not null,
  since timestamptz not null
);
alter table public.schedule_refusals enable row level security;
revoke all on public.schedule_refusals from public, anon, authenticated;
grant select, insert, update, delete on public.schedule_refusals to service_role;

-- When a service that fires schedules has last looked at them: one row, written once a minute at the most.
create table public.schedule_looks (
  id boolean primary key default true check (id),
  looked_at timestamptz not null
);
alter table public.schedule_looks enable row level security;
revoke all on public.schedule_looks from public, anon, authenticated;
grant select, insert, update, delete on public.schedule_looks to service_role;
