-- Gives a run that was begun without an owner to the calling process.
--   p_waiting  true if no slot is free: the run stays `queued`
--   p_python   true if this process can run agents written in Python
--   p_repeated  true if the same call was made before and its answer was lost: a run that is already this process's is
--              given to it again
--   p_inline_bytes, p_max_per_user, p_room  see begin_run
-- Returns the same as begin_run, also null; `joined` is true if the run has or had an owner, or has ended.
create function public.adopt_run(
  p_user_id uuid, p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_waiting boolean default false,
  p_python boolean default false, p_repeated boolean default false, p_inline_bytes integer default null,
  p_max_per_user integer default null, p_room bigint default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_input jsonb;
  v_bytes integer;
  v_joined boolean;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  select input, coalesce(bytes, octet_length(input::text)) into v_input, v_bytes
    from public.agent_run_inputs where run_id = p_run_id;
  v_joined := (v_run.owner is not null and not (p_repeated and v_run.owner = p_owner)) or v_run.attempt > 1 or v_run.finished_at is not null;
  if not v_joined then
    if v_input -> 'agent' ->> 'executor' = 'python' and not p_python then
      if p_max_per_user is not null then
        return null;
      end if;
      raise sqlstate 'PT503' using hint = 'python_unavailable',
        message = 'This agent is not available right now.';
    end if;
    if p_max_per_user is not null and not public.may_begin_here(p_user_id, p_max_per_user, v_bytes, p_python, p_room, p_inline_bytes) then
      return null;
    end if;
    update public.agent_runs
      set owner = p_owner, lease_until = now() + make_interval(secs => p_lease_seconds),
          status = case when p_waiting then 'queued' else 'running' end,
          started_at = case when p_waiting then null else now() end
      where id = p_run_id
      returning * into v_run;
  end if;
  return jsonb_build_object('run', public.run_json(v_run), 'joined', v_joined,
    'rates', v_input -> 'rates', 'cached', v_input -> 'cached', 'inputBytes', v_bytes,
    'agent', case when octet_length((v_input -> 'agent')::text) <= coalesce(p_inline_bytes, 2147483647) then v_input -> 'agent' end);
end $$;

revoke execute on function public.adopt_run(uuid, uuid, uuid, numeric, boolean, boolean, boolean, integer, integer, bigint)
  from public, anon, authenticated;
grant execute on function public.adopt_run(uuid, uuid, uuid, numeric, boolean, boolean, boolean, integer, integer, bigint) to service_role;
