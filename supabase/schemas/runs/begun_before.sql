-- Returns what begin_run answered for a run that an earlier call with the same id has begun, whose answer was lost; null if
-- there is none. `joined` is false while the first attempt is still the caller's: nobody has begun to make it, so that
-- the caller does, and its lease begins anew. It is true if another process has taken the run over, or it has ended.
create function public.begun_before(p_user_id uuid, p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_inline_bytes integer default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_input jsonb;
  v_bytes integer;
  v_joined boolean;
begin
  -- The transaction of the call before may still be under way: its connection may have broken on this side alone.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(p_run_id::text, 0));
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    return null;
  end if;
  v_joined := v_run.owner is distinct from p_owner or v_run.attempt > 1 or v_run.finished_at is not null;
  if not v_joined then
    update public.agent_runs set lease_until = now() + make_interval(secs => p_lease_seconds) where id = p_run_id;
  end if;
  select input, coalesce(bytes, octet_length(input::text)) into v_input, v_bytes
    from public.agent_run_inputs where run_id = p_run_id;
  return jsonb_build_object('run', public.run_json(v_run), 'rates', v_input -> 'rates', 'cached', v_input -> 'cached',
    'joined', v_joined, 'inputBytes', v_bytes,
    'agent', case when octet_length((v_input -> 'agent')::text) <= coalesce(p_inline_bytes, 2147483647) then v_input -> 'agent' end);
end $$;

revoke execute on function public.begun_before(uuid, uuid, uuid, numeric, integer) from public, anon, authenticated;
grant execute on function public.begun_before(uuid, uuid, uuid, numeric, integer) to service_role;
