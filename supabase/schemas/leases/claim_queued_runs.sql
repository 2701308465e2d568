-- Takes runs, which the queue has handed out by their ids, each as claim_run does, in one transaction.
--   p_runs  [{runId, keepFirst}]; keepFirst: see p_keep_first of take_run
-- Returns what claim_run answers for each of them, as {id: answer}. A run that cannot be judged now, because another
-- transaction has it, is `unable`.
create function public.claim_queued_runs(
  p_runs jsonb, p_owner uuid, p_lease_seconds numeric, p_max_per_user integer, p_python boolean default true,
  p_max_crashes integer default 20, p_room bigint default null, p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_asked record;
  v_claim jsonb;
  v_claims jsonb := '{}';
  v_room bigint := p_room;
  v_bytes bigint;
begin
  for v_asked in
    select a.id, a.keep_first from (
        select (value ->> 'runId')::uuid as id, (value ->> 'keepFirst')::boolean as keep_first, ordinality
          from jsonb_array_elements(p_runs) with ordinality) a
      left join public.agent_runs r on r.id = a.id
      -- Each locks the slots of its user, and one that may be ended the balance before them: in one order for all processes, or two
      -- could wait for each other.
      order by r.user_id, r.crashes + 1 >= p_max_crashes desc, a.ordinality
  loop
    v_claim := public.claim_run(v_asked.id, p_owner, p_lease_seconds, p_max_per_user, p_python, p_max_crashes,
      v_asked.keep_first, v_room, p_inline_bytes);
    v_claims := v_claims || jsonb_build_object(v_asked.id, v_claim);
    -- Only large inputs are counted, as in the process.
    v_bytes := (v_claim -> 'claimed' ->> 'inputBytes')::bigint;
    if v_bytes > p_inline_bytes then
      v_room := v_room - v_bytes;
    end if;
  end loop;
  return v_claims;
end $$;

revoke execute on function public.claim_queued_runs(jsonb, uuid, numeric, integer, boolean, integer, bigint, integer)
  from public, anon, authenticated;
grant execute on function public.claim_queued_runs(jsonb, uuid, numeric, integer, boolean, integer, bigint, integer)
  to service_role;
