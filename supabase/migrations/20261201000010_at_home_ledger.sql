-- The ledger becomes two tables: credit_usage for what was used, credit_changes for what was given and what others changed.
-- Users may make their own first balance. It may be applied again.

-- --- Balances --------------------------------------------------------------------------------------------------------

alter table public.credit_balances
  add column if not exists credits_entered integer not null default 0 check (credits_entered = 0);
grant insert (user_id, credits_remaining, credits_used_this_month, plan_type) on public.credit_balances to authenticated;
drop policy if exists credit_balances_first on public.credit_balances;
create policy credit_balances_first on public.credit_balances for insert to authenticated
  with check (user_id = (select auth.uid()));

create table if not exists public.credit_settings (
  id boolean primary key default true check (id),
  sign_up_credits integer not null default 5 check (sign_up_credits >= 0)
);
alter table public.credit_settings enable row level security;
revoke all on public.credit_settings from public, anon, authenticated;
grant select, insert, update, delete on public.credit_settings to service_role;
insert into public.credit_settings default values on conflict do nothing;

-- --- Changes ---------------------------------------------------------------------------------------------------------

create table if not exists public.credit_changes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  credits bigint not null,
  kind text not null check (kind in ('opening', 'sign_up', 'grant', 'adjustment', 'change')),
  credits_before bigint,
  credits_after bigint,
  db_role text,
  jwt_role text,
  reason text,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);
create unique index if not exists credit_changes_first on public.credit_changes (user_id) where kind in ('opening', 'sign_up');
create index if not exists credit_changes_newest on public.credit_changes (user_id, created_at desc);
alter table public.credit_changes enable row level security;
revoke all on public.credit_changes from public, anon, authenticated;
grant select on public.credit_changes to authenticated;
grant select, insert, update, delete on public.credit_changes to service_role;
drop policy if exists credit_changes_admin on public.credit_changes;
create policy credit_changes_admin on public.credit_changes for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- --- What goes -------------------------------------------------------------------------------------------------------

-- match_entry takes its place.
drop trigger if exists replace_bare_deduction on public.credit_usage;
drop function if exists public.replace_bare_deduction();
