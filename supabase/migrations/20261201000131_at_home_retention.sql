-- How long the texts of one user's runs are kept, or of one agent's. It may be applied again.
create table if not exists public.retention_periods (
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
drop policy if exists retention_periods_admin on public.retention_periods;
create policy retention_periods_admin on public.retention_periods for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));
create index if not exists agent_runs_kept_of_user on public.agent_runs (user_id, finished_at) where not erased and finished_at is not null;
create index if not exists agent_runs_kept_of_agent on public.agent_runs (agent_id, finished_at) where not erased and finished_at is not null;
