-- Releases the runs of a process, so that another takes them over at once.
--   p_owner    null releases the runs of all processes; for a process that is the only one
--   p_crashed  true if the owner died
--   p_run_ids  releases only these runs; their owner lives but has lost track of them
create function public.release_runs(p_owner uuid, p_crashed boolean default false, p_run_ids jsonb default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_count integer;
begin
  if p_run_ids is null then
    delete from public.agent_workers where p_owner is null or owner = p_owner;
  end if;
  update public.agent_runs
    set lease_until = case when p_crashed then now() - interval '1 second' else '-infinity' end
    where finished_at is null and (p_owner is null or owner = p_owner) and lease_until > '-infinity'
      and (p_run_ids is null or p_run_ids ? id::text);
  get diagnostics v_count = row_count;
  return jsonb_build_object('released', v_count);
end $$;

revoke execute on function public.release_runs(uuid, boolean, jsonb) from public, anon, authenticated;
grant execute on function public.release_runs(uuid, boolean, jsonb) to service_role;
