-- Returns whether a further run of a user may be under way, of p_max_per_user over all processes. Until the transaction ends, no
-- other call is answered for this user: of two processes that ask at once, the second counts what the first has begun.
--   p_except  a run that is not counted
create function public.has_free_slot(p_user_id uuid, p_max_per_user integer, p_except uuid default null) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('slots of ' || p_user_id, 0));
  -- Most users are far from their limit: who of the owners lives is asked only beyond it.
  if (select count(owner) from public.agent_runs
      where user_id = p_user_id and finished_at is null and id is distinct from p_except) < p_max_per_user then
    return true;
  end if;
  return (select count(owner) from public.agent_runs r
    where user_id = p_user_id and finished_at is null and id is distinct from p_except
      and not public.is_abandoned(r)) < p_max_per_user;
end $$;

revoke execute on function public.has_free_slot(uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.has_free_slot(uuid, integer, uuid) to service_role;
