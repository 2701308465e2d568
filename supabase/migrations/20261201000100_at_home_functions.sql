-- Generated from supabase/schemas by `npm run schema`; edit those files instead of this one.
--
-- Defines the functions and triggers that are new in this release, or other than in the one before. It may be applied again.

-- schemas/ledger/expected_balances.sql

-- Returns what each user has, and what the ledger adds up to. `actual` is null for users who have entries but no balance.
create or replace function public.expected_balances()
returns table (user_id uuid, expected bigint, actual bigint)
language sql stable security definer set search_path = '' as $$
  select coalesce(b.user_id, c.user_id, u.user_id), coalesce(c.credits, 0) - coalesce(u.used, 0),
      case when b.user_id is not null then coalesce(b.credits_remaining, 0)::bigint + b.credits_reserved end
    from (select * from public.credit_balances where user_id is not null) b
    full join (select user_id, sum(credits)::bigint as credits from public.credit_changes group by user_id) c
      on c.user_id = b.user_id
    full join (select user_id, sum(credits_used)::bigint as used from public.credit_usage where user_id is not null group by user_id) u
      on u.user_id = coalesce(b.user_id, c.user_id)
$$;

revoke execute on function public.expected_balances() from public, anon, authenticated;
grant execute on function public.expected_balances() to service_role;

-- schemas/administration/admin_get_ledger.sql

-- Returns a user's balance and a page of the ledger, newest first, on behalf of an admin: {credits, entries, next}. Entries of
-- both tables are in it; what was given is below zero. p_after is the `next` of the page before, the id of its last entry.
create or replace function public.admin_get_ledger(p_admin_id uuid, p_user_id uuid, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after timestamptz;
begin
  perform public.note_admin_action(p_admin_id, 'ledger', p_user_id, jsonb_build_object('after', p_after));
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  select created_at into v_after from public.credit_usage where id = p_after and user_id = p_user_id
    union all select created_at from public.credit_changes where id = p_after and user_id = p_user_id;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with entries as (
    select id, run_id, agent_id, credits_used::bigint, operation_type, metadata, created_at
      from public.credit_usage where user_id = p_user_id
    union all
    select id, null, null, -credits, kind, metadata || jsonb_strip_nulls(jsonb_build_object('reason', reason, 'from', credits_before,
        'to', credits_after, 'dbRole', db_role, 'jwtRole', jwt_role)), created_at
      from public.credit_changes where user_id = p_user_id
  ), page as (
    select e.*, row_number() over (order by created_at desc, id desc) as n from entries e
      where p_after is null or (created_at, id) < (v_after, p_after)
      order by created_at desc, id desc
      limit p_limit + 1
  )
  select jsonb_build_object(
    'credits', public.get_credits(p_user_id),
    'entries', coalesce((select jsonb_agg(jsonb_build_object('id', id, 'runId', run_id, 'agentId', agent_id,
        'creditsUsed', credits_used, 'operationType', operation_type, 'metadata', metadata,
        'createdAt', public.iso_time(created_at)) order by n) from page where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_get_ledger(uuid, uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.admin_get_ledger(uuid, uuid, integer, uuid) to service_role;

-- schemas/administration/get_admin_stats.sql

-- Returns the platform's figures to a signed-in admin, and to the service role, whose auth.uid() is null; to everybody else no
-- row. The platform's admin page calls it by this name.
create or replace function public.get_admin_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language plpgsql stable security definer set search_path = '' as $$
begin
  if coalesce(auth.role(), '') = 'service_role' or coalesce(public.has_role(auth.uid(), 'admin'), false) then
    return query select * from public.platform_stats();
  end if;
end $$;

revoke execute on function public.get_admin_stats() from public, anon, authenticated;
grant execute on function public.get_admin_stats() to authenticated, service_role;

-- schemas/administration/platform_stats.sql

-- Returns the platform's figures, for get_admin_stats and admin_stats, which check who asks. `active_users` are all who ever
-- used credits.
create or replace function public.platform_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language sql stable security definer set search_path = '' as $$
  select
    (select count(*) from auth.users),
    (select count(*) from public.agents),
    (select count(*) from public.agents where created_at >= now() - interval '7 days'),
    (select count(*) from public.agents where created_at >= now() - interval '30 days'),
    (select count(distinct user_id) from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage where created_at >= now() - interval '7 days'),
    (select count(*) from public.credit_balances where plan_type = 'pro'),
    (select count(*) from public.credit_balances where plan_type = 'expert')
$$;

revoke execute on function public.platform_stats() from public, anon, authenticated;
grant execute on function public.platform_stats() to service_role;

-- schemas/common/schema_version.sql

-- Returns {version, oldest, writable}: the version of these definitions, the oldest version of the service's code that
-- they still serve, and whether the database accepts writes, which a standby does not. The service compares them with
-- its own version before it uses the database.
create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 5, 'oldest', 4,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off')
$$;

revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;

-- schemas/credits/deduct_credits.sql

-- Takes credits outside of a run and enters them in the ledger. The platform's functions call it by this name and with
-- these arguments; the entry that they make themselves takes the place of this one (match_entry).
create or replace function public.deduct_credits(p_user_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_credits is null or p_credits < 0 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'p_credits must be zero or more.';
  end if;
  perform public.give_first_balance(p_user_id);
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits, credits_entered = -p_credits,
        credits_used_this_month = coalesce(credits_used_this_month, 0) + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  if not found then
    raise sqlstate 'PT402' using hint = 'insufficient_credits', message = 'There are not enough credits.';
  end if;
  if p_credits > 0 then
    insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (p_user_id, p_credits, 'deduction', '{"by": "deduct_credits"}');
  end if;
end $$;

revoke execute on function public.deduct_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.deduct_credits(uuid, integer) to service_role;

-- schemas/credits/first_credits.sql

-- Returns the credits that a user's first balance begins with. Whoever has had a balance before gets none.
create or replace function public.first_credits(p_user_id uuid) returns integer
language plpgsql stable security definer set search_path = '' as $$
begin
  if exists (select from public.credit_changes where user_id = p_user_id) then
    return 0;
  end if;
  return coalesce((select sign_up_credits from public.credit_settings), 5);
end $$;

revoke execute on function public.first_credits(uuid) from public, anon, authenticated;
grant execute on function public.first_credits(uuid) to service_role;

-- schemas/credits/force_first_balance.sql

-- Makes the balance that users insert themselves what the platform gives at sign-up, whatever they ask for. The condition is
-- the role of the statement: this also runs before an upsert of the service role turns out to be an update, whose values are
-- not to be touched.
create or replace function public.force_first_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.credits_remaining := public.first_credits(new.user_id);
  new.credits_used_this_month := 0;
  new.plan_type := 'basic';
  return new;
end $$;

create or replace trigger force_first_balance before insert on public.credit_balances for each row
  when (current_user in ('authenticated', 'anon')) execute function public.force_first_balance();

revoke execute on function public.force_first_balance() from public, anon, authenticated;
grant execute on function public.force_first_balance() to service_role;

-- schemas/credits/get_credits.sql

-- Returns the balance of a user. A user who has none yet is told the one that the first run will give.
create or replace function public.get_credits(p_user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_credits jsonb;
  v_first integer := 0;
begin
  select jsonb_build_object('creditsRemaining', coalesce(credits_remaining, 0), 'creditsReserved', credits_reserved,
      'creditsUsedThisMonth', coalesce(credits_used_this_month, 0), 'planType', coalesce(plan_type, 'free'))
    into v_credits from public.credit_balances where user_id = p_user_id;
  if found then
    return v_credits;
  end if;
  if exists (select from auth.users where id = p_user_id) then
    v_first := public.first_credits(p_user_id);
  end if;
  return jsonb_build_object('creditsRemaining', v_first, 'creditsReserved', 0, 'creditsUsedThisMonth', 0,
    'planType', case when v_first > 0 then 'basic' else 'free' end);
end $$;

revoke execute on function public.get_credits(uuid) from public, anon, authenticated;
grant execute on function public.get_credits(uuid) to service_role;

-- schemas/credits/give_first_balance.sql

-- Makes the first balance of a user whom no page has made one, as the platform gives it at sign-up.
create or replace function public.give_first_balance(p_user_id uuid, p_reason text default null) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.credit_balances where user_id = p_user_id)
    or not exists (select from auth.users where id = p_user_id)
  then
    return;
  end if;
  insert into public.credit_balances (user_id, credits_remaining, plan_type)
    values (p_user_id, public.first_credits(p_user_id), 'basic')
    on conflict (user_id) do nothing;
  if found then
    update public.credit_changes set kind = 'sign_up', reason = p_reason where user_id = p_user_id and kind = 'opening';
  end if;
end $$;

revoke execute on function public.give_first_balance(uuid, text) from public, anon, authenticated;
grant execute on function public.give_first_balance(uuid, text) to service_role;

-- schemas/credits/grant_credits.sql

-- Gives credits to a user and enters them in the ledger. Returns the balance.
create or replace function public.grant_credits(p_user_id uuid, p_credits integer, p_reason text, p_granted_by uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_after integer;
begin
  if p_credits is null or p_credits < 1 or coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'A grant is of one credit or more, and has a reason.';
  end if;
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  perform public.give_first_balance(p_user_id);
  update public.credit_balances
    set credits_remaining = coalesce(credits_remaining, 0) + p_credits, credits_entered = p_credits
    where user_id = p_user_id and coalesce(credits_remaining, 0)::bigint + credits_reserved + p_credits <= 2147483647
    returning credits_remaining into v_after;
  if not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The balance would be larger than a balance can be.';
  end if;
  perform public.enter_change(p_user_id, 'grant', p_credits, v_after - p_credits, v_after, p_reason,
    jsonb_build_object('grantedBy', p_granted_by));
  return public.get_credits(p_user_id);
end $$;

revoke execute on function public.grant_credits(uuid, integer, text, uuid) from public, anon, authenticated;
grant execute on function public.grant_credits(uuid, integer, text, uuid) to service_role;

-- schemas/credits/reserve_credits.sql

-- Moves credits of a user from remaining to reserved. Returns false if there are too few.
create or replace function public.reserve_credits(p_user_id uuid, p_credits integer) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  for v_try in 1 .. 3 loop
    update public.credit_balances
      set credits_remaining = credits_remaining - p_credits, credits_reserved = credits_reserved + p_credits
      where user_id = p_user_id and credits_remaining >= p_credits;
    if found then
      return true;
    end if;
    -- Before a user is refused, a new one gets the first balance, unless another call has just made it.
    if v_try = 1 then
      perform public.give_first_balance(p_user_id);
    -- Then the runs that no process will continue return their reservations.
    elsif v_try = 2 and not public.end_forsaken_runs(p_user_id) then
      return false;
    end if;
  end loop;
  return false;
end $$;

revoke execute on function public.reserve_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.reserve_credits(uuid, integer) to service_role;

-- schemas/ledger/adjust_ledger.sql

-- Enters what makes each ledger add up to its balance, with the given reason. It is for history: changes that were made before
-- the ledger noted others' changes by itself. Returns {adjusted}: the number of balances.
create or replace function public.adjust_ledger(p_reason text) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_count integer;
begin
  if coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An adjustment needs a reason.';
  end if;
  -- A change during the comparison would be entered twice.
  lock table public.credit_balances, public.credit_usage, public.credit_changes in share row exclusive mode;
  perform public.enter_change(e.user_id, 'adjustment', coalesce(e.actual, 0) - e.expected, null, null, p_reason)
    from public.expected_balances() e where coalesce(e.actual, 0) <> e.expected;
  get diagnostics v_count = row_count;
  return jsonb_build_object('adjusted', v_count);
end $$;

revoke execute on function public.adjust_ledger(text) from public, anon, authenticated;
grant execute on function public.adjust_ledger(text) to service_role;

-- schemas/ledger/audit_credits.sql

-- Compares balances, ledger and runs in one snapshot.
-- Returns {checked: {balances, entries, runs}, problems: [{kind, userId, runId, expected, found, message}], total}, with
-- at most p_limit of the problems; `total` is the number of all.
create or replace function public.audit_credits(p_limit integer default 100) returns jsonb
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

-- schemas/ledger/close_balance.sql

-- Enters what a deleted balance had. Runs under way hold nothing of it any more; they take what they cost from the balance
-- that there is when they end. The ledger of a deleted user goes with the balance.
create or replace function public.close_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from auth.users where id = old.user_id) then
    perform public.enter_change(old.user_id, 'change', -(coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved),
      old.credits_remaining, null);
  else
    delete from public.credit_usage where user_id = old.user_id;
    delete from public.credit_changes where user_id = old.user_id;
  end if;
  update public.agent_runs set credits_reserved = 0
    where user_id = old.user_id and finished_at is null and credits_reserved > 0;
  return null;
end $$;

create or replace trigger close_balance after delete on public.credit_balances for each row
  when (old.user_id is not null) execute function public.close_balance();

revoke execute on function public.close_balance() from public, anon, authenticated;
grant execute on function public.close_balance() to service_role;

-- schemas/ledger/enter_change.sql

-- Enters a change of a balance in the ledger, with the roles of whoever makes it.
create or replace function public.enter_change(
  p_user_id uuid, p_kind text, p_credits bigint, p_before bigint, p_after bigint, p_reason text default null,
  p_metadata jsonb default '{}'
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.credit_changes (user_id, kind, credits, credits_before, credits_after, reason, metadata, db_role, jwt_role)
    values (p_user_id, p_kind, p_credits, p_before, p_after, p_reason, p_metadata,
      -- Within a definer function current_user is its owner; the setting `role` still names the role of the request.
      coalesce(nullif(current_setting('role', true), 'none'), session_user), auth.role())
    -- Only a first balance conflicts, with another that was made at the same time.
    on conflict do nothing;
end $$;

revoke execute on function public.enter_change(uuid, text, bigint, bigint, bigint, text, jsonb) from public, anon, authenticated;
grant execute on function public.enter_change(uuid, text, bigint, bigint, bigint, text, jsonb) to service_role;

-- schemas/ledger/match_entry.sql

-- Finds the change that an entry of use stands for, where a caller has taken credits and enters them itself, as the platform's
-- functions do: the entry that deduct_credits has made, or a change of that size which nobody has entered. The entry takes
-- its place, so that the credits count once. Without such a change nothing was taken: the entry counts zero and says in its
-- metadata what is `unpaid`. An entry below zero is no use: it explains a change upwards, and stands with the changes.
create or replace function public.match_entry() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_since timestamptz := now() - interval '1 minute';
  v_metadata jsonb := case when jsonb_typeof(new.metadata) = 'object' then new.metadata else '{}' end;
begin
  if new.credits_used < 0 then
    update public.credit_changes set reason = new.operation_type, metadata = metadata || v_metadata where id = (
      select id from public.credit_changes
        where user_id = new.user_id and kind = 'change' and reason is null and credits = -new.credits_used and created_at > v_since
        order by created_at limit 1 for update skip locked);
    if not found then
      perform public.enter_change(new.user_id, 'change', 0, null, null, new.operation_type,
        v_metadata || jsonb_build_object('unpaid', new.credits_used));
    end if;
    return null;
  end if;

  delete from public.credit_usage where id = (
    select id from public.credit_usage
      where user_id = new.user_id and credits_used = new.credits_used and created_at > v_since
        and metadata ->> 'by' = 'deduct_credits'
      order by created_at limit 1 for update skip locked);
  if found then
    return new;
  end if;
  delete from public.credit_changes where id = (
    select id from public.credit_changes
      where user_id = new.user_id and kind = 'change' and reason is null and credits = -new.credits_used and created_at > v_since
      order by created_at limit 1 for update skip locked);
  if not found then
    new.metadata := v_metadata || jsonb_build_object('unpaid', new.credits_used);
    new.credits_used := 0;
  end if;
  return new;
end $$;

create or replace trigger match_entry before insert on public.credit_usage for each row
  when (new.run_id is null and new.user_id is not null and new.credits_used <> 0
    and new.metadata ->> 'by' is distinct from 'deduct_credits')
  execute function public.match_entry();

revoke execute on function public.match_entry() from public, anon, authenticated;
grant execute on function public.match_entry() to service_role;

-- schemas/ledger/note_change.sql

-- Enters every change of a balance that its writer has not entered: that of a payment's webhook, of a renewal, of SQL by hand.
-- The statement of a writer who has says so in credits_entered. Statements that only move credits between remaining and
-- reserved do not come here.
create or replace function public.note_change() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_before bigint := coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved;
  v_after bigint := coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved;
  v_entered bigint := new.credits_entered;
begin
  new.credits_entered := 0;
  if new.user_id is distinct from old.user_id then
    -- The balance was given to another user.
    perform public.enter_change(old.user_id, 'change', -v_before, old.credits_remaining, null) where old.user_id is not null;
    perform public.enter_change(new.user_id, 'change', v_after - v_entered, null, new.credits_remaining) where new.user_id is not null;
  elsif v_after - v_before <> v_entered and new.user_id is not null then
    perform public.enter_change(new.user_id, 'change', v_after - v_before - v_entered, old.credits_remaining, new.credits_remaining);
  end if;
  return new;
end $$;

create or replace trigger note_change before update on public.credit_balances for each row
  when (new.credits_entered <> 0 or old.user_id is distinct from new.user_id
    or coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved
      <> coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved)
  execute function public.note_change();

revoke execute on function public.note_change() from public, anon, authenticated;
grant execute on function public.note_change() to service_role;

-- schemas/ledger/open_balance.sql

-- Enters what a new balance comes with, as far as the ledger does not have it: a first one as the kind that the trigger names.
create or replace function public.open_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_is_first boolean := not exists (
    select from public.credit_changes where user_id = new.user_id and kind in ('opening', 'sign_up'));
  v_credits bigint := coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved
    - (select coalesce(sum(credits), 0) from public.credit_changes where user_id = new.user_id)
    + (select coalesce(sum(credits_used), 0) from public.credit_usage where user_id = new.user_id);
begin
  if v_is_first or v_credits <> 0 then
    perform public.enter_change(new.user_id, case when v_is_first then tg_argv[0] else 'change' end, v_credits, null,
      new.credits_remaining);
  end if;
  return null;
end $$;

create or replace trigger open_balance after insert on public.credit_balances for each row
  when (new.user_id is not null and current_user not in ('authenticated', 'anon')) execute function public.open_balance('opening');

-- A user's own insert: see force_first_balance.
create or replace trigger open_own_balance after insert on public.credit_balances for each row
  when (new.user_id is not null and current_user in ('authenticated', 'anon')) execute function public.open_balance('sign_up');

revoke execute on function public.open_balance() from public, anon, authenticated;
grant execute on function public.open_balance() to service_role;

-- schemas/runs/erase_user.sql

-- Erases what a deleted user asked and was answered, and the ledger, from all tables, whatever foreign keys a project has. The
-- runs themselves stay, without texts. A run under way ends here: its process is refused whatever it still writes.
create or replace function public.erase_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.response_cache
    where key in (select cache_key from public.agent_runs where user_id = old.id and cache_key is not null);
  delete from public.scheduled_runs
    where run_id in (select id from public.agent_runs where user_id = old.id)
      or schedule_id in (select id from public.agent_schedules where user_id = old.id)
      or request ->> 'userId' = old.id::text;
  delete from public.agent_schedules where user_id = old.id;
  update public.agent_runs
    set status = case when finished_at is null then 'cancelled' else status end,
        attempt = case when finished_at is null then attempt + 1 else attempt end,
        finished_at = coalesce(finished_at, clock_timestamp()), owner = null, lease_until = null, credits_reserved = 0,
        response = '', error = null, idempotency_key = null, request_hash = '', erased = true
    where user_id = old.id;
  delete from public.agent_run_inputs where run_id in (select id from public.agent_runs where user_id = old.id);
  delete from public.agent_run_traces where run_id in (select id from public.agent_runs where user_id = old.id);
  delete from public.agent_run_checkpoints where run_id in (select id from public.agent_runs where user_id = old.id);
  delete from public.credit_balances where user_id = old.id;
  delete from public.credit_usage where user_id = old.id;
  delete from public.credit_changes where user_id = old.id;
  return null;
end $$;

revoke execute on function public.erase_user() from public, anon, authenticated;
grant execute on function public.erase_user() to service_role;

do $$
begin
  create or replace trigger erase_user after delete on auth.users for each row execute function public.erase_user();
exception when insufficient_privilege then
  raise notice 'This role may not create triggers on auth.users: delete what users leave with erase_user by another role';
end $$;

-- schemas/runs/finish_run.sql

-- Ends a run. One transaction writes the result and the last step, settles the reservation, enters the charge in the
-- ledger and caches the response. Credits beyond the reservation are taken as far as the balance allows.
-- A repeated call returns what the first call did. A call by an attempt that no longer owns the run is refused.
--   p_credits        what the run cost; at most the reservation, as extended, is charged
--   p_trace          the events from which the run can be replayed
--   p_keep_messages  true keeps the run's input
create or replace function public.finish_run(
  p_run_id uuid,
  p_attempt integer,
  p_status text,
  p_response text,
  p_finish_reason text,
  p_usage jsonb,
  p_credits integer,
  p_model text,
  p_error jsonb,
  p_trace jsonb default null,
  p_keep_messages boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_credits integer;
  v_charged integer;
  v_steps integer := 0;
  v_last_at timestamptz;
  v_prompt bigint := 0;
  v_completion bigint := 0;
  v_total bigint := 0;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.attempt <> p_attempt then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  if v_run.status in ('succeeded', 'failed', 'cancelled') then
    return public.run_json(v_run);
  end if;

  -- A cancelled run costs at least its recorded steps, even if a new attempt has not reported them yet.
  v_credits := greatest(coalesce(p_credits, 0), case when p_status = 'cancelled' then v_run.credits_used else 0 end);
  if v_credits > v_run.credits_reserved then
    v_run.credits_reserved := public.extend_reservation(p_run_id, v_credits);
  end if;
  v_charged := greatest(0, least(v_credits, v_run.credits_reserved));
  if v_run.credits_reserved > 0 then
    update public.credit_balances
      set credits_reserved = greatest(0, credits_reserved - v_run.credits_reserved),
          credits_remaining = credits_remaining + v_run.credits_reserved - v_charged,
          credits_used_this_month = coalesce(credits_used_this_month, 0) + v_charged,
          credits_entered = -v_charged
      where user_id = v_run.user_id;
    -- Without a balance, which somebody has deleted in the meantime, there is nothing to charge.
    if not found then
      v_charged := 0;
    end if;
  end if;
  if v_charged > 0 then
    insert into public.credit_usage (user_id, agent_id, run_id, credits_used, operation_type, metadata)
      values (v_run.user_id, (select id from public.agents where id = v_run.agent_id for key share), v_run.id, v_charged,
        'agent_execution', jsonb_build_object('model', p_model, 'status', p_status, 'usage', p_usage));
  end if;
  update public.agent_runs
    set status = p_status, response = p_response, finish_reason = p_finish_reason, usage = p_usage,
        model = coalesce(p_model, model), error = p_error, credits_reserved = 0, credits_charged = v_charged,
        finished_at = clock_timestamp(), owner = null, lease_until = null
    where id = p_run_id
    returning * into v_run;
  -- The usage of the last step is the total less the earlier steps; few runs have any.
  if exists (select from public.agent_run_steps where run_id = p_run_id) then
    select coalesce(max(step), 0), max(finished_at), coalesce(sum((usage ->> 'promptTokens')::integer), 0),
        coalesce(sum((usage ->> 'completionTokens')::integer), 0), coalesce(sum((usage ->> 'totalTokens')::integer), 0)
      into v_steps, v_last_at, v_prompt, v_completion, v_total
      from public.agent_run_steps where run_id = p_run_id;
  end if;
  if (p_usage ->> 'totalTokens')::integer - v_total > 0 then
    insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at, finished_at)
      values (p_run_id, v_steps + 1, p_attempt, 'model', v_run.model, p_finish_reason, p_usage || jsonb_build_object(
          'promptTokens', (p_usage ->> 'promptTokens')::integer - v_prompt,
          'completionTokens', (p_usage ->> 'completionTokens')::integer - v_completion,
          'totalTokens', (p_usage ->> 'totalTokens')::integer - v_total),
        coalesce(v_last_at, v_run.started_at), v_run.finished_at);
  end if;
  delete from public.agent_run_checkpoints where run_id = p_run_id;
  if not p_keep_messages then
    delete from public.agent_run_inputs where run_id = p_run_id;
  end if;
  if p_trace is not null then
    insert into public.agent_run_traces (run_id, trace) values (p_run_id, p_trace);
  end if;
  -- A response that was cut off is not cached.
  if v_run.cache_key is not null and p_status = 'succeeded' and p_response <> '' and p_finish_reason is distinct from 'length' then
    insert into public.response_cache (key, agent_id, response, finish_reason, model, expires_at)
      select v_run.cache_key, id, p_response, p_finish_reason, p_model, now() + make_interval(secs => v_run.cache_seconds)
        from public.agents where id = v_run.agent_id
      on conflict (key) do update set response = excluded.response, finish_reason = excluded.finish_reason,
        model = excluded.model, expires_at = excluded.expires_at;
  end if;
  return public.run_json(v_run);
end $$;

revoke execute on function public.finish_run(uuid, integer, text, text, text, jsonb, integer, text, jsonb, jsonb, boolean)
  from public, anon, authenticated;
grant execute on function public.finish_run(uuid, integer, text, text, text, jsonb, integer, text, jsonb, jsonb, boolean)
  to service_role;

-- PostgREST learns of what is new.
notify pgrst, 'reload schema';
