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
