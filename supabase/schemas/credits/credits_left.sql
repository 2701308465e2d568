-- Returns what a user can spend.
create function public.credits_left(p_user_id uuid) returns integer
language sql stable security definer set search_path = '' as $$
  select coalesce(max(credits_remaining), 0) from public.credit_balances where user_id = p_user_id
$$;

revoke execute on function public.credits_left(uuid) from public, anon, authenticated;
grant execute on function public.credits_left(uuid) to service_role;
