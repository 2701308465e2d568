-- Returns whether a run is unfinished and no living process owns it. A lease of '-infinity' means that its owner released
-- it.
create function public.is_abandoned(r public.agent_runs) returns boolean
language sql stable set search_path = '' as $$
  select r.finished_at is null and r.lease_until < now()
    and (r.lease_until = '-infinity' or not exists (
      select from public.agent_workers w where w.owner = r.owner and w.lease_until >= now()))
$$;

revoke execute on function public.is_abandoned(public.agent_runs) from public, anon, authenticated;
grant execute on function public.is_abandoned(public.agent_runs) to service_role;
