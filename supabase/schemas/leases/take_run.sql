-- Gives an abandoned run to a process, as a new attempt.
--   p_keep_first  true keeps the first attempt of a run that never had an owner: none of its events has another author
--   p_starts      true if the run has a slot
--   p_inline_bytes  input and steps that have more bytes together are not returned: see get_run_input
-- Returns what the process needs to make the attempt, or null if the run was ended because p_max_crashes processes have
-- died while they owned it.
create function public.take_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_crashes integer, p_keep_first boolean, p_starts boolean,
  p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_is_fresh boolean;
  v_bytes bigint;
  v_is_inline boolean;
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
      -- Another transaction holds the user's balance. The run is ended by a later claim.
      null;
    end;
    return null;
  end if;
  v_bytes := public.input_bytes(v_run.id);
  v_is_inline := v_bytes <= coalesce(p_inline_bytes, v_bytes);
  return jsonb_build_object(
    'run', public.run_json(v_run),
    'userId', v_run.user_id,
    'cancel', v_run.cancel_requested,
    'inputBytes', v_bytes,
    'input', case when v_is_inline then (select input from public.agent_run_inputs where run_id = v_run.id) end,
    'steps', case when v_is_inline then public.checkpoints_of(v_run.id) else '[]' end);
end $$;

revoke execute on function public.take_run(uuid, uuid, numeric, integer, boolean, boolean, integer)
  from public, anon, authenticated;
grant execute on function public.take_run(uuid, uuid, numeric, integer, boolean, boolean, integer) to service_role;
