-- Schedules: when each is due next, its firings with the runs they begin, and what becomes of their results.

alter table public.agent_schedules
  -- What a live project may lack.
  add column if not exists user_id uuid,
  add column if not exists agent_id uuid,
  add column if not exists cron_expression text,
  add column if not exists timezone text default 'UTC',
  add column if not exists prompt_template text,
  add column if not exists output_action text default 'store',
  add column if not exists is_active boolean default true,
  -- Where the result of a webhook or an api_call goes to: {url, method, headers_json, body_template, secret}.
  add column if not exists output_config jsonb,
  -- Null with unplanned_since null: there is something wrong with the schedule, which was told once.
  add column if not exists next_run_at timestamptz,
  -- Since when it waits for somebody to compute next_run_at.
  add column if not exists unplanned_since timestamptz default now();
create index if not exists agent_schedules_due on public.agent_schedules (next_run_at) where is_active and next_run_at is not null;
create index if not exists agent_schedules_unplanned on public.agent_schedules (unplanned_since) where is_active and unplanned_since is not null;

alter table public.scheduled_runs
  add column if not exists schedule_id uuid,
  add column if not exists status text,
  add column if not exists result text,
  add column if not exists error text,
  add column if not exists started_at timestamptz default now(),
  add column if not exists completed_at timestamptz,
  -- The time it was due, and the run that it began.
  add column if not exists scheduled_for timestamptz,
  add column if not exists run_id uuid,
  -- Until the run has begun: {userId, agentId, content}, and until when somebody is at it.
  add column if not exists request jsonb,
  add column if not exists lease_until timestamptz,
  -- Of a result that is sent: pending, delivered or failed; when it is tried next, and how often it was.
  add column if not exists delivery_status text,
  add column if not exists delivery_at timestamptz,
  add column if not exists delivery_tries integer not null default 0;
create unique index if not exists scheduled_runs_once_a_time on public.scheduled_runs (schedule_id, scheduled_for) where scheduled_for is not null;
create index if not exists scheduled_runs_by_run on public.scheduled_runs (run_id) where run_id is not null;
create index if not exists scheduled_runs_to_begin on public.scheduled_runs (lease_until) where run_id is null and request is not null;
create index if not exists scheduled_runs_to_deliver on public.scheduled_runs (delivery_at) where delivery_status = 'pending';

-- A live table may know other states only, or ask for columns that the service's rows do not have. What refuses them is
-- found by trying, on a copy without rows, and taken off.
do $$
declare
  v_name text;
begin
  loop
    drop table if exists pg_temp.jeesi_probe;
    create temporary table jeesi_probe (like public.scheduled_runs including defaults including constraints including identity including generated);
    begin
      insert into jeesi_probe (id, schedule_id, status, started_at)
        select gen_random_uuid(), gen_random_uuid(), (jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', s))).status, now()
          from unnest(array['running', 'completed', 'failed']) s;
      exit;
    exception
      when check_violation then
        get stacked diagnostics v_name = constraint_name;
        raise notice 'scheduled_runs: dropped the constraint %, which refused the service''s rows', v_name;
        execute format('alter table public.scheduled_runs drop constraint %I', v_name);
      when not_null_violation then
        get stacked diagnostics v_name = column_name;
        raise notice 'scheduled_runs: the column % may be null now, for the service''s rows have none', v_name;
        execute format('alter table public.scheduled_runs alter column %I drop not null', v_name);
    end;
  end loop;
  drop table pg_temp.jeesi_probe;
end $$;

-- --- Who may write what ----------------------------------------------------------------------------------------------

-- A row of scheduled_runs says what is begun and where a result goes: users read theirs and may throw them away.
do $$
begin
  alter table public.agent_schedules enable row level security;
  alter table public.scheduled_runs enable row level security;
  revoke all on public.agent_schedules, public.scheduled_runs from public, anon;
  revoke insert, update, truncate on public.scheduled_runs from authenticated;
  if not exists (select from pg_catalog.pg_policies where schemaname = 'public' and tablename = 'agent_schedules') then
    create policy agent_schedules_own on public.agent_schedules for all to authenticated
      using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
  end if;
  if not exists (select from pg_catalog.pg_policies where schemaname = 'public' and tablename = 'scheduled_runs') then
    create policy scheduled_runs_own on public.scheduled_runs for select to authenticated
      using (exists (select from public.agent_schedules s where s.id = schedule_id and s.user_id = (select auth.uid())));
  end if;
end $$;

-- A schedule runs at its user's cost, and when is the service's to say. What is edited is planned anew: from the moment
-- of the edit, so that no time between that and the planning is lost.
create or replace function public.guard_schedule() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_is_user boolean := current_user in ('anon', 'authenticated');
begin
  if v_is_user and new.user_id is distinct from auth.uid()
    and (tg_op = 'INSERT' or new.user_id is distinct from old.user_id)
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'A schedule is its own user''s.';
  end if;
  if tg_op = 'INSERT' then
    new.next_run_at := null;
    new.unplanned_since := now();
    return new;
  end if;
  -- Pages that save the whole row save what they have read of these.
  if v_is_user then
    new.next_run_at := old.next_run_at;
    new.unplanned_since := old.unplanned_since;
  end if;
  if (new.cron_expression, new.timezone, new.is_active) is distinct from (old.cron_expression, old.timezone, old.is_active)
    or (old.next_run_at is null and old.unplanned_since is null
      and (new.user_id, new.agent_id, new.prompt_template, new.output_action, new.output_config)
        is distinct from (old.user_id, old.agent_id, old.prompt_template, old.output_action, old.output_config))
  then
    new.next_run_at := null;
    new.unplanned_since := now();
  end if;
  return new;
end $$;
drop trigger if exists guard_schedule on public.agent_schedules;
create trigger guard_schedule before insert or update on public.agent_schedules for each row
  execute function public.guard_schedule();

-- --- When ------------------------------------------------------------------------------------------------------------

-- The schedules that are due within so many seconds (null: ever), the next first, and the ids of those that have to be planned.
-- Returns {now, timed: [{id, cron, timezone, nextRunAt}], unplanned: [id]}.
create or replace function public.list_schedules(p_within_seconds numeric, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'timed', (
      select coalesce(jsonb_agg(jsonb_build_object(
          'id', s.id, 'cron', s.cron_expression, 'timezone', s.timezone, 'nextRunAt', public.iso_time(s.next_run_at)) order by s.next_run_at), '[]')
        from (
          select * from public.agent_schedules
            where is_active and next_run_at is not null
              and (p_within_seconds is null or next_run_at <= now() + make_interval(secs => p_within_seconds))
            order by next_run_at limit p_limit) s),
    'unplanned', (
      select coalesce(jsonb_agg(s.id), '[]')
        from (
          select id from public.agent_schedules where is_active and unplanned_since is not null and id is not null
            order by unplanned_since limit p_limit) s))
$$;

-- Schedules that are active, with all it takes to plan and fire them: {now, schedules}.
create or replace function public.get_schedules(p_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'schedules', coalesce(jsonb_agg(jsonb_build_object(
      'id', s.id, 'userId', s.user_id, 'agentId', s.agent_id, 'cron', s.cron_expression, 'timezone', s.timezone,
      'prompt', s.prompt_template, 'action', s.output_action, 'config', s.output_config,
      'nextRunAt', public.iso_time(s.next_run_at), 'unplannedSince', public.iso_time(s.unplanned_since))), '[]'))
    from public.agent_schedules s
    where s.is_active and s.id in (select value::uuid from jsonb_array_elements_text(p_ids))
$$;

-- Says when a schedule is due next, unless it was edited since it was read.
create or replace function public.plan_schedule(p_schedule_id uuid, p_cron text, p_timezone text, p_next timestamptz) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.agent_schedules set next_run_at = p_next, unplanned_since = null
    where id = p_schedule_id and unplanned_since is not null
      and cron_expression is not distinct from p_cron and timezone is not distinct from p_timezone;
  return jsonb_build_object('planned', found);
end $$;

-- There is something wrong with a schedule: that is told by a row of its own, once, and it rests until it is edited.
--   p_since  when it was due, or since when it waits to be planned, as it was read
create or replace function public.fault_schedule(p_schedule_id uuid, p_since timestamptz, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_told boolean;
begin
  update public.agent_schedules set next_run_at = null, unplanned_since = null
    where id = p_schedule_id and date_trunc('milliseconds', coalesce(unplanned_since, next_run_at)) = p_since;
  v_told := found;
  if v_told then
    insert into public.scheduled_runs (id, schedule_id, status, error, started_at, completed_at)
      select gen_random_uuid(), p_schedule_id, p.status, p.error, now(), now()
        from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p;
  end if;
  return jsonb_build_object('told', v_told);
end $$;

-- --- Firings ---------------------------------------------------------------------------------------------------------

-- A schedule is due: it is moved to its next time, and the firing has its row, by whoever comes first.
--   p_due      the time it was moved to before, as it was read: in milliseconds
--   p_for      the time that is fired for: the latest of those that were missed
--   p_content  what the agent is asked
-- Returns the firing, or null: it was fired or edited meanwhile.
create or replace function public.fire_schedule(
  p_schedule_id uuid, p_due timestamptz, p_for timestamptz, p_next timestamptz, p_content text, p_lease_seconds numeric
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_schedule public.agent_schedules;
  v_id uuid;
begin
  update public.agent_schedules set next_run_at = p_next
    where id = p_schedule_id and is_active and date_trunc('milliseconds', next_run_at) = p_due
    returning * into v_schedule;
  if not found then
    return null;
  end if;
  insert into public.scheduled_runs (id, schedule_id, status, started_at, scheduled_for, request, lease_until)
    select gen_random_uuid(), p_schedule_id, p.status, now(), p_for,
        jsonb_build_object('userId', v_schedule.user_id, 'agentId', v_schedule.agent_id, 'content', p_content),
        now() + make_interval(secs => p_lease_seconds)
      from jsonb_populate_record(null::public.scheduled_runs, '{"status": "running"}') p
    on conflict do nothing
    returning id into v_id;
  return (select public.firing_json(r) from public.scheduled_runs r where r.id = v_id);
end $$;

create or replace function public.firing_json(r public.scheduled_runs) returns jsonb
language sql stable set search_path = '' as $$
  select r.request || jsonb_build_object('id', r.id, 'scheduleId', r.schedule_id, 'startedAt', public.iso_time(r.started_at), 'now', public.iso_time(now()))
$$;

-- Takes up firings whose process died before their run had begun.
create or replace function public.claim_firings(p_lease_seconds numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_firings jsonb;
begin
  with claimed as (
    update public.scheduled_runs r set lease_until = now() + make_interval(secs => p_lease_seconds)
      where r.id in (
        select id from public.scheduled_runs where run_id is null and request is not null and lease_until < now()
          order by lease_until limit p_limit for update skip locked)
      returning r.*)
  select coalesce(jsonb_agg(public.firing_json(c)), '[]') into v_firings from claimed c;
  return v_firings;
end $$;

-- The run of a firing could not begin: that is tried again after so many seconds, by whoever looks first.
create or replace function public.postpone_firing(p_id uuid, p_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs set lease_until = now() + make_interval(secs => p_seconds)
    where id = p_id and run_id is null and request is not null;
  return jsonb_build_object('postponed', found);
end $$;

-- The run of a firing will not begin.
create or replace function public.fail_firing(p_id uuid, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set (status, error) = (
          select p.status, p.error
            from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p),
        completed_at = now(), request = null, lease_until = null
    where id = p_id and run_id is null and request is not null;
  return jsonb_build_object('failed', found);
end $$;

-- A run and its firing know each other from the run's first moment, whatever becomes of the process in between. Users
-- can use the key too, and gain nothing by it: of another's firing they are not the user.
create or replace function public.link_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs set run_id = new.id, request = null, lease_until = null
    where id = substr(new.idempotency_key, 10)::uuid and run_id is null and request ->> 'userId' = new.user_id::text;
  return null;
end $$;
drop trigger if exists link_scheduled_run on public.agent_runs;
create trigger link_scheduled_run after insert on public.agent_runs for each row
  when (new.idempotency_key ~ '^schedule:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$')
  execute function public.link_scheduled_run();

-- The end of a run is its firing's, in the transaction of the settlement. What a live table will not take is no reason
-- not to settle.
create or replace function public.settle_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set (status, result, error) = (
          select p.status, p.result, p.error
            from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object(
              'status', case when new.status = 'succeeded' then 'completed' else 'failed' end,
              'result', case when new.status = 'succeeded' then new.response else nullif(new.response, '') end,
              'error', case new.status
                when 'failed' then coalesce(new.error ->> 'message', 'The run failed.')
                when 'cancelled' then 'The run was cancelled.' end)) p),
        completed_at = new.finished_at,
        delivery_status = case when new.status = 'succeeded' and exists (
          select from public.agent_schedules s where s.id = r.schedule_id and s.output_action in ('webhook', 'api_call')) then 'pending' end,
        delivery_at = now()
    where run_id = new.id;
  return null;
exception when data_exception or integrity_constraint_violation then
  raise warning 'scheduled_runs does not take the end of run %: %', new.id, sqlerrm;
  return null;
end $$;
drop trigger if exists settle_scheduled_run on public.agent_runs;
create trigger settle_scheduled_run after update of finished_at on public.agent_runs for each row
  when (old.finished_at is null and new.finished_at is not null and new.idempotency_key like 'schedule:%')
  execute function public.settle_scheduled_run();

-- --- Deliveries ------------------------------------------------------------------------------------------------------

-- Takes results that are to be sent now, for so many seconds; the try counts, be its process killed over it.
create or replace function public.claim_deliveries(p_lease_seconds numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_deliveries jsonb;
begin
  with claimed as (
    update public.scheduled_runs r
      set delivery_at = now() + make_interval(secs => p_lease_seconds), delivery_tries = delivery_tries + 1
      where r.id in (
        select id from public.scheduled_runs where delivery_status = 'pending' and delivery_at <= now()
          order by delivery_at limit p_limit for update skip locked)
      returning r.*)
  select coalesce(jsonb_agg(jsonb_build_object(
      'id', c.id, 'scheduleId', c.schedule_id, 'runId', c.run_id, 'tries', c.delivery_tries, 'result', to_jsonb(c) ->> 'result',
      'scheduledFor', public.iso_time(c.scheduled_for), 'completedAt', public.iso_time(c.completed_at::timestamptz),
      'agentId', s.agent_id, 'userId', s.user_id, 'action', s.output_action, 'config', s.output_config,
      'prompt', s.prompt_template, 'timezone', s.timezone)), '[]')
    into v_deliveries
    from claimed c join public.agent_schedules s on s.id = c.schedule_id;
  return v_deliveries;
end $$;

-- What became of a try: delivered, failed for good, pending for so many seconds, or null where nothing is to be sent any
-- more; unless another has tried since.
create or replace function public.record_delivery(
  p_id uuid, p_tries integer, p_status text, p_error text default null, p_seconds numeric default 0
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set delivery_status = p_status, delivery_at = now() + make_interval(secs => p_seconds)
    where id = p_id and delivery_tries = p_tries and delivery_status = 'pending';
  if found and p_status = 'failed' then
    update public.scheduled_runs r
      set (status, error) = (
        select p.status, p.error
          from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p)
      where id = p_id;
  end if;
  return jsonb_build_object('recorded', found);
end $$;

do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid::regprocedure from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname in (
        'guard_schedule', 'list_schedules', 'get_schedules', 'plan_schedule', 'fault_schedule', 'fire_schedule', 'firing_json',
        'claim_firings', 'postpone_firing', 'fail_firing', 'link_scheduled_run', 'settle_scheduled_run', 'claim_deliveries',
        'record_delivery')
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
end $$;
notify pgrst, 'reload schema';
