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
