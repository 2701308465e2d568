-- What lets the database know whether a service fires schedules, and since when one has its next time: a table and a column. It
-- may be applied again.
alter table public.agent_schedules
  add column if not exists timed_at timestamptz;

create table if not exists public.schedule_looks (
  id boolean primary key default true check (id),
  looked_at timestamptz not null
);
alter table public.schedule_looks enable row level security;
revoke all on public.schedule_looks from public, anon, authenticated;
grant select, insert, update, delete on public.schedule_looks to service_role;
