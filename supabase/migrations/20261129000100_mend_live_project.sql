-- Mends what is unsafe or unfit in a live project, where the platform made its tables before the baseline. In a new project
-- it finds nothing to do. It may be applied again. docs/upgrade.md says what changes for whom.

-- --- Money and roles -------------------------------------------------------------------------------------------------

-- Drops all policies of these tables but the baseline's. Among the old ones are some that let anybody write, or read
-- everything, and no rule tells them from the good ones.
do $$
declare
  v_table text;
  v_policy text;
  -- Admins who gave roles through the frontend go on doing so.
  v_admins_write_roles boolean := exists (
    select from pg_catalog.pg_policies
      where schemaname = 'public' and tablename = 'user_roles' and cmd <> 'SELECT'
        and coalesce(qual, '') || coalesce(with_check, '') like '%has_role%');
begin
  foreach v_table in array array['credit_balances', 'credit_usage', 'user_roles'] loop
    for v_policy in
      select policyname from pg_catalog.pg_policies
        where schemaname = 'public' and tablename = v_table and policyname not in (v_table || '_own', v_table || '_admin')
    loop
      execute format('drop policy %I on public.%I', v_policy, v_table);
    end loop;
    -- Forced row-level security would hold the service's functions, which have their owner's rights, to the policies.
    execute format('alter table public.%I no force row level security', v_table);
  end loop;
  if v_admins_write_roles then
    grant insert, update, delete on public.user_roles to authenticated;
    create policy user_roles_admin_writes on public.user_roles for all to authenticated
      using ((select public.has_role((select auth.uid()), 'admin')))
      with check ((select public.has_role((select auth.uid()), 'admin')));
  end if;
end $$;

-- A policy for everybody that calls has_role would refuse pages that read without a session, unless anon may call it.
do $$
begin
  if exists (
    select from pg_catalog.pg_policies
      where roles && array['public', 'anon']::name[]
        and coalesce(qual, '') || coalesce(with_check, '') like '%has_role%')
  then
    grant execute on function public.has_role(uuid, public.app_role) to anon;
  end if;
end $$;

-- --- Keys, functions and schedules -----------------------------------------------------------------------------------

-- A key speaks for its owner, a function determines what an agent does, a schedule runs at its user's cost, and a row of
-- scheduled_runs determines what is begun and where a result is sent. Anonymous visitors get nothing of these tables; users
-- read their firings and may delete them. A table without any policy gets that of a new project.
alter table public.api_keys enable row level security;
alter table public.agent_functions enable row level security;
alter table public.agent_schedules enable row level security;
alter table public.scheduled_runs enable row level security;
revoke all on public.api_keys, public.agent_functions, public.agent_schedules, public.scheduled_runs from public, anon;
revoke insert, update, truncate on public.scheduled_runs from authenticated;
do $$
declare
  v_tables name[] := array(select distinct tablename from pg_catalog.pg_policies where schemaname = 'public');
begin
  if 'api_keys' <> all (v_tables) then
    create policy api_keys_own on public.api_keys for all to authenticated
      using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
  end if;
  if 'agent_functions' <> all (v_tables) then
    create policy agent_functions_own on public.agent_functions for all to authenticated
      using (exists (select from public.agents a where a.id = agent_id and a.user_id = (select auth.uid())));
  end if;
  if 'agent_schedules' <> all (v_tables) then
    create policy agent_schedules_own on public.agent_schedules for all to authenticated
      using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
  end if;
  if 'scheduled_runs' <> all (v_tables) then
    create policy scheduled_runs_own on public.scheduled_runs for select to authenticated
      using (exists (select from public.agent_schedules s where s.id = schedule_id and s.user_id = (select auth.uid())));
  end if;
end $$;

-- --- Constraints that refuse the service's rows ----------------------------------------------------------------------

-- A live table may admit only other kinds of entries or states, or require columns that the service does not fill. This
-- function tries the service's rows on an empty copy of the table (pg_temp.jeesi_probe) and takes off what refuses them.
create or replace function pg_temp.admit_rows(p_table text, p_insert text) returns void
language plpgsql as $$
declare
  v_name text;
begin
  loop
    drop table if exists pg_temp.jeesi_probe;
    execute format('create temporary table jeesi_probe (like public.%I including defaults including constraints including identity including generated)',
      p_table);
    begin
      execute p_insert;
      exit;
    exception
      when check_violation then
        get stacked diagnostics v_name = constraint_name;
        raise notice '%: dropped the constraint %, which refused rows of the service', p_table, v_name;
        execute format('alter table public.%I drop constraint %I', p_table, v_name);
      when not_null_violation then
        get stacked diagnostics v_name = column_name;
        raise notice '%: the column % may be null now, because the service does not fill it', p_table, v_name;
        execute format('alter table public.%I alter column %I drop not null', p_table, v_name);
    end;
  end loop;
  drop table pg_temp.jeesi_probe;
end $$;

select pg_temp.admit_rows('credit_usage', $$
  insert into pg_temp.jeesi_probe (user_id, agent_id, run_id, credits_used, operation_type, metadata) values
    (gen_random_uuid(), null, gen_random_uuid(), 1, 'agent_execution', '{}'),
    (gen_random_uuid(), null, null, 1, 'deduction', '{}'),
    (gen_random_uuid(), null, null, -1, 'grant', '{}'),
    (gen_random_uuid(), null, null, -1, 'adjustment', '{}') $$);

select pg_temp.admit_rows('scheduled_runs', $$
  insert into pg_temp.jeesi_probe (id, schedule_id, status, started_at)
    select gen_random_uuid(), gen_random_uuid(), (jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', s))).status, now()
      from unnest(array['running', 'completed', 'failed']) s $$);

drop function pg_temp.admit_rows(text, text);

-- --- Balances --------------------------------------------------------------------------------------------------------

-- Sets overdrawn balances to zero, with an entry in the ledger, and forbids new ones.
insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
  select user_id, credits_remaining, 'adjustment', jsonb_build_object('reason', 'An overdrawn balance was set to zero.')
    from public.credit_balances where credits_remaining < 0;
update public.credit_balances set credits_remaining = 0 where credits_remaining < 0 or credits_remaining is null;
do $$
begin
  if not exists (
    select from pg_catalog.pg_constraint
      where conrelid = 'public.credit_balances'::regclass and contype = 'c'
        and (pg_catalog.pg_get_constraintdef(oid) = 'CHECK ((credits_remaining >= 0))' or conname = 'credit_balances_not_negative'))
  then
    alter table public.credit_balances add constraint credit_balances_not_negative check (credits_remaining >= 0);
  end if;
end $$;

-- Gives each balance the opening that its ledger implies.
insert into public.credit_openings (user_id, credits)
  select b.user_id, coalesce(b.credits_remaining, 0) + b.credits_reserved + coalesce(sum(u.credits_used), 0)
    from public.credit_balances b left join public.credit_usage u on u.user_id = b.user_id
    where b.user_id is not null
    group by b.user_id, b.credits_remaining, b.credits_reserved
  on conflict do nothing;

notify pgrst, 'reload schema';
