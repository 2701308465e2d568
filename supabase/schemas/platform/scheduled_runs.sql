create table public.scheduled_runs (
  id uuid primary key default gen_random_uuid(),
  schedule_id uuid not null references public.agent_schedules (id) on delete cascade,
  agent_id uuid not null references public.agents (id) on delete cascade,
  user_id uuid not null,
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
