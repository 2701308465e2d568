-- Moves what is no use from credit_usage and credit_openings to credit_changes, and gives users without a balance their first.
-- It may be applied again.

-- The openings. A balance that was made since the ledger's functions came has its own.
do $$
begin
  if to_regclass('public.credit_openings') is not null then
    insert into public.credit_changes (user_id, credits, kind, created_at)
      select user_id, credits, 'opening', created_at from public.credit_openings
      on conflict do nothing;
    drop table public.credit_openings;
  end if;
end $$;

-- Grants and adjustments of the release before; they have a reason.
with moved as (
  delete from public.credit_usage
    where run_id is null and operation_type in ('grant', 'adjustment') and metadata ? 'reason'
    returning *
)
insert into public.credit_changes (user_id, credits, kind, reason, metadata, created_at)
  select user_id, -credits_used, operation_type, metadata ->> 'reason', metadata - 'reason', coalesce(created_at, now())
    from moved;

-- A balance without an opening has the one that its ledger implies.
insert into public.credit_changes (user_id, credits, kind)
  select e.user_id, e.actual - e.expected, 'opening' from public.expected_balances() e
    where e.actual is not null
      and not exists (select from public.credit_changes c where c.user_id = e.user_id and c.kind in ('opening', 'sign_up'))
  on conflict do nothing;

-- Users whom no page has made a balance yet.
select public.give_first_balance(id, 'Given to users without a balance by the migration.') from auth.users u
  where not exists (select from public.credit_balances b where b.user_id = u.id);

-- Entries of users who have no balance and do not exist any more.
insert into public.credit_changes (user_id, credits, kind, reason)
  select e.user_id, -e.expected, 'adjustment', 'Entries of a user without a balance, from before the ledger knew of such.'
    from public.expected_balances() e where e.actual is null and e.expected <> 0;

-- Texts of users who were deleted before their deletion erased them.
delete from public.agent_run_inputs i using public.agent_runs r
  where r.id = i.run_id and r.finished_at is not null and not exists (select from auth.users u where u.id = r.user_id);
delete from public.agent_run_traces i using public.agent_runs r
  where r.id = i.run_id and not exists (select from auth.users u where u.id = r.user_id);
delete from public.agent_run_failures i using public.agent_runs r
  where r.id = i.run_id and not exists (select from auth.users u where u.id = r.user_id);
update public.agent_runs r set response = '', error = null, idempotency_key = null, request_hash = '', erased = true
  where finished_at is not null and not erased and not exists (select from auth.users u where u.id = r.user_id);

notify pgrst, 'reload schema';
