-- Returns the platform's figures to a signed-in admin, and to the service role, whose auth.uid() is null; to everybody else no
-- row. The platform's admin page calls it by this name.
create function public.get_admin_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language plpgsql stable security definer set search_path = '' as $$
begin
  if coalesce(auth.role(), '') = 'service_role' or coalesce(public.has_role(auth.uid(), 'admin'), false) then
    return query select * from public.platform_stats();
  end if;
end $$;

revoke execute on function public.get_admin_stats() from public, anon, authenticated;
grant execute on function public.get_admin_stats() to authenticated, service_role;
