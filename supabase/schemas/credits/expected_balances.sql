-- Returns each balance with the amount that its opening and its ledger add up to. `expected` is null if the balance has no
-- opening.
create function public.expected_balances()
returns table (user_id uuid, expected bigint, actual bigint)
language sql stable security definer set search_path = '' as $$
  select b.user_id, o.credits - coalesce(l.used, 0), coalesce(b.credits_remaining, 0)::bigint + b.credits_reserved
    from public.credit_balances b
    left join public.credit_openings o on o.user_id = b.user_id
    left join (select u.user_id, sum(u.credits_used)::bigint as used from public.credit_usage u group by u.user_id) l
      on l.user_id = b.user_id
    where b.user_id is not null
$$;

revoke execute on function public.expected_balances() from public, anon, authenticated;
grant execute on function public.expected_balances() to service_role;
