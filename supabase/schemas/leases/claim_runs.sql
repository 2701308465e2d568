-- Takes over abandoned runs, those of each user in turn, the oldest first, each as a new attempt, until they have batch_bytes.
-- A run during which p_max_crashes processes have died is ended instead and costs nothing; so is one that could not be taken
-- so often, see try_run.
--   p_python      false leaves runs of agents written in Python to other processes
--   p_keep_first  see take_run
--   p_lapsed      true takes only runs whose owner has stopped its heartbeats; runs that wait, or were released, are
--                 handed out by claim_run
--   p_room        for how many bytes of input the process has memory; runs of more stay where they are. Null: any
--   p_inline_bytes  see take_run; what is not larger needs no room
-- Returns {claimed: [{run, userId, cancel, input, steps, inputBytes}], outstanding, others}: `outstanding` is true if any run is
-- unfinished; `others` is true if another process has looked for runs within eleven minutes, and so is known to live.
create function public.claim_runs(
  p_owner uuid, p_lease_seconds numeric, p_limit integer, p_max_crashes integer default 20, p_python boolean default true,
  p_keep_first boolean default false, p_lapsed boolean default false,
  p_room bigint default null, p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_taken jsonb;
  v_claimed jsonb[] := '{}';
  v_bytes bigint := 0;
  v_room bigint := p_room;
  v_input_bytes bigint;
begin
  insert into public.agent_workers (owner, lease_until) values (p_owner, '-infinity')
    on conflict (owner) do update set seen_at = now();
  for v_id in
    select r.id from public.agent_runs r
      join (
        select id, row_number() over (partition by user_id order by lease_until, created_at) as turn
          from public.agent_runs a
          where finished_at is null and lease_until < now() and public.is_abandoned(a)
            and (not p_lapsed or (owner is not null and lease_until > '-infinity'))
            and (p_python or not public.is_python_run(id))) abandoned using (id)
      -- Checked again for a row that another process has changed meanwhile.
      where finished_at is null and lease_until < now()
        and (not p_lapsed or (owner is not null and lease_until > '-infinity')) and public.is_abandoned(r)
        and (p_room is null or public.input_bytes(id) <= greatest(p_room, p_inline_bytes))
      order by turn, lease_until, created_at
      limit p_limit
      for update of r skip locked
  loop
    -- Only large inputs are counted, as in the process.
    v_input_bytes := case when p_room is null then 0 else public.input_bytes(v_id) end;
    if v_input_bytes > p_inline_bytes then
      continue when v_input_bytes > v_room;
      v_room := v_room - v_input_bytes;
    end if;
    v_taken := public.try_run(v_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, false, p_inline_bytes);
    if v_taken is not null then
      v_claimed := v_claimed || v_taken;
      v_bytes := v_bytes + pg_column_size(v_taken);
    end if;
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return jsonb_build_object(
    'claimed', to_jsonb(v_claimed),
    'outstanding', exists (select from public.agent_runs where finished_at is null),
    'others', exists (select from public.agent_workers where owner <> p_owner and seen_at > now() - interval '11 minutes'));
end $$;

revoke execute on function public.claim_runs(uuid, numeric, integer, integer, boolean, boolean, boolean, bigint, integer)
  from public, anon, authenticated;
grant execute on function public.claim_runs(uuid, numeric, integer, integer, boolean, boolean, boolean, bigint, integer)
  to service_role;
