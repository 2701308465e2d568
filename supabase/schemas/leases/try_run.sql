-- Takes a run as take_run does, but fails by itself: a run that cannot be taken, or is larger than a process may hold (64 MiB
-- with its steps), rests, see rest_run. Returns null then.
--   p_inline_bytes  see take_run
create function public.try_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_crashes integer, p_keep_first boolean, p_starts boolean,
  p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_taken jsonb;
  v_max constant integer := 67108864;
begin
  v_taken := public.take_run(p_run_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, p_starts, p_inline_bytes);
  if (v_taken ->> 'inputBytes')::bigint > v_max then
    raise program_limit_exceeded using message = format('The run has %s bytes of input and steps.', v_taken ->> 'inputBytes');
  end if;
  return v_taken;
exception
  when lock_not_available or transaction_rollback then
    -- The run is as it was, and is taken later.
    return null;
  when others then
    perform public.rest_run(p_run_id, format('It could not be taken over: %s', sqlerrm), p_max_crashes);
    return null;
end $$;

revoke execute on function public.try_run(uuid, uuid, numeric, integer, boolean, boolean, integer) from public, anon, authenticated;
grant execute on function public.try_run(uuid, uuid, numeric, integer, boolean, boolean, integer) to service_role;
