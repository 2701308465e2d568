-- What a run of an agent in Python needs to know: its code.

-- Begins a run: idempotency, the agent, the reservation and the run's row, in one transaction.
--   p_input   {messages, functionResults}, kept so that another process can begin the run anew
--   p_owner   the process that has the run; null: nobody yet, until it is adopted or its lease ends
--   p_agent   the agent's configuration where the caller has checked user and credits itself; such a run is
--             never charged, and the agents table is not read
--   p_waiting there is no free slot: the run begins as `queued`
--   p_python  this service can run agents that are Python
-- Returns {run, agent, joined}; joined: the key has begun this run before, and nothing was done now.
create or replace function public.begin_run(
  p_user_id uuid,
  p_agent_id uuid,
  p_request_hash text,
  p_input jsonb,
  p_owner uuid,
  p_lease_seconds numeric,
  p_idempotency_key text default null,
  p_agent jsonb default null,
  p_waiting boolean default false,
  p_python boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_agent jsonb := p_agent;
  v_credits integer := case when p_agent is null then 1 else 0 end;
begin
  if p_idempotency_key is not null then
    -- Of two first requests with one key the second waits here until the first has its row.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(p_user_id || p_idempotency_key, 0));
    select * into v_run from public.agent_runs
      where user_id = p_user_id and idempotency_key = p_idempotency_key;
    if found then
      if v_run.request_hash <> p_request_hash then
        raise sqlstate 'PT422' using hint = 'idempotency_key_reused',
          message = 'This Idempotency-Key was used before with another request.';
      end if;
      return jsonb_build_object('run', public.run_json(v_run), 'agent', null, 'joined', true);
    end if;
  end if;

  if v_agent is null then
    v_agent := public.get_agent(p_user_id, p_agent_id) - array['agentId', 'isHeavy', 'railwayUrl'];
    if v_agent ->> 'executor' = 'python' and not p_python then
      raise sqlstate 'PT503' using hint = 'python_unavailable',
        message = 'This agent is written in Python, which this server cannot run.';
    end if;
    if v_agent ->> 'executor' = 'python' then
      v_agent := v_agent || jsonb_build_object('entrypoint', (select entrypoint from public.agents where id = p_agent_id));
    end if;
  end if;

  if v_credits > 0 and not public.reserve_credits(p_user_id, v_credits) then
    raise sqlstate 'PT402' using hint = 'insufficient_credits',
      message = 'There are not enough credits for this run.';
  end if;

  insert into public.agent_runs
      (user_id, agent_id, status, idempotency_key, request_hash, model, credits_reserved, started_at, owner, lease_until)
    values (p_user_id, p_agent_id, case when p_waiting then 'queued' else 'running' end, p_idempotency_key,
      p_request_hash, v_agent ->> 'model', v_credits, case when p_waiting then null else now() end, p_owner,
      now() + make_interval(secs => p_lease_seconds))
    returning * into v_run;
  insert into public.agent_run_inputs (run_id, input)
    values (v_run.id, p_input || jsonb_build_object('agent', v_agent));
  return jsonb_build_object('run', public.run_json(v_run), 'agent', v_agent, 'joined', false);
end $$;

do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid::regprocedure from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname = 'begin_run'
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
end $$;

-- PostgREST learns of what is new.
notify pgrst, 'reload schema';
