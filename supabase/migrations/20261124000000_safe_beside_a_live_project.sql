-- What is unsafe in a project that is live already is mended here; on a new one most of this finds nothing to do.
-- docs/upgrade.md tells what changes for whom.

-- --- Money and rights: users read their own, and write neither -------------------------------------------------------

-- Who is anonymous has no role. Asked by a policy that holds for everybody, it is told so and not refused.
create or replace function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path = '' as $$
  select coalesce(auth.role(), '') <> 'anon'
    and exists (select from public.user_roles where user_id = _user_id and role = _role)
$$;

-- Whatever policies there were, these take their place: among the old ones are such as let everybody write, or read
-- everything, and no rule tells them from good ones.
do $$
declare
  money text;
  old record;
  -- Where admins gave roles by the frontend they go on doing so.
  v_admins_write_roles boolean := exists (
    select from pg_catalog.pg_policies
      where schemaname = 'public' and tablename = 'user_roles' and cmd <> 'SELECT'
        and coalesce(qual, '') || coalesce(with_check, '') like '%has_role%');
begin
  foreach money in array array['credit_balances', 'credit_usage', 'user_roles'] loop
    for old in select policyname from pg_catalog.pg_policies where schemaname = 'public' and tablename = money loop
      execute format('drop policy %I on public.%I', old.policyname, money);
    end loop;
    execute format('alter table public.%I enable row level security', money);
    -- The service's functions are their owner's, whom forced row-level security would hold to the policies.
    execute format('alter table public.%I no force row level security', money);
    execute format('revoke all on public.%I from public, anon, authenticated', money);
    execute format('grant select on public.%I to authenticated', money);
    execute format('create policy %I on public.%I for select to authenticated using (user_id = (select auth.uid()))',
      money || '_own', money);
    execute format('create policy %I on public.%I for select to authenticated using ((select public.has_role((select auth.uid()), ''admin'')))',
      money || '_admin', money);
  end loop;
  if v_admins_write_roles then
    grant insert, update, delete on public.user_roles to authenticated;
    create policy user_roles_admin_writes on public.user_roles for all to authenticated
      using ((select public.has_role((select auth.uid()), 'admin')))
      with check ((select public.has_role((select auth.uid()), 'admin')));
  end if;
end $$;

-- Who may write keys may speak for their owner, and who may write functions says what an agent does.
do $$
begin
  alter table public.api_keys enable row level security;
  alter table public.agent_functions enable row level security;
  revoke all on public.api_keys, public.agent_functions from public, anon;
  if not exists (select from pg_catalog.pg_policies where schemaname = 'public' and tablename = 'api_keys') then
    create policy api_keys_own on public.api_keys for all to authenticated
      using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
  end if;
  if not exists (select from pg_catalog.pg_policies where schemaname = 'public' and tablename = 'agent_functions') then
    create policy agent_functions_own on public.agent_functions for all to authenticated
      using (exists (select from public.agents a where a.id = agent_id and a.user_id = (select auth.uid())));
  end if;
end $$;

-- --- The ledger takes the service's entries --------------------------------------------------------------------------

-- A live ledger may know other kinds of entries only, or ask for columns that these do not have. What refuses them is
-- found by trying, on a copy without rows, and taken off.
do $$
declare
  v_name text;
begin
  loop
    drop table if exists pg_temp.jeesi_probe;
    create temporary table jeesi_probe (like public.credit_usage including defaults including constraints including identity including generated);
    begin
      insert into jeesi_probe (user_id, agent_id, run_id, credits_used, operation_type, metadata) values
        (gen_random_uuid(), null, gen_random_uuid(), 1, 'agent_execution', '{}'),
        (gen_random_uuid(), null, null, 1, 'deduction', '{}'),
        (gen_random_uuid(), null, null, -1, 'grant', '{}'),
        (gen_random_uuid(), null, null, -1, 'adjustment', '{}');
      exit;
    exception
      when check_violation then
        get stacked diagnostics v_name = constraint_name;
        raise notice 'credit_usage: dropped the constraint %, which refused the service''s entries', v_name;
        execute format('alter table public.credit_usage drop constraint %I', v_name);
      when not_null_violation then
        get stacked diagnostics v_name = column_name;
        raise notice 'credit_usage: the column % may be null now, for the service''s entries have none', v_name;
        execute format('alter table public.credit_usage alter column %I drop not null', v_name);
    end;
  end loop;
  drop table pg_temp.jeesi_probe;
end $$;

-- --- A balance is never negative -------------------------------------------------------------------------------------

do $$
begin
  -- What was overdrawn is forgiven, and the ledger says so.
  insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
    select user_id, credits_remaining, 'adjustment', jsonb_build_object('reason', 'An overdrawn balance was set to zero.')
      from public.credit_balances where credits_remaining < 0;
  update public.credit_balances set credits_remaining = 0 where credits_remaining < 0 or credits_remaining is null;
  if not exists (
    select from pg_catalog.pg_constraint
      where conrelid = 'public.credit_balances'::regclass and contype = 'c'
        and (pg_catalog.pg_get_constraintdef(oid) = 'CHECK ((credits_remaining >= 0))' or conname = 'credit_balances_not_negative'))
  then
    alter table public.credit_balances add constraint credit_balances_not_negative check (credits_remaining >= 0);
  end if;
end $$;

-- Takes credits outside of a run, and enters it in the ledger.
create or replace function public.deduct_credits(p_user_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_credits is null or p_credits < 0 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'p_credits must be zero or more.';
  end if;
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits,
        credits_used_this_month = coalesce(credits_used_this_month, 0) + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  if not found then
    raise sqlstate 'PT402' using hint = 'insufficient_credits', message = 'There are not enough credits.';
  end if;
  if p_credits > 0 then
    insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (p_user_id, p_credits, 'deduction', '{}');
  end if;
end $$;

-- Callers of the live deduct_credits enter in the ledger themselves what they took, and what for. Their entry takes the
-- place of the bare one, or the ledger would have it twice.
create or replace function public.replace_bare_deduction() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.credit_usage where id = (
    select id from public.credit_usage
      where user_id = new.user_id and operation_type = 'deduction' and credits_used = new.credits_used
        and created_at > now() - interval '1 minute'
      order by created_at limit 1 for update skip locked);
  return new;
end $$;
drop trigger if exists replace_bare_deduction on public.credit_usage;
create trigger replace_bare_deduction before insert on public.credit_usage for each row
  when (new.run_id is null and new.operation_type not in ('deduction', 'grant', 'adjustment'))
  execute function public.replace_bare_deduction();

-- --- Where a user's agent runs is not the user's to say --------------------------------------------------------------

-- The edge function sends its secret to `railway_url`, and `entrypoint` is code that is run here.
create or replace function public.guard_agent_executor() returns trigger
language plpgsql set search_path = '' as $$
declare
  -- By the request's own role, and as an owner's functions see it the same.
  v_is_user boolean := current_user in ('anon', 'authenticated');
  v_before jsonb := '{}';
begin
  if not v_is_user then
    return new;
  end if;
  -- An insert may be an upsert of a row that is there.
  select to_jsonb(a) into v_before from public.agents a where a.id = case when tg_op = 'UPDATE' then old.id else new.id end;
  if (coalesce(new.railway_url, '') not in ('', coalesce(v_before ->> 'railway_url', ''))
      or new.executor not in ('model', coalesce(v_before ->> 'executor', ''))
      or coalesce(new.entrypoint, '') not in ('', coalesce(v_before ->> 'entrypoint', '')))
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'Only admins set an agent''s railway_url, executor or entrypoint.';
  end if;
  return new;
end $$;
-- The same for functions that are code.
create or replace function public.guard_function_code() returns trigger
language plpgsql set search_path = '' as $$
begin
  if current_user in ('anon', 'authenticated') and new.function_type = 'python'
    and not exists (
      select from public.agent_functions f
        where f.id = case when tg_op = 'UPDATE' then old.id else new.id end and f.agent_id = new.agent_id
          and f.function_type = 'python' and f.config -> 'entrypoint' is not distinct from new.config -> 'entrypoint')
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'Only admins make functions that are Python, or say what code they are.';
  end if;
  return new;
end $$;
drop trigger if exists guard_function_code on public.agent_functions;
create trigger guard_function_code before insert or update on public.agent_functions for each row
  execute function public.guard_function_code();

drop trigger if exists guard_agent_executor on public.agents;
create trigger guard_agent_executor before insert or update on public.agents for each row
  execute function public.guard_agent_executor();

-- --- What the service keeps for itself -------------------------------------------------------------------------------

-- Older projects grant everything on a new table to everybody.
revoke all on public.agent_runs, public.agent_run_inputs, public.agent_run_traces, public.agent_workers
  from public, anon, authenticated;
grant select on public.agent_runs to authenticated;
drop policy if exists agent_runs_admin on public.agent_runs;
create policy agent_runs_admin on public.agent_runs for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

do $$
begin
  revoke execute on function public.has_role(uuid, public.app_role) from public, anon;
  -- A page that reads without a session, by a policy for everybody that asks for roles, would else be refused.
  if exists (
    select from pg_catalog.pg_policies
      where roles && array['public', 'anon']::name[]
        and coalesce(qual, '') || coalesce(with_check, '') like '%has_role%')
  then
    grant execute on function public.has_role(uuid, public.app_role) to anon;
  end if;
  grant execute on function public.has_role(uuid, public.app_role) to authenticated, service_role;

  revoke execute on function public.deduct_credits(uuid, integer) from public, anon, authenticated;
  grant execute on function public.deduct_credits(uuid, integer) to service_role;
  revoke execute on function public.replace_bare_deduction(), public.guard_agent_executor(), public.guard_function_code()
    from public, anon, authenticated;
end $$;

-- --- Live updates for the frontend -----------------------------------------------------------------------------------

-- Row-level security holds for them too.
do $$
declare
  v_table text;
begin
  if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime' and not puballtables) then
    return;
  end if;
  foreach v_table in array array['agent_runs', 'credit_balances'] loop
    continue when exists (
      select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = v_table);
    -- A table that is published and cannot tell its rows apart takes no update any more.
    if not exists (select from pg_catalog.pg_index where indrelid = ('public.' || v_table)::regclass and indisprimary) then
      execute format('alter table public.%I replica identity full', v_table);
    end if;
    execute format('alter publication supabase_realtime add table public.%I', v_table);
  end loop;
exception when insufficient_privilege then
  raise notice 'supabase_realtime is not this role''s: add agent_runs and credit_balances to it in the dashboard';
end $$;
