-- Erases what firings by the service that ended before a time have of texts, at most p_limit of them: see erase_firings.
-- Returns how many were erased.
create function public.erase_old_firings(p_before timestamptz, p_limit integer) returns integer
language sql security definer set search_path = '' as $$
  select public.erase_firings(p_before, p_limit)
$$;

revoke execute on function public.erase_old_firings(timestamp with time zone, integer) from public, anon, authenticated;
grant execute on function public.erase_old_firings(timestamp with time zone, integer) to service_role;
