-- Returns whether a new run of a user may begin at once at the process that asks, which has a slot for it: its user has fewer
-- than p_max_per_user runs under way over all processes, and no run waits that the process could claim instead.
--   p_bytes  the size of the run's input
--   p_python, p_room, p_inline_bytes  what the process can execute, see claim_run
create function public.may_begin_here(
  p_user_id uuid, p_max_per_user integer, p_bytes bigint, p_python boolean, p_room bigint, p_inline_bytes integer
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  return (p_room is null or p_bytes <= greatest(p_room, p_inline_bytes))
    and public.has_free_slot(p_user_id, p_max_per_user)
    and (not exists (select from public.agent_runs where finished_at is null and (owner is null or lease_until = '-infinity'))
      or not public.is_anyone_ahead(p_max_per_user, p_python, p_room, p_inline_bytes));
end $$;

revoke execute on function public.may_begin_here(uuid, integer, bigint, boolean, bigint, integer) from public, anon, authenticated;
grant execute on function public.may_begin_here(uuid, integer, bigint, boolean, bigint, integer) to service_role;
