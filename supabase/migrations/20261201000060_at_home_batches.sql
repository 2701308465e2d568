-- What lets schedules rest that are refused again and again: a column and a table. It may be applied again.
alter table public.agent_schedules
  add column if not exists refusals integer not null default 0;

create table if not exists public.schedule_refusals (
  user_id uuid primary key,
  refusals integer not null,
  since timestamptz not null
);
alter table public.schedule_refusals enable row level security;
revoke all on public.schedule_refusals from public, anon, authenticated;
grant select, insert, update, delete on public.schedule_refusals to service_role;

-- They have more parameters, and PostgREST takes no two functions of one name.
drop function if exists public.fail_firing(uuid, text);
drop function if exists public.claim_deliveries(numeric, integer);
