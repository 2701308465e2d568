-- Returns what each user has, and what the ledger adds up to. `actual` is null for users who have entries but no balance.
create function public.expected_balances()
returns table (user_id uuid, expected bigint, actual bigint)
language sql stable security definer set search_path = '' as $$
  select coalesce(b.user_id, c.user_id, u.user_id), coalesce(c.credits, 0) - coalesce(u.used, 0),
      case when b.user_id is not null then coalesce(b.credits_remaining, 0)::bigint + b.credits_reserved end
    from (select * from public.credit_balances where user_id is not null) b
    full join (select user_id, sum(credits)::bigint as credits from public.credit_changes group by user_id) c
      on c.user_id = b.user_id
    full join (select user_id, sum(credits_used)::bigint as used from public.credit_usage where user_id is not null group by user_id) u
      on u.user_id = coalesce(b.user_id, c.user_id)
$$;

revoke execute on function public.expected_balances() from public, anon, authenticated;
grant execute on function public.expected_balances() to service_role;
