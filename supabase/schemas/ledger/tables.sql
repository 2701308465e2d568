-- The ledger is two tables: credit_changes holds what balances were given and what changed them otherwise, credit_usage what
-- was used. For each user
--   sum of credit_changes.credits - sum of credit_usage.credits_used = remaining + reserved.
-- Pages and limits of the platform count and sum credit_usage, so nothing else stands there.

-- An entry of use names the run it was made for. No run has two.
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

-- There is no foreign key because a live project may have balances of deleted users.
create table public.credit_changes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  -- Above zero if the user has more since.
  credits bigint not null,
  -- `opening`: the balance was there, or came, with these credits. `sign_up`: the platform gave them. `grant`, `adjustment`:
  -- an admin gave them, or accepted what nobody had entered. `change`: somebody else changed the balance.
  kind text not null check (kind in ('opening', 'sign_up', 'grant', 'adjustment', 'change')),
  -- credits_remaining before and after, where known; null where there was no balance.
  credits_before bigint,
  credits_after bigint,
  -- The role that the database served, and the role in the claims of the request, if any.
  db_role text,
  jwt_role text,
  reason text,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);
-- A user has one first balance. Whoever has had it gets nothing at sign-up any more.
create unique index credit_changes_first on public.credit_changes (user_id) where kind in ('opening', 'sign_up');
create index credit_changes_newest on public.credit_changes (user_id, created_at desc);
alter table public.credit_changes enable row level security;
revoke all on public.credit_changes from public, anon, authenticated;
grant select on public.credit_changes to authenticated;
grant select, insert, update, delete on public.credit_changes to service_role;
create policy credit_changes_admin on public.credit_changes for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));
