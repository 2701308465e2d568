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
