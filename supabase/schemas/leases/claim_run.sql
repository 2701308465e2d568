-- Takes one run, which the queue has handed out by its id.
--   p_max_per_user  how many runs of one user may be under way at a time, over all processes
--   p_keep_first    see take_run
--   p_room          for how many bytes of input the process has memory; a run of more stays where it is. Null: any
--   p_inline_bytes  see take_run; what is not larger needs no room
-- Returns {claimed} or {refused}, which is one of `ended`; `owned`, a living process has the run; `busy`, the user has
-- p_max_per_user runs under way; `unable`, the agent is written in Python and this process cannot run it, or the run
-- cannot be taken now, see try_run, or rests, or another transaction has it; `full`, this process has no memory for it.
create function public.claim_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_per_user integer, p_python boolean default true,
  p_max_crashes integer default 20, p_keep_first boolean default true,
  p_room bigint default null, p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_taken jsonb;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update skip locked;
  if not found and exists (select from public.agent_runs where id = p_run_id) then
    return '{"refused": "unable"}';
  elsif not found or v_run.finished_at is not null then
    return '{"refused": "ended"}';
  elsif not public.is_abandoned(v_run) then
    -- Without an owner it rests, see rest_run.
    return jsonb_build_object('refused', case when v_run.owner is null then 'unable' else 'owned' end);
  elsif not p_python and public.is_python_run(p_run_id) then
    return '{"refused": "unable"}';
  elsif public.input_bytes(p_run_id) > greatest(p_room, p_inline_bytes) then
    return '{"refused": "full"}';
  end if;
  -- Where the run may be ended here, its balance is locked before the slots, as where a run begins.
  if v_run.crashes + 1 >= p_max_crashes then
    begin
      perform from public.credit_balances where user_id = v_run.user_id for no key update;
    exception when lock_not_available then
      -- Another transaction holds it. A later claim takes the run, and others are taken now.
      return '{"refused": "unable"}';
    end;
  end if;
  if not public.has_free_slot(v_run.user_id, p_max_per_user, p_run_id) then
    return '{"refused": "busy"}';
  end if;
  v_taken := public.try_run(p_run_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, true, p_inline_bytes);
  if v_taken is not null then
    return jsonb_build_object('claimed', v_taken);
  end if;
  return jsonb_build_object('refused', (
    select case when finished_at is null then 'unable' else 'ended' end from public.agent_runs where id = p_run_id));
end $$;

revoke execute on function public.claim_run(uuid, uuid, numeric, integer, boolean, integer, boolean, bigint, integer)
  from public, anon, authenticated;
grant execute on function public.claim_run(uuid, uuid, numeric, integer, boolean, integer, boolean, bigint, integer) to service_role;
