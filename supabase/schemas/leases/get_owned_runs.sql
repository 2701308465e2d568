-- Returns the unfinished runs of a process as {id: attempt}.
create function public.get_owned_runs(p_owner uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_object_agg(id, attempt), '{}') from public.agent_runs
    where owner = p_owner and finished_at is null
$$;

revoke execute on function public.get_owned_runs(uuid) from public, anon, authenticated;
grant execute on function public.get_owned_runs(uuid) to service_role;
