-- What limits by plan and the wish for another backend need: a table, two columns, an index. It may be applied again.

create table if not exists public.plan_limits (
  plan_type text primary key,
  runs_per_minute integer check (runs_per_minute > 0),
  runs_per_hour integer check (runs_per_hour > 0)
);
alter table public.plan_limits enable row level security;
revoke all on public.plan_limits from public, anon, authenticated;
grant select on public.plan_limits to authenticated;
grant select, insert, update, delete on public.plan_limits to service_role;
drop policy if exists plan_limits_all on public.plan_limits;
create policy plan_limits_all on public.plan_limits for select to authenticated using (true);

-- Rows that the operator has changed or deleted stay so.
insert into public.plan_limits (plan_type, runs_per_minute, runs_per_hour)
select * from (values
    ('free', 5, 50), ('starter', 15, 200), ('pro', 30, 500), ('business', 60, 1000), ('businessplus', 120, 2500),
    ('enterprise', 300, 10000), ('demo', null, null)) as plans (plan_type, runs_per_minute, runs_per_hour)
  where not exists (select from public.plan_limits);

-- The demo users of databases that were seeded before there was such a plan.
update public.credit_balances set plan_type = 'demo'
  where plan_type = 'free'
    and user_id in ('11111111-1111-4111-8111-111111111111', '11111111-1111-4111-8111-222222222222');

alter table public.agents
  add column if not exists railway_url_requested text,
  add column if not exists railway_url_requested_at timestamptz;
create index if not exists agents_waiting_for_railway_url
  on public.agents (railway_url_requested_at) where railway_url_requested is not null;
