-- Takes credits outside of a run and enters them in the ledger. The platform's functions call it by this name and with
-- these arguments; the entry that they make themselves takes the place of this one (match_entry).
create function public.deduct_credits(p_user_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_credits is null or p_credits < 0 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'p_credits must be zero or more.';
  end if;
  perform public.give_first_balance(p_user_id);
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits, credits_entered = -p_credits,
        credits_used_this_month = coalesce(credits_used_this_month, 0) + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  if not found then
    raise sqlstate 'PT402' using hint = 'insufficient_credits',
      message = format('There are not enough credits (needed: %s, left: %s).', p_credits, public.credits_left(p_user_id));
  end if;
  if p_credits > 0 then
    insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (p_user_id, p_credits, 'deduction', '{"by": "deduct_credits"}');
  end if;
end $$;

revoke execute on function public.deduct_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.deduct_credits(uuid, integer) to service_role;
