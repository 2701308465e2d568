-- Says whose the given runs are, or were until they ended: [{runId, owner, hasEnded}]. `owner` is null for a run that waits or was
-- released, or whose owner may be dead.
--   p_fresh_seconds  how long a lease must still last: an owner that lives has renewed it within the last second or two
create function public.get_run_owners(p_run_ids jsonb, p_fresh_seconds numeric) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'runId', r.id,
        'owner', case when r.lease_until is distinct from '-infinity'
          -- A run that has ended has no lease of its own.
          and greatest(r.lease_until, w.lease_until) > now() + make_interval(secs => p_fresh_seconds) then r.owner end,
        'hasEnded', r.finished_at is not null)), '[]')
      from jsonb_array_elements_text(p_run_ids) as wanted (id)
      join public.agent_runs r on r.id = wanted.id::uuid
      left join public.agent_workers w on w.owner = r.owner);
end $$;

revoke execute on function public.get_run_owners(jsonb, numeric) from public, anon, authenticated;
grant execute on function public.get_run_owners(jsonb, numeric) to service_role;
