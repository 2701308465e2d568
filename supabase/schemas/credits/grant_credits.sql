-- Gives credits to a user, or takes some if p_credits is below zero, and enters them in the ledger. Returns the balance. No more
-- can be taken than remains: what runs have reserved is theirs.
create function public.grant_credits(p_user_id uuid, p_credits integer, p_reason text, p_granted_by uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_after integer;
begin
  if coalesce(p_credits, 0) = 0 or coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'A grant is of one credit or more, or takes as many, and has a reason.';
  end if;
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  perform public.give_first_balance(p_user_id);
  update public.credit_balances
    set credits_remaining = coalesce(credits_remaining, 0) + p_credits, credits_entered = p_credits
    where user_id = p_user_id and coalesce(credits_remaining, 0)::bigint + credits_reserved + p_credits <= 2147483647
      and coalesce(credits_remaining, 0)::bigint + p_credits >= 0
    returning credits_remaining into v_after;
  if not found and p_credits < 0 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The user has fewer credits left than that.';
  end if;
  if not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The balance would be larger than a balance can be.';
  end if;
  perform public.enter_change(p_user_id, case when p_credits > 0 then 'grant' else 'adjustment' end, p_credits, v_after - p_credits, v_after, p_reason,
    jsonb_build_object('grantedBy', p_granted_by));
  return public.get_credits(p_user_id);
end $$;

revoke execute on function public.grant_credits(uuid, integer, text, uuid) from public, anon, authenticated;
grant execute on function public.grant_credits(uuid, integer, text, uuid) to service_role;
