-- What many processes beside one database need: runs that begin without an owner and are handed out one by one, a
-- user's limit over all processes, and what a run's finished steps have told, for readers beside another process.

-- --- Handing runs out ------------------------------------------------------------------------------------------------

-- Gives a run that nobody has to a process, as an attempt of its own.
--   p_keep_first  a run that nobody ever had stays at its first attempt: none of its events has another author
--   p_starts      it has its slot
-- Returns what it takes to make the attempt; null: it broke down processes so often that it was ended.
create or replace function public.take_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_crashes integer, p_keep_first boolean, p_starts boolean
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_is_fresh boolean;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  v_is_fresh := v_run.owner is null and v_run.status = 'queued' and v_run.attempt = 1;
  update public.agent_runs
    set attempt = case when v_is_fresh and p_keep_first then attempt else attempt + 1 end,
        crashes = case when v_is_fresh or lease_until = '-infinity' then crashes else crashes + 1 end,
        status = case when p_starts then 'running' else status end,
        started_at = case when p_starts then coalesce(started_at, now()) else started_at end,
        owner = p_owner, lease_until = now() + make_interval(secs => p_lease_seconds)
    where id = p_run_id
    returning * into v_run;
  if v_run.crashes >= p_max_crashes then
    begin
      perform public.finish_run(v_run.id, v_run.attempt, 'failed', '', null, null, 0, null, jsonb_build_object(
        'code', 'crashed_too_often', 'message', 'The run was ended: the server broke down over it again and again.'));
    exception when lock_not_available then
      -- Somebody holds its user's balance: it is given up as unknown, and ended another time.
      null;
    end;
    return null;
  end if;
  return jsonb_build_object(
    'run', public.run_json(v_run),
    'userId', v_run.user_id,
    'cancel', v_run.cancel_requested,
    'input', (select input from public.agent_run_inputs where run_id = v_run.id),
    'steps', public.checkpoints_of(v_run.id));
end $$;

create or replace function public.is_python_run(p_run_id uuid) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (
    select from public.agent_run_inputs where run_id = p_run_id and input -> 'agent' ->> 'executor' = 'python')
$$;

-- Takes over what nobody has, oldest first.
--   p_lapsed  of these only what a process had that says nothing more; what waits, or was given up, is handed out by name
drop function if exists public.claim_runs(uuid, numeric, integer, integer, boolean);
create or replace function public.claim_runs(
  p_owner uuid, p_lease_seconds numeric, p_limit integer, p_max_crashes integer default 20, p_python boolean default true,
  p_keep_first boolean default false, p_lapsed boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_taken jsonb;
  v_claimed jsonb := '[]';
begin
  for v_id in
    select id from public.agent_runs r
      where finished_at is null and lease_until < now() and public.is_abandoned(r)
        and (not p_lapsed or (owner is not null and lease_until > '-infinity'))
        and (p_python or not public.is_python_run(id))
      order by lease_until, created_at
      limit p_limit
      for update skip locked
  loop
    v_taken := public.take_run(v_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, false);
    if v_taken is not null then
      v_claimed := v_claimed || v_taken;
    end if;
  end loop;
  return jsonb_build_object(
    'claimed', v_claimed,
    'outstanding', exists (select from public.agent_runs where finished_at is null));
end $$;

-- Takes a run that was handed out by name.
--   p_max_per_user  how many of its user's runs may be under way at a time, anywhere
--   p_keep_first    as of take_run
-- Returns {claimed} or {refused}: 'ended'; 'owned' by a process that lives; 'busy', its user has as many as may be;
-- 'unable', it is Python and this process has none.
create or replace function public.claim_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_per_user integer, p_python boolean default true,
  p_max_crashes integer default 20, p_keep_first boolean default true
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_taken jsonb;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found or v_run.finished_at is not null then
    return '{"refused": "ended"}';
  elsif not public.is_abandoned(v_run) then
    return '{"refused": "owned"}';
  elsif not p_python and public.is_python_run(p_run_id) then
    return '{"refused": "unable"}';
  end if;
  -- Of two that take a user's last place the second waits here until the first has it.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('slots of ' || v_run.user_id, 0));
  if (select count(*) from public.agent_runs r
      where user_id = v_run.user_id and finished_at is null and owner is not null and id <> p_run_id
        and not public.is_abandoned(r)) >= p_max_per_user then
    return '{"refused": "busy"}';
  end if;
  v_taken := public.take_run(p_run_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, true);
  return case when v_taken is null then '{"refused": "ended"}' else jsonb_build_object('claimed', v_taken) end;
end $$;

-- Runs that wait for somebody to take them, for whoever hands them out: {runs: [{runId, userId}], outstanding}, oldest
-- first.
--   p_queued  those that nobody ever had, too; they wait where they were put, unless that was lost
create or replace function public.list_waiting_runs(p_limit integer, p_queued boolean) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'runs', coalesce((
      select jsonb_agg(jsonb_build_object('runId', id, 'userId', user_id) order by created_at) from (
        select id, user_id, created_at from public.agent_runs r
          where finished_at is null and lease_until < now() and public.is_abandoned(r)
            and (lease_until = '-infinity' or (owner is null and (p_queued or status = 'running')))
          order by created_at limit p_limit) u), '[]'),
    'outstanding', exists (select from public.agent_runs where finished_at is null))
$$;

-- Ends a user's runs that nobody has had for ten minutes; see the migration before. One that waits for whoever has a slot
-- is forsaken only where nobody lives.
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
        and ((lease_until > '-infinity' and (owner is not null or status = 'running'))
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

-- --- Finished steps of a run, for readers elsewhere --------------------------------------------------------------------

-- What an attempt has told by the end of a step, since the step before: {first, events}, `first` the first one's number.
alter table public.agent_run_checkpoints
  add column if not exists attempt integer,
  add column if not exists told jsonb;

-- Writes down a step that has ended; see the migration before.
--   p_told  what was told since the step before
drop function if exists public.record_step(uuid, integer, integer, jsonb, jsonb, integer);
create or replace function public.record_step(
  p_run_id uuid, p_attempt integer, p_number integer, p_step jsonb, p_record jsonb, p_credits integer default 0,
  p_told jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_reserved integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.attempt <> p_attempt or v_run.finished_at is not null then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  insert into public.agent_run_checkpoints (run_id, step, record, attempt, told)
    values (p_run_id, p_number, p_record, p_attempt, p_told)
    on conflict (run_id, step) do update set attempt = excluded.attempt, told = excluded.told;
  insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at)
    values (p_run_id, p_number, p_attempt, p_step ->> 'kind', p_step ->> 'name', p_step ->> 'finishReason', p_step -> 'usage',
      (p_step ->> 'startedAt')::timestamptz)
    on conflict do nothing;
  update public.agent_runs set credits_used = greatest(credits_used, (p_step ->> 'credits')::integer) where id = p_run_id;
  v_reserved := public.extend_reservation(p_run_id, p_credits);
  return jsonb_build_object('reserved', v_reserved, 'isEnough', not v_run.is_charged or v_reserved >= coalesce(p_credits, 0));
end $$;

-- What the finished steps of runs under way have told: [{runId, attempt, after, told: [{first, events}]}].
--   p_cursors  {runId: number of the last event that is known}
create or replace function public.get_told_steps(p_cursors jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('runId', r.id, 'attempt', r.attempt, 'told', t.told)), '[]')
    from jsonb_each_text(p_cursors) as wanted (id, cursor)
    join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is null
    cross join lateral (
      select jsonb_agg(c.told order by c.step) as told from public.agent_run_checkpoints c
        where c.run_id = r.id and c.attempt = r.attempt and (c.told ->> 'first')::bigint + jsonb_array_length(c.told -> 'events') > wanted.cursor::bigint + 1) t
    where t.told is not null
$$;

create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 4, 'oldest', 1,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off')
$$;

do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid::regprocedure from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname in (
        'take_run', 'is_python_run', 'claim_runs', 'claim_run', 'list_waiting_runs', 'end_forsaken_runs', 'record_step', 'get_told_steps',
        'schema_version')
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
end $$;
notify pgrst, 'reload schema';
