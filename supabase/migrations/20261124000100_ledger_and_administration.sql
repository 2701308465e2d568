-- Credits that can be held against their ledger, steps that users can read, administration, and what the edge function
-- needs to begin a run that the service goes on with.

-- --- Steps -----------------------------------------------------------------------------------------------------------

-- What a run was made of, without what was said: a model's turn, with what it used.
create table if not exists public.agent_run_steps (
  run_id uuid not null references public.agent_runs (id) on delete cascade,
  step integer not null,
  attempt integer not null,
  kind text not null check (kind in ('model', 'tool')),
  -- The model, or the tool.
  name text,
  finish_reason text,
  usage jsonb,
  started_at timestamptz,
  finished_at timestamptz not null default now(),
  primary key (run_id, step)
);
alter table public.agent_run_steps enable row level security;
revoke all on public.agent_run_steps from public, anon, authenticated;
grant select on public.agent_run_steps to authenticated;
grant select, insert, update, delete on public.agent_run_steps to service_role;
drop policy if exists agent_run_steps_own on public.agent_run_steps;
create policy agent_run_steps_own on public.agent_run_steps for select to authenticated
  using (exists (select from public.agent_runs r where r.id = run_id and r.user_id = (select auth.uid())));
drop policy if exists agent_run_steps_admin on public.agent_run_steps;
create policy agent_run_steps_admin on public.agent_run_steps for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- --- Balances against their ledger -----------------------------------------------------------------------------------

-- What a user had before the first entry of their ledger; from here on
--   opening - sum of the ledger = what can be spent + what is reserved.
-- No foreign key: a live balance may be of a user who is no more.
create table if not exists public.credit_openings (
  user_id uuid primary key,
  credits bigint not null,
  created_at timestamptz not null default now()
);
alter table public.credit_openings enable row level security;
revoke all on public.credit_openings from public, anon, authenticated;
grant select, insert, update, delete on public.credit_openings to service_role;

create or replace function public.open_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.credit_openings (user_id, credits)
    values (new.user_id, coalesce(new.credits_remaining, 0) + new.credits_reserved
      + (select coalesce(sum(credits_used), 0) from public.credit_usage where user_id = new.user_id))
    on conflict do nothing;
  return null;
end $$;
drop trigger if exists open_balance on public.credit_balances;
create trigger open_balance after insert on public.credit_balances for each row
  when (new.user_id is not null) execute function public.open_balance();

insert into public.credit_openings (user_id, credits)
  select b.user_id, coalesce(b.credits_remaining, 0) + b.credits_reserved + coalesce(sum(u.credits_used), 0)
    from public.credit_balances b left join public.credit_usage u on u.user_id = b.user_id
    where b.user_id is not null
    group by b.user_id, b.credits_remaining, b.credits_reserved
  on conflict do nothing;

-- Every balance with what its opening and its ledger make of it; `expected` is null where there is no opening.
create or replace function public.expected_balances()
returns table (user_id uuid, expected bigint, actual bigint)
language sql stable security definer set search_path = '' as $$
  select b.user_id, o.credits - coalesce(l.used, 0), coalesce(b.credits_remaining, 0)::bigint + b.credits_reserved
    from public.credit_balances b
    left join public.credit_openings o on o.user_id = b.user_id
    left join (select u.user_id, sum(u.credits_used)::bigint as used from public.credit_usage u group by u.user_id) l
      on l.user_id = b.user_id
    where b.user_id is not null
$$;

-- Compares balances, ledger and runs, in one look at all three.
-- Returns {checked: {balances, entries, runs}, problems: [{kind, userId, runId, expected, found, message}], total}:
-- at most p_limit of the problems, and how many there are.
create or replace function public.audit_credits(p_limit integer default 100) returns jsonb
language sql stable security definer set search_path = '' as $$
  with per_run as (
    select run_id, sum(credits_used)::bigint as entered, (array_agg(user_id))[1] as user_id
      from public.credit_usage where run_id is not null group by run_id
  ), held as (
    select user_id, sum(credits_reserved)::bigint as credits
      from public.agent_runs where finished_at is null and credits_reserved > 0 group by user_id
  ), problem (kind, user_id, run_id, expected, found, message) as (
    select 'balance', user_id, null::uuid, expected, actual,
        case when expected is null then 'The balance has no opening to be held against.'
          else 'The balance is not what its ledger makes of it.' end
      from public.expected_balances() where actual is distinct from expected
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
        -- With a deleted user the ledger is gone too.
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
              -- What was given up on purpose is for whoever lives.
              and (w.owner = r.owner or r.lease_until = '-infinity'))
  ), numbered as (
    select *, row_number() over (order by kind, user_id, run_id) as n from problem
  )
  select jsonb_build_object(
    'checked', jsonb_build_object(
      'balances', (select count(*) from public.credit_balances),
      'entries', (select count(*) from public.credit_usage),
      'runs', (select count(*) from public.agent_runs)),
    'problems', (select coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'userId', user_id, 'runId', run_id,
        'expected', expected, 'found', found, 'message', message) order by n), '[]') from numbered where n <= p_limit),
    'total', (select count(*) from problem))
$$;

-- Enters in the ledger what it lacks to add up to the balances, as they are, each with the reason given. For what was
-- changed past the ledger on purpose. Returns {adjusted}: how many balances.
create or replace function public.adjust_ledger(p_reason text) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_count integer;
begin
  if coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An adjustment needs a reason.';
  end if;
  -- What changes meanwhile would be entered twice.
  lock table public.credit_balances, public.credit_usage in share row exclusive mode;
  insert into public.credit_openings (user_id, credits)
    select e.user_id, e.actual + (select coalesce(sum(u.credits_used), 0) from public.credit_usage u where u.user_id = e.user_id)
      from public.expected_balances() e where e.expected is null;
  insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
    select e.user_id, e.expected - e.actual, 'adjustment', jsonb_build_object('reason', p_reason)
      from public.expected_balances() e where e.actual <> e.expected;
  get diagnostics v_count = row_count;
  return jsonb_build_object('adjusted', v_count);
end $$;

-- Gives a user credits, and enters it in the ledger as credits used below zero. Returns the balance.
create or replace function public.grant_credits(p_user_id uuid, p_credits integer, p_reason text, p_granted_by uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_credits is null or p_credits < 1 or coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'A grant is of one credit or more, and has a reason.';
  end if;
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  insert into public.credit_balances (user_id, credits_remaining) values (p_user_id, 0) on conflict (user_id) do nothing;
  update public.credit_balances set credits_remaining = coalesce(credits_remaining, 0) + p_credits
    where user_id = p_user_id and coalesce(credits_remaining, 0)::bigint + credits_reserved + p_credits <= 2147483647;
  if not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The balance would be larger than a balance can be.';
  end if;
  insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
    values (p_user_id, -p_credits, 'grant', jsonb_build_object('reason', p_reason, 'grantedBy', p_granted_by));
  return public.get_credits(p_user_id);
end $$;

-- --- Administration --------------------------------------------------------------------------------------------------

-- What admins did and looked at.
create table if not exists public.admin_actions (
  id bigint generated always as identity primary key,
  admin_id uuid not null,
  action text not null,
  user_id uuid,
  details jsonb not null default '{}',
  idempotency_key text,
  result jsonb,
  created_at timestamptz not null default now()
);
create unique index if not exists admin_actions_idempotency on public.admin_actions (admin_id, idempotency_key)
  where idempotency_key is not null;
alter table public.admin_actions enable row level security;
revoke all on public.admin_actions from public, anon, authenticated;
revoke all on sequence public.admin_actions_id_seq from public, anon, authenticated;
grant select on public.admin_actions to authenticated;
grant select, insert, update, delete on public.admin_actions to service_role;
drop policy if exists admin_actions_admin on public.admin_actions;
create policy admin_actions_admin on public.admin_actions for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- Whether a user is an admin, for functions that take the user on whose behalf they are called.
create or replace function public.require_admin(p_admin_id uuid) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if not exists (select from public.user_roles where user_id = p_admin_id and role = 'admin') then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'This is for admins.';
  end if;
end $$;

-- Notes what an admin does. Raises `forbidden` for everybody else.
create or replace function public.note_admin_action(p_admin_id uuid, p_action text, p_user_id uuid default null, p_details jsonb default '{}')
returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform public.require_admin(p_admin_id);
  insert into public.admin_actions (admin_id, action, user_id, details)
    values (p_admin_id, p_action, p_user_id, jsonb_strip_nulls(p_details));
end $$;

-- Credits that were used; what was granted or adjusted stands in the ledger too and is no use.
create or replace function public.platform_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language sql stable security definer set search_path = '' as $$
  with used as (
    select user_id, credits_used, created_at from public.credit_usage where operation_type not in ('grant', 'adjustment')
  )
  select
    (select count(*) from auth.users),
    (select count(*) from public.agents),
    (select count(*) from public.agents where created_at >= now() - interval '7 days'),
    (select count(*) from public.agents where created_at >= now() - interval '30 days'),
    (select count(distinct user_id) from used where created_at >= now() - interval '30 days'),
    (select coalesce(sum(credits_used), 0)::bigint from used),
    (select coalesce(sum(credits_used), 0)::bigint from used where created_at >= now() - interval '7 days'),
    (select count(*) from public.credit_balances where plan_type = 'pro'),
    (select count(*) from public.credit_balances where plan_type = 'expert')
$$;

create or replace function public.admin_stats(p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_user_id, 'stats');
  return (select to_jsonb(s) from public.platform_stats() s);
end $$;

-- A page of runs, newest first: {runs, next}; with whose they are where they are everybody's (p_user_id null).
create or replace function public.page_of_runs(p_user_id uuid, p_limit integer, p_status text, p_agent_id uuid, p_after uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_after public.agent_runs;
begin
  select * into v_after from public.agent_runs where id = p_after and (p_user_id is null or user_id = p_user_id);
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select r from public.agent_runs r
      where (p_user_id is null or r.user_id = p_user_id)
        and (p_status is null or r.status = p_status)
        and (p_agent_id is null or r.agent_id = p_agent_id)
        and (p_after is null or (r.created_at, r.id) < (v_after.created_at, v_after.id))
      order by r.created_at desc, r.id desc
      limit p_limit + 1
  ), numbered as (
    select r, row_number() over (order by (r).created_at desc, (r).id desc) as n from page
  )
  select jsonb_build_object(
    'runs', coalesce((select jsonb_agg(public.run_json(r) || jsonb_build_object('userId', (r).user_id) order by n)
      from numbered where n <= p_limit), '[]'),
    'next', (select (r).id from numbered where n = p_limit and exists (select from numbered where n > p_limit))));
end $$;
create index if not exists agent_runs_newest_of_all on public.agent_runs (created_at desc, id desc);

create or replace function public.list_runs(
  p_user_id uuid,
  p_limit integer,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_user_id is null then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'Whose runs?';
  end if;
  return public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
end $$;

-- A page of everybody's runs, or of one user's.
create or replace function public.admin_list_runs(
  p_admin_id uuid,
  p_limit integer,
  p_user_id uuid default null,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'runs', p_user_id,
    jsonb_build_object('status', p_status, 'agentId', p_agent_id, 'after', p_after));
  return public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
end $$;

-- A user's balance, with a page of its ledger, newest first: {credits, entries, next}; p_after is the `next` of the page
-- before, the id of its last entry.
create or replace function public.admin_get_ledger(p_admin_id uuid, p_user_id uuid, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after public.credit_usage;
begin
  perform public.note_admin_action(p_admin_id, 'ledger', p_user_id, jsonb_build_object('after', p_after));
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  select * into v_after from public.credit_usage where id = p_after and user_id = p_user_id;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select u.*, row_number() over (order by created_at desc, id desc) as n from public.credit_usage u
      where user_id = p_user_id and (p_after is null or (created_at, id) < (v_after.created_at, v_after.id))
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

-- An admin gives a user credits. With a key that was used before nothing is given again.
create or replace function public.admin_grant_credits(
  p_admin_id uuid, p_user_id uuid, p_credits integer, p_reason text, p_idempotency_key text default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_details jsonb := jsonb_build_object('credits', p_credits, 'reason', p_reason);
  v_before public.admin_actions;
  v_credits jsonb;
begin
  perform public.require_admin(p_admin_id);
  if p_idempotency_key is not null then
    -- Of two first requests with one key the second waits here until the first is through.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('grant' || p_admin_id || p_idempotency_key, 0));
    select * into v_before from public.admin_actions where admin_id = p_admin_id and idempotency_key = p_idempotency_key;
    if found then
      if v_before.user_id is distinct from p_user_id or v_before.details <> v_details then
        raise sqlstate 'PT422' using hint = 'idempotency_key_reused',
          message = 'This Idempotency-Key was used before with another request.';
      end if;
      return v_before.result;
    end if;
  end if;
  v_credits := public.grant_credits(p_user_id, p_credits, p_reason, p_admin_id);
  insert into public.admin_actions (admin_id, action, user_id, details, idempotency_key, result)
    values (p_admin_id, 'grant', p_user_id, v_details, p_idempotency_key, v_credits);
  return v_credits;
end $$;

-- The audit, on an admin's behalf.
create or replace function public.admin_audit_credits(p_admin_id uuid, p_limit integer default 100) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'audit');
  return public.audit_credits(p_limit);
end $$;

-- --- Runs that the edge function begins ------------------------------------------------------------------------------

-- An agent that a user may run, and where it runs.
create or replace function public.get_agent(p_user_id uuid, p_agent_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_agent public.agents;
begin
  select * into v_agent from public.agents where id = p_agent_id and (is_published or user_id = p_user_id);
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  return jsonb_build_object(
    'agentId', v_agent.id, 'name', v_agent.name, 'systemPrompt', v_agent.system_prompt, 'model', v_agent.ai_model,
    'temperature', v_agent.temperature, 'maxTokens', case when v_agent.max_tokens > 0 then v_agent.max_tokens end, 'knowledgeBase', v_agent.knowledge_base,
    'executor', v_agent.executor, 'isHeavy', coalesce(v_agent.is_heavy, false), 'railwayUrl', v_agent.railway_url,
    'hasFunctions', exists (select from public.agent_functions f where f.agent_id = p_agent_id and coalesce(f.is_enabled, true)));
end $$;

-- Moves credits from what can be spent to what is held; false: there are not enough.
create or replace function public.reserve_credits(p_user_id uuid, p_credits integer) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits, credits_reserved = credits_reserved + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  if found then
    return true;
  end if;
  -- Before a user is refused, what nobody will ever go on with gives back what it holds.
  if not public.end_forsaken_runs(p_user_id) then
    return false;
  end if;
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits, credits_reserved = credits_reserved + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  return found;
end $$;

-- Ends a user's runs that nobody has had for ten minutes, as where the edge function runs agents and no service is there
-- to take them over. Returns whether there were any.
create or replace function public.end_forsaken_runs(p_user_id uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_any boolean := false;
begin
  for v_run in
    select * from public.agent_runs r
      where user_id = p_user_id and finished_at is null
        and case when lease_until > '-infinity' then lease_until else created_at end < now() - interval '10 minutes'
        and public.is_abandoned(r)
        -- What a process has given up on purpose is for whoever lives.
        and (lease_until > '-infinity'
          or not exists (select from public.agent_workers w where w.lease_until > now() - interval '10 minutes'))
      for update skip locked
  loop
    update public.agent_runs set attempt = attempt + 1 where id = v_run.id;
    perform public.finish_run(v_run.id, v_run.attempt + 1, 'failed', '', null, null, 0, null, jsonb_build_object(
      'code', 'abandoned', 'message', 'The run was ended: nobody went on with it.'));
    v_any := true;
  end loop;
  return v_any;
end $$;

-- Ends a run that could not be handed to anybody; it costs nothing. One that somebody has is left as it is.
create or replace function public.drop_run(p_user_id uuid, p_run_id uuid, p_error jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.owner is not null or v_run.finished_at is not null then
    return public.run_json(v_run);
  end if;
  return public.finish_run(p_run_id, v_run.attempt, 'failed', '', null, null, 0, null, p_error);
end $$;

-- --- What this database is -------------------------------------------------------------------------------------------

-- {version, oldest, writable}: of what stands in these files; the oldest version of the service's code that it still
-- serves; and whether it takes writes, which a standby does not.
create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 2, 'oldest', 1,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off')
$$;

do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid::regprocedure from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname in (
        'open_balance', 'expected_balances', 'audit_credits', 'adjust_ledger', 'grant_credits',
        'require_admin', 'note_admin_action', 'platform_stats', 'admin_stats', 'page_of_runs', 'list_runs',
        'admin_list_runs', 'admin_get_ledger', 'admin_grant_credits', 'admin_audit_credits', 'get_agent',
        'reserve_credits', 'end_forsaken_runs', 'drop_run', 'schema_version')
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
end $$;

-- PostgREST learns of what is new.
notify pgrst, 'reload schema';
