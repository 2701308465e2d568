-- The processes that run agents. One lease a process, renewed by its heartbeat, covers all its runs.
create table public.agent_workers (
  owner uuid primary key,
  lease_until timestamptz not null,
  -- When the process last looked for runs of others, which it does at least every ten minutes while it lives.
  seen_at timestamptz not null default now()
);
alter table public.agent_workers enable row level security;
revoke all on public.agent_workers from public, anon, authenticated;
grant select, insert, update, delete on public.agent_workers to service_role;
