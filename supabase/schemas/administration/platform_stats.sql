-- Returns the platform's figures, for get_admin_stats and admin_stats, which check who asks. `active_users` are all who ever
-- used credits.
create function public.platform_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language sql stable security definer set search_path = '' as $$
  select
    (select count(*) from auth.users),
    (select count(*) from public.agents),
    (select count(*) from public.agents where created_at >= now() - interval '7 days'),
    (select count(*) from public.agents where created_at >= now() - interval '30 days'),
    (select count(distinct user_id) from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage where created_at >= now() - interval '7 days'),
    (select count(*) from public.credit_balances where plan_type = 'pro'),
    (select count(*) from public.credit_balances where plan_type = 'expert')
$$;

revoke execute on function public.platform_stats() from public, anon, authenticated;
grant execute on function public.platform_stats() to service_role;
