-- Returns the balance of a user; a user without a balance has no credits.
create function public.get_credits(p_user_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
      'creditsRemaining', coalesce(max(credits_remaining), 0),
      'creditsReserved', coalesce(max(credits_reserved), 0),
      'creditsUsedThisMonth', coalesce(max(credits_used_this_month), 0),
      'planType', coalesce(max(plan_type), 'free'))
    from public.credit_balances where user_id = p_user_id
$$;

revoke execute on function public.get_credits(uuid) from public, anon, authenticated;
grant execute on function public.get_credits(uuid) to service_role;
