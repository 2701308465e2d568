-- A balance consists of credits that can be spent (credits_remaining) and credits that unfinished runs have reserved.
alter table public.credit_balances
  add column credits_reserved integer not null default 0 check (credits_reserved >= 0),
  -- Who changes a balance and enters the change in the ledger as well says here by how much, in the same statement. The
  -- trigger note_change enters whatever is left over, and sets this back: it is zero in every row that is stored.
  add column credits_entered integer not null default 0 check (credits_entered = 0);
alter table public.credit_balances enable row level security;
revoke all on public.credit_balances from public, anon, authenticated;
grant select on public.credit_balances to authenticated;
-- The platform's page makes a user's first balance. What it begins with, the trigger force_first_balance says.
grant insert (user_id, credits_remaining, credits_used_this_month, plan_type) on public.credit_balances to authenticated;
create policy credit_balances_own on public.credit_balances for select to authenticated
  using (user_id = (select auth.uid()));
create policy credit_balances_first on public.credit_balances for insert to authenticated
  with check (user_id = (select auth.uid()));
create policy credit_balances_admin on public.credit_balances for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- What the platform gives a new user: one row. If it is missing, that is five credits.
create table public.credit_settings (
  id boolean primary key default true check (id),
  sign_up_credits integer not null default 5 check (sign_up_credits >= 0)
);
alter table public.credit_settings enable row level security;
revoke all on public.credit_settings from public, anon, authenticated;
grant select, insert, update, delete on public.credit_settings to service_role;
insert into public.credit_settings default values;

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
