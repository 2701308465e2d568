-- What admins have done and looked at.
create table public.admin_actions (
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
create unique index admin_actions_idempotency on public.admin_actions (admin_id, idempotency_key)
  where idempotency_key is not null;
alter table public.admin_actions enable row level security;
revoke all on public.admin_actions from public, anon, authenticated;
revoke all on sequence public.admin_actions_id_seq from public, anon, authenticated;
grant select on public.admin_actions to authenticated;
grant select, insert, update, delete on public.admin_actions to service_role;
create policy admin_actions_admin on public.admin_actions for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- How long the texts of a user's runs are kept, or those of an agent's, where that is less than for all. An agent's period outlives
-- the agent, as its runs do.
create table public.retention_periods (
  id bigint generated always as identity primary key,
  user_id uuid unique references auth.users (id) on delete cascade,
  agent_id uuid unique,
  -- After a run's end.
  days numeric not null check (days between 0 and 36500),
  updated_at timestamptz not null default now(),
  check ((user_id is null) <> (agent_id is null))
);
alter table public.retention_periods enable row level security;
revoke all on public.retention_periods from public, anon, authenticated;
revoke all on sequence public.retention_periods_id_seq from public, anon, authenticated;
grant select on public.retention_periods to authenticated;
grant select, insert, update, delete on public.retention_periods to service_role;
create policy retention_periods_admin on public.retention_periods for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));
