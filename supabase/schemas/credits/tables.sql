-- A balance consists of credits that can be spent (credits_remaining) and credits that unfinished runs have reserved.
alter table public.credit_balances
  add column credits_reserved integer not null default 0 check (credits_reserved >= 0);
alter table public.credit_balances enable row level security;
revoke all on public.credit_balances from public, anon, authenticated;
grant select on public.credit_balances to authenticated;
create policy credit_balances_own on public.credit_balances for select to authenticated
  using (user_id = (select auth.uid()));
create policy credit_balances_admin on public.credit_balances for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- An entry of the ledger names the run it was made for. No run has two.
alter table public.credit_usage
  add column run_id uuid;
create unique index credit_usage_once_a_run on public.credit_usage (run_id);
create index credit_usage_newest on public.credit_usage (user_id, created_at desc);
alter table public.credit_usage enable row level security;
revoke all on public.credit_usage from public, anon, authenticated;
grant select on public.credit_usage to authenticated;
create policy credit_usage_own on public.credit_usage for select to authenticated
  using (user_id = (select auth.uid()));
create policy credit_usage_admin on public.credit_usage for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- The credits that a user had before the first entry of the ledger. From then on
--   opening - sum of the ledger = remaining + reserved.
-- There is no foreign key because a live project may have balances of deleted users.
create table public.credit_openings (
  user_id uuid primary key,
  credits bigint not null,
  created_at timestamptz not null default now()
);
alter table public.credit_openings enable row level security;
revoke all on public.credit_openings from public, anon, authenticated;
grant select, insert, update, delete on public.credit_openings to service_role;

-- The price of each model. The row '*' is for models without a row; if it is missing too, a run costs one credit.
create table public.model_rates (
  model text primary key,
  credits_per_run integer not null default 1 check (credits_per_run >= 0),
  credits_per_1k_tokens numeric not null default 0 check (credits_per_1k_tokens >= 0)
);
alter table public.model_rates enable row level security;
revoke all on public.model_rates from public, anon, authenticated;
grant select on public.model_rates to authenticated;
grant select, insert, update, delete on public.model_rates to service_role;
create policy model_rates_all on public.model_rates for select to authenticated using (true);

-- How many charged runs a user may begin in a minute and in an hour, by `credit_balances.plan_type`; null means any
-- number. A plan without a row has the limits of `free`.
create table public.plan_limits (
  plan_type text primary key,
  runs_per_minute integer check (runs_per_minute > 0),
  runs_per_hour integer check (runs_per_hour > 0)
);
alter table public.plan_limits enable row level security;
revoke all on public.plan_limits from public, anon, authenticated;
grant select on public.plan_limits to authenticated;
grant select, insert, update, delete on public.plan_limits to service_role;
create policy plan_limits_all on public.plan_limits for select to authenticated using (true);
insert into public.plan_limits (plan_type, runs_per_minute, runs_per_hour)
values ('free', 5, 50), ('starter', 15, 200), ('pro', 30, 500), ('business', 60, 1000), ('businessplus', 120, 2500),
  ('enterprise', 300, 10000), ('demo', null, null);
