-- Compares balances, ledger and runs in one snapshot.
-- Returns {checked: {balances, entries, runs}, problems: [{kind, userId, runId, expected, found, message}], total}, with
-- at most p_limit of the problems; `total` is the number of all.
create function public.audit_credits(p_limit integer default 100) returns jsonb
language sql stable security definer set search_path = '' as $$
  with per_run as (
    select run_id, sum(credits_used)::bigint as entered, (array_agg(user_id))[1] as user_id
      from public.credit_usage where run_id is not null group by run_id
  ), held as (
    select user_id, sum(credits_reserved)::bigint as credits
      from public.agent_runs where finished_at is null and credits_reserved > 0 group by user_id
  ), problem (kind, user_id, run_id, expected, found, message) as (
    select 'balance', user_id, null::uuid, expected, coalesce(actual, 0),
        case when actual is null then 'The ledger has entries of a user who has no balance.'
          else 'The balance is not what its ledger makes of it.' end
      from public.expected_balances() where coalesce(actual, 0) <> expected
    union all
    select 'negative_balance', user_id, null, 0, credits_remaining::bigint, 'The balance is below zero.'
      from public.credit_balances where credits_remaining < 0
    union all
    select 'reservation', coalesce(b.user_id, h.user_id), null, coalesce(h.credits, 0), coalesce(b.credits_reserved, 0)::bigint,
        'What is reserved is not what the runs under way hold.'
      from public.credit_balances b full join held h on h.user_id = b.user_id
      where coalesce(h.credits, 0) <> coalesce(b.credits_reserved, 0)
    union all
    select 'charge', coalesce(r.user_id, e.user_id), coalesce(r.id, e.run_id), coalesce(r.credits_charged, 0)::bigint,
        coalesce(e.entered, 0), case when r.id is null then 'The ledger has an entry for a run that is not there.'
          else 'What the run was charged is not what the ledger says.' end
      from (select * from public.agent_runs where credits_charged > 0) r full join per_run e on e.run_id = r.id
      where coalesce(r.credits_charged, 0) <> coalesce(e.entered, 0)
        -- The ledger of a deleted user is deleted too.
        and exists (select from auth.users a where a.id = coalesce(r.user_id, e.user_id))
    union all
    select 'held_after_end', user_id, id, 0, credits_reserved::bigint, 'The run has ended and holds credits still.'
      from public.agent_runs where finished_at is not null and credits_reserved > 0
    union all
    select 'stuck', user_id, id, null, null, 'The run has not ended, and no process has had it for ten minutes.'
      from public.agent_runs r
      where finished_at is null and greatest(lease_until, created_at) < now() - interval '10 minutes'
        and not exists (
          select from public.agent_workers w
            where w.lease_until > now() - interval '10 minutes'
              -- A released run waits for any living process.
              and (w.owner = r.owner or r.lease_until = '-infinity'))
  ), numbered as (
    select *, row_number() over (order by kind, user_id, run_id) as n from problem
  )
  select jsonb_build_object(
    'checked', jsonb_build_object(
      'balances', (select count(*) from public.credit_balances),
      'entries', (select count(*) from public.credit_usage) + (select count(*) from public.credit_changes),
      'runs', (select count(*) from public.agent_runs)),
    'problems', (select coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'userId', user_id, 'runId', run_id,
        'expected', expected, 'found', found, 'message', message) order by n), '[]') from numbered where n <= p_limit),
    'total', (select count(*) from problem))
$$;

revoke execute on function public.audit_credits(integer) from public, anon, authenticated;
grant execute on function public.audit_credits(integer) to service_role;
